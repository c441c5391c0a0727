"""Times of log lines, from how the file grew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from localcluster.node.kubelet.log_reader import LogOptions, LogTimes, read

pytestmark = pytest.mark.anyio

START = 1_800_000_000.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Log:
    """A log file that grows at known moments, looked at each time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.times = LogTimes()

    def write(self, text: str, *, at: float) -> None:
        with self.path.open("a") as file:
            file.write(text)
        os.utime(self.path, (START + at, START + at))
        self.times.look(self.path)

    async def read(self, options: LogOptions) -> str:
        pieces = [p async for p in read(self.path, options, self.times, running=lambda: False)]
        return b"".join(pieces).decode()


@pytest.fixture
def log(tmp_path: Path) -> Log:
    made = Log(tmp_path / "0.log")
    for second in range(5):
        made.write(f"line {second}\n", at=second)
    return made


async def test_lines_since_a_moment(log: Log) -> None:
    assert await log.read(LogOptions(since=START + 2.5)) == "line 3\nline 4\n"
    assert await log.read(LogOptions(since=START - 9)) == "".join(f"line {i}\n" for i in range(5))
    assert await log.read(LogOptions(since=START + 9)) == ""


async def test_since_and_tail_together_give_the_fewer(log: Log) -> None:
    assert await log.read(LogOptions(since=START + 0.5, tail_lines=2)) == "line 3\nline 4\n"
    assert await log.read(LogOptions(since=START + 3.5, tail_lines=4)) == "line 4\n"


async def test_time_stamps_never_run_backwards(log: Log) -> None:
    log.write("late 1\nlate 2\nlate 3\n", at=60)
    stamps = [line.split()[0] for line in (await log.read(LogOptions(timestamps=True))).splitlines()]
    assert stamps == sorted(stamps)
    assert stamps[-1] == "2027-01-15T08:01:00.000000000Z"


async def test_a_large_log_by_its_tail(log: Log) -> None:
    log.write("".join(f"{i:09d}\n" for i in range(50_000)), at=70)
    assert await log.read(LogOptions(tail_lines=1)) == "000049999\n"
    told = (await log.read(LogOptions(tail_lines=20_000))).splitlines()
    assert (told[0], len(told)) == ("000030000", 20_000)


def test_the_memory_of_growth_is_bounded(tmp_path: Path) -> None:
    log = Log(tmp_path / "0.log")
    for second in range(6000):
        log.write("x\n", at=second)
    middle = log.times.at(log.path, 6000) - START
    assert abs(middle - 3000) < 10


@pytest.mark.parametrize("query", [{"tailLines": "many"}, {"sinceTime": "yesterday"}, {"sinceSeconds": "x"}])
def test_nonsense_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        LogOptions.parse(query)
