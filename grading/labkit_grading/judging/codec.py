"""Evidence as JSON and back: plain data, and the few frozen records that checks take.

Never pickle: what is read back could have passed through someone else's hands. Only classes in `RECORDS` are
created, and `claim` reads a student's answer, which must not contain any of them.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from course.queueing import LoadPoint
from labkit.checks.tried import Call, Tried
from labkit.errors import BadInput
from labkit.evidence.bill import Bill
from labkit.evidence.cold_start import ColdStart
from labkit.evidence.pace import Pace
from labkit.evidence.states import Span, States
from labkit.evidence.timeline import Event, Timeline
from labkit.load.results import LoadResult
from labkit.load.rows import Row
from labkit.metrics.series import Series

RECORDS: Mapping[str, Any] = {
    kind.__name__: kind
    for kind in (
        Bill,
        Call,
        ColdStart,
        Event,
        LoadPoint,
        LoadResult,
        Pace,
        Row,
        Series,
        Span,
        States,
        Timeline,
        Tried,
    )
}
KIND = "$"  # the key that distinguishes a tagged value from a plain mapping
PLAIN = (str, int, bool, type(None))
LONGEST = 64 * 2**10  # characters of one answer


@dataclass(frozen=True)
class Tabulated:
    """A student's function in evidence of before `Tried`: each argument list with its result."""

    asked: Mapping[str, Any]

    def __call__(self, *args: Any) -> Any:
        """What the function returned for these arguments when it was called."""
        key = json.dumps(encode(args))
        if key not in self.asked:
            raise LookupError(f"it was never asked for {args}")
        return self.asked[key]


class Codec:
    """Encodes and decodes; a subclass can add more types."""

    records: Mapping[str, Any] = RECORDS

    def encode(self, value: Any) -> Any:
        """Encode as JSON; raises `BadInput` for anything that can't be evidence."""
        if isinstance(value, PLAIN):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {KIND: "float", "value": repr(value)}
        if isinstance(value, list):
            return [self.encode(item) for item in value]
        return self._tag(value)

    def _tag(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            pairs = [[self.encode(key), self.encode(item)] for key, item in value.items()]
            return {KIND: "dict", "items": pairs}
        for kind, types in _SEQUENCES.items():
            if isinstance(value, types):
                return {KIND: kind, "items": [self.encode(item) for item in value]}
        if value is Ellipsis:
            return {KIND: "..."}
        if isinstance(value, bytes):
            return {KIND: "bytes", "value": base64.b64encode(value).decode()}
        if self.records.get(type(value).__name__) is type(value):
            return self.record(value)
        return self.other(value)

    def record(self, value: Any) -> Any:
        """Encode one of `records`."""
        given = {f.name: self.encode(getattr(value, f.name)) for f in fields(value)}
        return {KIND: type(value).__name__, "fields": given}

    def other(self, value: Any) -> Any:
        """Encode anything else."""
        if isinstance(value, Tabulated):
            return {KIND: "function", "asked": {k: self.encode(item) for k, item in value.asked.items()}}
        if isinstance(value, Path):
            return value.name
        raise BadInput(
            f"{type(value).__name__} is not a possible answer.",
            fix="Answers are numbers, strings, lists and dicts of them, or a function.",
        )

    def decode(self, data: Any) -> Any:
        """The inverse of `encode`; raises `BadInput` for anything else."""
        if isinstance(data, list):
            return [self.decode(item) for item in data]
        return self._tagged(str(data.get(KIND)), data) if isinstance(data, dict) else data

    def _tagged(self, kind: str, data: Mapping[str, Any]) -> Any:
        if kind in self.records:
            given = {key: self.decode(value) for key, value in data["fields"].items()}
            return self.records[kind](**_paths(kind, given))
        if kind == "float":
            return float(str(data["value"]))
        if kind == "...":
            return ...
        if kind == "bytes":
            return base64.b64decode(str(data["value"]))
        if kind in _MAKERS:
            return _MAKERS[kind](self.decode(data["items"]))
        return self.special(kind, data)

    def special(self, kind: str, data: Mapping[str, Any]) -> Any:
        """Decode types that are neither plain nor records."""
        if kind == "function" and self.records:
            return Tabulated({key: self.decode(item) for key, item in data["asked"].items()})
        raise BadInput(f"{kind:.40} is not a kind of evidence.", fix="Answer with numbers and strings.")


class Claims(Codec):
    """What a student's process is allowed to send: plain data, and none of our records."""

    records: Mapping[str, Any] = {}


_SEQUENCES: Mapping[str, Any] = {"tuple": tuple, "set": (set, frozenset)}
_MAKERS: Mapping[str, Callable[[list[Any]], Any]] = {"tuple": tuple, "set": set, "dict": dict}
encode, decode = Codec().encode, Codec().decode


def claim(text: str) -> Any:
    """A student's answer, from the JSON that their process sent."""
    if len(text) > LONGEST:
        raise BadInput(f"An answer of {len(text):,} characters is too long.", fix="Answer in a few words.")
    try:
        return Claims().decode(json.loads(text))
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise BadInput("The answer is not valid JSON.", fix="Answer with numbers and strings.") from error


def _paths(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    return {**given, "path": Path(given["path"])} if kind == LoadResult.__name__ else given
