"""The capstone's terms and score: pure, from a recorded run, so that a grader can use other seeds.

>>> score(run, load, Terms())                                                             # doctest: +SKIP
<score: 98 % in time, 2,400 of 3,000 GPU-seconds, at most 2 GPUs, 0 failed: met>

Terms are not weighed against each other: all are met, or the run fails. Then fewer GPU-seconds win.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from labkit.errors import BadInput
from labkit.evidence.timeline import Timeline
from labkit.load.results import LoadResult


@dataclass(frozen=True)
class Terms:
    """What users are promised, and what that is allowed to cost. Times are lab seconds."""

    ttft: float = 10.0
    itl: float = 0.2
    share: float = 0.95
    gpu_seconds: float = 3000.0
    gpus: int = 6
    seconds: float = 1200.0

    def __str__(self) -> str:
        promise = (
            f"{self.share:.0%} of requests: first token within {self.ttft:g} s, then {self.itl:g} s each"
        )
        price = f"{self.gpu_seconds:,.0f} GPU-seconds in {self.seconds:,.0f} s, {self.gpus} GPUs at once"
        return f"{promise}; at most {price}; no failed request"


@dataclass(frozen=True)
class Score:
    """How a run compares with the terms."""

    terms: Terms
    attainment: float
    gpu_seconds: float
    peak: int
    failed: int
    doubts: tuple[str, ...] = ()

    def __repr__(self) -> str:
        held = f"{self.gpu_seconds:,.0f} of {self.terms.gpu_seconds:,.0f} GPU-seconds"
        end = "met" if self.met else f"not met ({'; '.join(self.broken())})"
        most = f"at most {self.peak} GPUs, {self.failed} failed"
        return f"<score: {self.attainment:.0%} in time, {held}, {most}: {end}>"

    @property
    def met(self) -> bool:
        """Whether all terms were met."""
        return not any(self.broken())

    def broken(self) -> Iterator[str]:
        """Each term that was not met, in words."""
        terms = self.terms
        if self.attainment < terms.share:
            yield f"{self.attainment:.1%} in time instead of {terms.share:.0%}"
        if self.gpu_seconds > terms.gpu_seconds:
            yield f"{self.gpu_seconds:,.0f} GPU-seconds instead of {terms.gpu_seconds:,.0f}"
        if self.peak > terms.gpus:
            yield f"{self.peak} GPUs at once instead of {terms.gpus}"
        if self.failed:
            yield f"{self.failed} requests failed"


def score(run: Timeline, load: LoadResult, terms: Terms) -> Score:
    """The score of a recorded run, from the start of its load."""
    if not run.began:
        raise BadInput("This timeline was not recorded.", fix="Pass the result of seen.stop(…).")
    began = (load.started - run.began) * load.clock
    held = run.one("gpus")
    return Score(
        terms=terms,
        attainment=load.slo(ttft=terms.ttft, itl=terms.itl).share,
        gpu_seconds=held.area(began, began + terms.seconds),
        peak=int(max((value for t, value in held.points if t >= began), default=0)),
        failed=sum(load.failures().values()),
        doubts=tuple(load.doubts),
    )
