"""How the student's process and the grader communicate: one JSON object per line, over a Unix socket.

    → {"on": 0, "do": "load", "args": […], "words": {…}}    0 is the lab, others what it returned
    ← {"value": …, "shown": […]}  or  {"error": {…}}

The grader numbers and keeps what it returns: `{"$": "ref", "n": 7}` in the other direction means the grader's
own object, whatever the student's process did to its copy. Refuses lines of more than 8 MiB from a student.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.errors import BadInput, Unreachable
from labkit.evidence.curves import Curves
from labkit.load import Closed, Open, Tokens, Workload
from labkit.load.arrivals import Arrivals
from labkit.load.run import Progress
from labkit.metrics.series import Rows, Sample
from labkit_grading.judging.codec import KIND, RECORDS, Codec
from localcluster.api.objects import KubeObject

LINE = 8 * 2**20
MOST = 50_000  # how many objects are kept for one notebook
_TYPES = (Arrivals, Closed, Curves, KubeObject, Open, Progress, Rows, Sample, Tokens, Workload)
MADE_HERE = tuple(
    f'"{name}"' for name in ("Bill", "ColdStart", "LoadResult", "Pace", "Push", "States", "Timeline")
)
"""Records that no cell of the course makes by itself."""
SENT: Mapping[str, Any] = {**RECORDS, **{kind.__name__: kind for kind in _TYPES}}


class Line:
    """One end of the connection."""

    def __init__(self, connection: socket.socket, *, longest: int = LINE) -> None:
        self._connection = connection
        self._longest = longest
        self._file = connection.makefile("rb")

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._file.close()
        self._connection.close()

    def send(self, message: Mapping[str, Any]) -> None:
        """Write one line."""
        self._connection.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> dict[str, Any]:
        """Read one line; raises `Unreachable` once the other side is gone, `BadInput` for invalid data."""
        data = self._file.readline(self._longest + 1)
        if not data:
            raise Unreachable("The other side closed the connection.")
        if len(data) > self._longest:
            raise BadInput(f"A message of more than {self._longest / 2**20:.0f} MiB.", fix="Send less.")
        try:
            message = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise BadInput("A message that is not JSON.", fix="Only call the lab's verbs.") from error
        if not isinstance(message, dict):
            raise BadInput("A message that is not a JSON object.", fix="Only call the lab's verbs.")
        return message


class Copies(Codec):
    """Encodes what the grader shows but does not vouch for: copies without a number."""

    records = SENT


@dataclass
class GraderCodec(Codec):
    """The grader's side: numbers what it returns, and reads numbers back as its own objects."""

    readable: Mapping[type, tuple[str, ...]] = field(default_factory=dict)
    """What may be read of an object that stays here."""
    objects: dict[int, Any] = field(default_factory=dict)
    records = SENT

    def give(self, value: Any) -> int:
        """Keep an object under a number; raises `BadInput` for a notebook that collects far too many."""
        if len(self.objects) >= MOST:
            raise BadInput(
                f"This notebook was given {MOST:,} objects.", fix="Reuse the objects that you have."
            )
        self.objects[len(self.objects)] = value
        return len(self.objects) - 1

    def result(self, value: Any, *, counted: bool = False) -> Any:
        """Encode a verb's result; plain data gets a number only if we `counted` or read it."""
        if counted and isinstance(value, dict | list | str):
            return {KIND: "ref", "n": self.give(value), "value": Copies().encode(value)}
        return self.encode(value)

    def record(self, value: Any) -> Any:
        """A record is sent as a copy, with the number of our original."""
        return {KIND: "ref", "n": self.give(value), "value": super().record(value)}

    def other(self, value: Any) -> Any:
        """An object that can't be encoded stays here: the other side gets its number and its `repr`."""
        if isinstance(value, Path):
            return value.name
        readable = {name: self.encode(getattr(value, name)) for name in self.readable.get(type(value), ())}
        return {KIND: "ref", "n": self.give(value), "words": repr(value)[:200], "readable": readable}

    def special(self, kind: str, data: Mapping[str, Any]) -> Any:
        """Our own objects by their numbers."""
        if kind == "ref":
            return self.objects[int(data["n"])]
        return super().special(kind, data)


def is_ours(data: Any) -> bool:
    """Whether a received value consists only of the grader's own objects (and names for them)."""
    if isinstance(data, list):
        return bool(data) and all(map(is_ours, data))
    if not isinstance(data, dict):
        return False
    if data.get(KIND) == "dict":
        return bool(data["items"]) and all(is_ours(value) for _, value in data["items"])
    if data.get(KIND) == "tuple":
        return is_ours(data["items"])
    return bool(data.get(KIND) == "ref")


def made_there(data: Any) -> bool:
    """Whether a record that only the grader makes came from the student's process, not as a number."""
    text = json.dumps(data)
    return any(kind in text for kind in MADE_HERE)
