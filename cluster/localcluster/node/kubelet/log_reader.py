"""`kubectl logs`: from a container's log file to the requested lines.

A container's process writes its log file itself, so there is no time stamp in it. The times of lines come
from how the file grew (`LogTimes`): exact to about a second, estimated for what was written before the agent
started. Refuses to guess which run is meant: the caller passes a path.
"""

from __future__ import annotations

import asyncio
import bisect
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from localcluster.node.pod.pods import PodTable
from localcluster.node.process import bounds

_BLOCK = 64 * 1024
_LONGEST = 1024 * 1024  # bytes of one line that are kept together
_FOLLOW_SECONDS = 0.1  # real time between two looks at a file that is followed
_WATCH_SECONDS = 1.0
_MARKS = 4096  # of each file; older ones are thinned out


@dataclass(frozen=True)
class LogOptions:
    """PodLogOptions as the API server passes them on; `since` is seconds since the epoch."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since: float | None = None

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> LogOptions:
        """From the query of `/containerLogs/...`; ValueError for an invalid number or time."""
        since = None
        if "sinceSeconds" in query:
            since = time.time() - float(query["sinceSeconds"])
        elif "sinceTime" in query:
            since = datetime.fromisoformat(query["sinceTime"]).timestamp()
        return cls(
            follow=_flag(query, "follow"),
            previous=_flag(query, "previous"),
            timestamps=_flag(query, "timestamps"),
            tail_lines=int(query["tailLines"]) if "tailLines" in query else None,
            limit_bytes=int(query["limitBytes"]) if "limitBytes" in query else None,
            since=since,
        )


def _flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "false").lower() in {"true", "1"}


class LogTimes:
    """When each part of a log file was written, from looking at the files once a second."""

    def __init__(self) -> None:
        self._marks: dict[Path, tuple[list[int], list[float]]] = {}  # sizes, times

    async def watch(self, pods: PodTable) -> None:
        """Look at all logs; never returns."""
        while True:
            current = {c.log_path for pod in pods for c in pod.containers.values()}
            previous = {c.previous_log_path for pod in pods for c in pod.containers.values()}
            for path in current:
                self.look(path)
            for path in self._marks.keys() - current - previous:
                del self._marks[path]
            await asyncio.sleep(_WATCH_SECONDS)

    def look(self, path: Path) -> None:
        """Note the file's size and the time of its last write."""
        try:
            stat = path.stat()
        except FileNotFoundError:
            return
        sizes, times = self._marks.setdefault(path, ([0], [_birth(stat)]))
        if stat.st_size > sizes[-1]:
            sizes.append(stat.st_size)
            times.append(stat.st_mtime)
        if len(sizes) > _MARKS:
            del sizes[1:-1:2], times[1:-1:2]

    def at(self, path: Path, offset: int) -> float:
        """When the byte before `offset` was written."""
        sizes, times = self._marks.get(path) or ([0], [time.time()])
        index = bisect.bisect_left(sizes, offset)
        if index >= len(sizes):
            return time.time()  # written since the last look
        if index == 0:
            return times[0]
        share = (offset - sizes[index - 1]) / (sizes[index] - sizes[index - 1])
        return times[index - 1] + share * (times[index] - times[index - 1])

    def offset(self, path: Path, moment: float) -> int:
        """How much of the file was there at that moment."""
        sizes, times = self._marks.get(path) or ([0], [0.0])
        index = bisect.bisect_left(times, moment)
        return sizes[index - 1] if index else 0


def _birth(stat: os.stat_result) -> float:
    """Linux has no creation time here; for an empty file the inode's last change is it, otherwise a bound."""
    return stat.st_ctime if stat.st_size == 0 else min(stat.st_ctime, stat.st_mtime)


async def read(
    path: Path, options: LogOptions, times: LogTimes, *, running: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """The lines, in pieces; with `follow`, more of them until `running()` is false."""
    times.look(path)
    position = _start(path, options, times)
    left = options.limit_bytes
    async for lines in _batches(path, position, lambda: options.follow and running()):
        times.look(path)
        wanted = []
        for line in lines:
            position += len(line)
            if options.since is None or times.at(path, position) >= options.since:
                wanted.append(_stamped(line, times.at(path, position)) if options.timestamps else line)
        piece = b"".join(wanted)[:left]
        if piece:
            yield piece
        if left is not None:
            left -= len(piece)
            if left <= 0:
                return


async def _batches(path: Path, start: int, goes_on: Callable[[], bool]) -> AsyncIterator[list[bytes]]:
    """Whole lines from `start` on, as many as are there; the last one may lack its end."""
    with path.open("rb") as file:
        file.seek(start)
        rest = b""
        while True:
            more = goes_on()  # asked before reading, so that a container's last words are not missed
            block = file.read(_BLOCK)
            *lines, rest = (rest + block).split(b"\n")
            if lines:
                yield [line + b"\n" for line in lines]
            if len(rest) > _LONGEST:  # an endless line must not be collected here
                yield [rest]
                rest = b""
            if not block:
                if not more:
                    break
                await asyncio.sleep(_FOLLOW_SECONDS)
        if rest:
            yield [rest]


def _start(path: Path, options: LogOptions, times: LogTimes) -> int:
    start = kept = bounds.kept_from(path)
    if options.since is not None:
        start = max(kept, _line_start(path, times.offset(path, options.since)))
    if options.tail_lines is not None:
        start = max(start, _tail(path, options.tail_lines, after=kept))
    return start


def _line_start(path: Path, offset: int) -> int:
    """The beginning of the line that holds `offset`."""
    with path.open("rb") as file:
        while offset > 0:
            begin = max(0, offset - _BLOCK)
            file.seek(begin)
            found = file.read(offset - begin).rfind(b"\n")
            if found >= 0:
                return begin + found + 1
            offset = begin
    return 0


def _tail(path: Path, lines: int, *, after: int) -> int:
    """Where the last `lines` lines begin."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        if lines <= 0:
            return end
        position, missing = end, lines
        while position > after:
            begin = max(after, position - _BLOCK)
            file.seek(begin)
            block = file.read(position - begin)
            if position == end and block.endswith(b"\n"):
                block = block[:-1]  # the last line's own end does not count
            while (found := block.rfind(b"\n")) >= 0:
                missing -= 1
                if missing == 0:
                    return begin + found + 1
                block = block[:found]
            position = begin
    return 0


def _stamped(line: bytes, moment: float) -> bytes:
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds").replace("+00:00", "000Z")
    return text.encode() + b" " + line
