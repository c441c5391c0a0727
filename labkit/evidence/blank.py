"""Whether there is anything to judge, or the evidence is empty or was stopped before anything happened.

Pure. A check asks this before it judges, so no check passes or fails anyone on empty evidence. Whether
there is *enough* is up to each check.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from labkit.evidence.bill import Bill
from labkit.evidence.cold_start import ColdStart
from labkit.evidence.outcomes import CUT_OFF
from labkit.evidence.pace import Pace
from labkit.evidence.states import States
from labkit.evidence.timeline import Timeline
from labkit.load.results import LoadResult
from labkit.metrics.series import Series

SHORTEST = 15.0  # lab seconds: the HPA syncs once in that time, so anything shorter contains no decision
_ON = "and those below it, in their order, down to this one."
LOAD_AGAIN = f"Start the load again: run the cell with lab.load(…) {_ON}"
RECORD_AGAIN = f"Run the cell with lab.record() again, {_ON}"
AGAIN = f"Run the cell that makes it again, {_ON}"


@dataclass(frozen=True)
class Blank:
    """Why there is nothing to judge yet, and which cells to run."""

    why: str
    hint: str = AGAIN


@singledispatch
def blank(evidence: Any) -> Blank | None:
    """What a recording lacks; None if there is something to judge."""
    return Blank("nothing was recorded") if evidence is None else None


@blank.register
def _(evidence: float) -> Blank | None:
    return Blank("Prometheus had no number yet", AGAIN) if math.isnan(evidence) else None


@blank.register
def _(evidence: Timeline) -> Blank | None:
    moments = [t for series in evidence.series for t, _ in series.points]
    if not moments:
        return Blank("the recording is empty", RECORD_AGAIN)
    length = max(moments) - min(moments)
    if length < SHORTEST:
        return Blank(f"the recording is only {length:.0f} lab seconds long", RECORD_AGAIN)
    return None


@blank.register
def _(evidence: Series) -> Blank | None:
    return None if len(evidence.points) > 1 else Blank("the series has fewer than two points", RECORD_AGAIN)


@blank.register
def _(evidence: LoadResult) -> Blank | None:
    if any(row.outcome not in CUT_OFF for row in evidence.rows):
        return None
    sent = "a request was sent" if not evidence.rows else "a request had ended"
    return Blank(f"the load was over before {sent}", LOAD_AGAIN)


@blank.register
def _(evidence: Bill) -> Blank | None:
    return None if evidence.requests else Blank("the bill is one of a load without a request", LOAD_AGAIN)


@blank.register
def _(evidence: States) -> Blank | None:
    return None if any(evidence.pods.values()) else Blank("no pod was seen")


@blank.register
def _(evidence: ColdStart) -> Blank | None:
    return None if evidence.phases else Blank("no start of a pod was seen")


@blank.register
def _(evidence: Pace) -> Blank | None:
    return None if evidence.created else Blank("no pod was created while it was recorded")


@blank.register(Mapping)
def _(evidence: Mapping[Any, Any]) -> Blank | None:
    return _any(evidence.values())


@blank.register(list)
@blank.register(tuple)
def _(evidence: Sequence[Any]) -> Blank | None:
    return _any(evidence)


def _any(parts: Iterable[Any]) -> Blank | None:
    """Runs to compare: a single blank one keeps the check from judging."""
    found = [blank(part) for part in parts]
    return next(filter(None, found), None) if found else Blank("nothing was recorded")
