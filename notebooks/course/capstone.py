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
from labkit.load import traces
from labkit.load.results import LoadResult
from labkit.load.rows import Row
from labkit.load.traces import Trace

MOMENT = 0.001  # lab seconds: a journal rounds its times


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


def day(seed: int) -> Trace:
    """The day that the notebook sends: an hour of conversations, thinned, and played in twenty minutes."""
    whole = traces.synthetic("conv", seconds=3600, seed=seed).thinned(rate=0.4, seed=seed)
    return whole.capped(tokens_in=2000, tokens_out=400).faster(3)


def is_the_day(load: LoadResult, seed: int) -> bool:
    """Whether a load sent the whole day, request by request; True if it is not known what was sent."""
    if "seed" not in load.plan:
        return True
    arrivals = day(seed).arrivals()
    wanted = list(zip(arrivals.times, arrivals.sizes or (), strict=True))
    sent = sorted(load.rows, key=lambda row: row.due)
    return len(sent) == len(wanted) and all(map(_is_asked, sent, wanted))


def _is_asked(row: Row, wanted: tuple[float, tuple[int, int]]) -> bool:
    """Whether a request was due at a moment and, if it was answered, of that many tokens in and out."""
    due, size = wanted
    return abs(row.due - due) < MOMENT and (not row.ok or (row.tokens_in, row.tokens_out) == tuple(size))


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
