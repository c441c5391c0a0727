"""Checks in a graded run: recorded when the course's own cell calls them, judged once the notebook has ended.

Nothing that the student's process sees depends on what is right: neither an answer, nor an error, nor how
long it takes. A check that waits for a controller looks until its objects are still, right or not. The last
call of the course's own cell counts; what else was tried is for a person to see.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from labkit import checks
from labkit.checks import Check
from labkit.errors import BadInput, ClusterError, LabError
from labkit.evidence.reads import read
from labkit.kube.client import Kube
from labkit.lab import LOOKS
from labkit_grading.judging.bundle import Argument, Observation, Seen, figured
from labkit_grading.judging.codec import Codec
from labkit_grading.judging.reasons import MOST, of_lab
from labkit_grading.judging.sources import Source, constants, sources
from labkit_grading.kernel.handover import HandOver
from labkit_grading.kernel.wire import GraderCodec, is_ours, made_there
from labkit_grading.submissions.remark import shown
from localcluster import polling

STILL = 3
"""Looks in a row that see the same, half a second apart: more than one sync of the HPA."""
PAUSE = 0.5  # real seconds between two looks
VOLATILE = frozenset({"lastHeartbeatTime", "managedFields", "resourceVersion"})
INVALID = (LabError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
Looks = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Heard:
    """One call of a check in the course's own cell: what it was handed, and each look at what it reads."""

    check: Check
    at: float
    cell: str
    given: Mapping[str, Argument]
    looks: Looks
    unlike: tuple[str, ...] = ()
    """Why its recordings are not the course's."""

    def observation(self) -> Observation:
        """With the first look that the check passes on or, if there is none, the last."""
        handed = {key: one.value for key, one in self.given.items()}
        good = (look for look in self.looks[:-1] if self.check.run({**handed, **look}).passed)
        look = next(good, self.looks[-1])
        reads = {key: Argument(Source.READ, value) for key, value in look.items()}
        given = {**figured(self.check, self.given), **reads}
        return Observation(self.check.id, self.at, self.cell, given, self.unlike)


@dataclass
class Hearing:
    """The checks of one notebook."""

    answers: HandOver
    seat: Path
    kube: Kube
    codec: GraderCodec
    seen: Seen
    flag: Callable[[str], None]
    unlike: Callable[[str, str, Any], str]
    """For a recording that is handed to a check: why it is not the course's; empty if it is."""
    heard: list[Heard] = field(default_factory=list)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        released = self.answers.released
        self._sources, self._constants = sources(released), constants(released)

    def hear(self, name: str, words: Mapping[str, Any], *, cell: str, of: str) -> None:
        """Record a call in cell `cell`, which belongs to the check `of`."""
        if name != of:
            self.flag(f"asked the check {shown(name)} outside of its own cell, where it records nothing")
            return
        self.calls[name, cell] += 1
        if self.calls[name, cell] > 1:
            self.flag(f"called {name} several times in its cell: the last one counts")
        try:
            check, where = checks.get(name), self._sources.get(name, {})
            given = {key: self._given(name, key, one, words.get(key)) for key, one in where.items()}
            seen, unlike = distinct(looks(self.kube, check)), tuple(self._unlike(name, where, words))
            self.heard.append(Heard(check, time.time(), cell, given, seen, unlike))
        except ClusterError as error:
            self.seen.trouble = error.what
        except INVALID as error:
            self._explain(cell, error)

    def judge(self) -> None:
        """Turn all that was heard into observations, once nobody is listening any more."""
        for one in self.heard:
            try:
                self.seen.observations.append(one.observation())
            except INVALID as error:
                self._explain(one.cell, error)
        self.heard.clear()

    def _explain(self, cell: str, error: Exception) -> None:
        told = (
            error if isinstance(error, LabError) else BadInput(f"The call is not valid: {shown(str(error))}")
        )
        if len(self.seen.raised) < MOST:
            self.seen.raised.append(of_lab(cell, told, self.seat))

    def _given(self, check: str, key: str, source: Source, data: Any) -> Argument:
        """An argument, taken from the source that it must have."""
        if source is Source.COURSE:
            return Argument(source, self._constants[check][key])
        if source is Source.ANSWER:
            if not self.answers.same(check, key, data):
                self.flag(f"gave {check} another answer than its own cell held: that of the cell counts")
            return Argument(source, self.answers.given(check, key))
        return Argument(source, ..., own=False) if data is None else self._recorded(check, data)

    def _unlike(self, check: str, where: Mapping[str, Source], words: Mapping[str, Any]) -> Iterator[str]:
        """What the grader did record, but not where the course's own cells have it recorded."""
        recorded = [key for key, source in where.items() if source is Source.RECORDED]
        for key in recorded:
            if is_ours(words.get(key)) and (why := self.unlike(check, key, words[key])):
                yield f"{key} is not the course's: {why}"

    def _recorded(self, check: str, data: Any) -> Argument:
        """The grader's recording if there is one, else the student's claim."""
        if is_ours(data):
            return Argument(Source.RECORDED, self.codec.decode(data))
        if made_there(data):
            self.flag(f"passed to {check} a recording that it made itself")
        return Argument(Source.RECORDED, Codec().decode(data), own=False)


def looks(kube: Kube, check: Check) -> list[dict[str, Any]]:
    """What a check reads: once or, for what a controller writes, until nothing has changed for a while."""
    made = [read(kube, check.reads)]
    while check.settles and len(made) <= LOOKS and not _still(made):
        polling.pause(PAUSE)
        made.append(read(kube, check.reads))
    return made


def distinct(made: list[dict[str, Any]]) -> Looks:
    """Without those that saw nothing new."""
    changed = [later for earlier, later in pairwise(made) if _lasting(later) != _lasting(earlier)]
    return made[0], *changed


def _still(made: list[dict[str, Any]]) -> bool:
    last = [_lasting(look) for look in made[-STILL:]]
    return len(last) == STILL and all(one == last[0] for one in last)


def _lasting(thing: Any) -> Any:
    """Objects without what changes at each write, such as a node's heartbeat."""
    if isinstance(thing, Mapping):
        return {key: _lasting(value) for key, value in thing.items() if key not in VOLATILE}
    return [_lasting(one) for one in thing] if isinstance(thing, list) else thing
