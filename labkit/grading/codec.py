"""Evidence as JSON and back: plain data, and the few frozen records that checks are handed.

Never pickle: what is read back may have passed through a stranger's hands. A class is made only where it
stands in `RECORDS`, and `claim` reads a student's answer, which may hold none of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from labkit.errors import BadInput
from labkit.evidence.queueing import LoadPoint
from labkit.evidence.states import Span, States
from labkit.evidence.timeline import Event, Series, Timeline
from labkit.load.results import LoadResult
from labkit.load.rows import Row

RECORDS: Mapping[str, Any] = {
    kind.__name__: kind for kind in (Event, LoadPoint, LoadResult, Row, Series, Span, States, Timeline)
}
KIND = "$"  # the key that tells a tagged value from a plain mapping
PLAIN = (str, int, bool, type(None))
LONGEST = 64 * 2**10  # characters of one answer


@dataclass
class Tabulated:
    """A function that a student wrote, as far as it was asked: each argument list with its result."""

    asked: dict[str, Any] = field(default_factory=dict)
    live: Callable[..., Any] | None = None

    def __call__(self, *args: Any) -> Any:
        """What the function gave for these arguments, now or when it was recorded."""
        key = json.dumps(encode(args))
        if self.live is not None:
            self.asked[key] = self.live(*args)
        if key not in self.asked:
            raise LookupError(f"it was never asked for {args}")
        return self.asked[key]


def encode(value: Any) -> Any:
    """As JSON; raises `BadInput` for what can't be evidence."""
    if isinstance(value, PLAIN):
        return value
    form = next((form for kinds, form in _FORMS if isinstance(value, kinds)), None)
    if form is None and RECORDS.get(type(value).__name__) is type(value):
        form = _record
    if form is None:
        raise BadInput(
            f"{type(value).__name__} is no answer.",
            fix="Answers are numbers, texts, lists and dicts of them, or a function.",
        )
    return form(value)


def _record(value: Any) -> Any:
    given = {f.name: encode(getattr(value, f.name)) for f in fields(value)}
    return {KIND: type(value).__name__, "fields": given}


def _items(kind: str) -> Callable[[Any], Any]:
    return lambda value: {KIND: kind, "items": [encode(item) for item in value]}


_FORMS: Sequence[tuple[Any, Callable[[Any], Any]]] = (
    (float, lambda v: v if math.isfinite(v) else {KIND: "float", "value": repr(v)}),
    (list, lambda v: [encode(item) for item in v]),
    (tuple, _items("tuple")),
    ((set, frozenset), _items("set")),
    (type(...), lambda _: {KIND: "..."}),
    (Tabulated, lambda v: {KIND: "function", "asked": {k: encode(item) for k, item in v.asked.items()}}),
    (Mapping, lambda v: {KIND: "dict", "items": [[encode(key), encode(item)] for key, item in v.items()]}),
    (Path, lambda v: v.name),
)


def decode(data: Any) -> Any:
    """The inverse of `encode`; raises `BadInput` for anything else."""
    return _decode(data, RECORDS)


def claim(text: str) -> Any:
    """A student's answer, from the JSON that their process sent: no record of ours can be in it."""
    if len(text) > LONGEST:
        raise BadInput(f"An answer of {len(text):,} characters is none.", fix="Answer in a few words.")
    try:
        return _decode(json.loads(text), {})
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise BadInput("The answer is no JSON of ours.", fix="Answer with numbers and texts.") from error


def _decode(data: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(data, list):
        return [_decode(item, known) for item in data]
    return _tagged(data, known) if isinstance(data, dict) else data


def _tagged(data: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    kind = str(data.get(KIND))
    if kind in known:
        return known[kind](**_paths(kind, {k: _decode(v, known) for k, v in data["fields"].items()}))
    if kind == "function" and known:
        return Tabulated({key: _decode(item, known) for key, item in data["asked"].items()})
    if kind == "float":
        return float(str(data["value"]))
    if kind == "...":
        return ...
    if kind not in _MAKERS:
        raise BadInput(f"{kind:.40} is no kind of evidence.", fix="Answer with numbers and texts.")
    return _MAKERS[kind](_decode(data["items"], known))


_MAKERS: Mapping[str, Callable[[list[Any]], Any]] = {"tuple": tuple, "set": set, "dict": dict}


def _paths(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    return {**given, "path": Path(given["path"])} if kind == LoadResult.__name__ else given
