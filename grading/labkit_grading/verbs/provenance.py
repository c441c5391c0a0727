"""Where a value came from: the call of a verb that gave it, and what that call was made on and with.

The broker notes it of everything that it hands out, and `expected` of everything that the course's own cells
ask for; `likeness` compares the two. Pure.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from labkit.errors import BadInput
from labkit_grading.judging.codec import Codec
from labkit_grading.kernel.wire import SENT
from labkit_grading.verbs.table import VERBS

NUMBERED = frozenset({"follow", "load", "pace", "record", "requests_by_pod", "time_start", "trial"})
"""Verbs whose calls in a cell are counted: two with the same arguments are not the same."""
ENDING = frozenset({"load.stop", "record.mark", "record.reach", "record.stop"})
"""Verbs that change what the call before them began."""
WAITS = frozenset({"until", "until_healthy", "until_metric", "watch"})
SHOWN = frozenset({"plot", "show", "table"})
"""Verbs that nothing comes of."""
LARGEST, MOST = 16 * 2**20, 20_000  # characters and calls: a notebook of the course stays far below
UNKNOWN = "\0"
"""Stands in a text for what only the lab knows."""
Place = tuple[str, str]
"""A verb, and the cell that called it."""


@dataclass(frozen=True, eq=False)
class Made:
    """One call: the verb as `table` has it, its cell, the how manyeth there, and on what and with what."""

    verb: str
    cell: str
    number: int = 0
    on: Made | None = None
    args: tuple[Any, ...] = ()
    words: Mapping[str, Any] = field(default_factory=dict)
    then: list[Place] = field(default_factory=list, repr=False)
    """What changed what it began: each verb and its cell, in their order."""
    after: int = 0
    """How much of that had changed `on` when it was made."""

    @property
    def before(self) -> list[Place]:
        """What had changed `on` when it was made."""
        return self.on.then[: self.after] if self.on else []


@dataclass
class Calls:
    """All calls of one notebook, in their order."""

    made: list[Made] = field(default_factory=list)
    counted: Counter[tuple[str, str]] = field(default_factory=Counter)
    serving: Made | None = None
    """The last load on the lab's Service."""

    def take(
        self, verb: str, cell: str, on: Made | None, args: tuple[Any, ...], words: Mapping[str, Any]
    ) -> Made:
        """Note a call."""
        number = self.counted[verb, cell] if verb in NUMBERED else 0
        self.counted[verb, cell] += 1
        one = Made(verb, cell, number, on, args, words, after=len(on.then) if on else 0)
        changed = [on] if verb in ENDING and on is not None else []
        if one.verb == "load" and "url" not in words:  # the lab ends what still runs on its Service
            changed, self.serving = [self.serving] if self.serving else [], one
        for other in changed:
            other.then.append((verb, cell))
        self.made.append(one)
        return one

    def loads(self, until: int | None = None) -> dict[str, list[Made]]:
        """By cell, the loads that it started, up to a call."""
        return _by_cell(one for one in self.made[:until] if one.verb == "load")

    def steps(self, to: Iterable[Made]) -> dict[str, list[Made]]:
        """By cell of some calls, what it changed or waited for before the last of them."""
        last = {cell: max(self.made.index(one) for one in found) for cell, found in _by_cell(to).items()}
        return {
            cell: [one for one in self.made[:end] if one.cell == cell and _is_step(one)]
            for cell, end in last.items()
        }


def _by_cell(calls: Iterable[Made]) -> dict[str, list[Made]]:
    found: dict[str, list[Made]] = defaultdict(list)
    for one in calls:
        found[one.cell].append(one)
    return found


def _is_step(one: Made) -> bool:
    return VERBS[one.verb].changes or one.verb in WAITS


@dataclass
class Provenance(Codec):
    """Reads a student's message: for an object of the grader's, the call that gave it."""

    records = SENT
    given: dict[int, Made] = field(default_factory=dict)
    calls: Calls = field(default_factory=Calls)
    size: int = 0
    """Characters of everything that was asked."""
    _last: Made | None = None
    _first: int = 0

    def begin(self, first: int) -> None:
        """A message comes; what it is given has numbers from `first` on."""
        self._last, self._first = None, first

    def asked(self, verb: str, cell: str, message: Mapping[str, Any]) -> None:
        """Note what it asks for, unless it is only to be shown; raises `BadInput` for far too much."""
        if verb in SHOWN:
            return
        self.size += len(json.dumps([message["args"], message["words"]]))
        if self.size > LARGEST or len(self.calls.made) >= MOST:
            raise BadInput("This notebook asked for too much.", fix="Ask for what the course asks for.")
        args = tuple(map(self.decode, message["args"]))
        words = {key: self.decode(value) for key, value in message["words"].items()}
        self._last = self.calls.take(verb, cell, self.given.get(int(message["on"])), args, words)

    def gave(self, end: int) -> None:
        """It was given everything up to a number: all that is, or is part of, what the call returned."""
        if self._last is not None:
            self.given |= dict.fromkeys(range(self._first, end), self._last)

    def special(self, kind: str, data: Mapping[str, Any]) -> Any:
        """The call that gave a numbered object; None for the lab."""
        if kind == "ref":
            return self.given.get(int(data["n"]))
        return super().special(kind, data)
