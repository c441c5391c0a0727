"""How far the what-if model is off: its outcomes next to a run on the cluster, over the same span.

One run is one throw of the dice (scrapes and syncs start at random times), so the model is asked with several
seeds and its mean is compared. The load generator's doubts about the run stay visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from course.hpa.scenario import Scenario
from course.hpa.simulator import Outcome, simulate
from labkit.errors import BadInput
from labkit.evidence.load_series import WIDTH
from labkit.evidence.timeline import Timeline
from labkit.load.results import LoadResult
from labkit.metrics.series import area

CLOSE_REPLICAS, CLOSE_POINTS = 0.10, 0.05
"""The model is good enough to choose by: replica-seconds within 10 %, attainment within 5 points."""


@dataclass(frozen=True)
class Figure:
    """One quantity on the cluster and in the model (mean, minimum and maximum over seeds)."""

    name: str
    real: float
    model: float
    least: float
    most: float
    relative: bool

    @property
    def error(self) -> float:
        """Model minus cluster: as a share of the cluster's value if `relative`, otherwise absolute."""
        difference = self.model - self.real
        return difference / self.real if self.relative else difference

    def row(self) -> dict[str, str]:
        """As a row of a table."""
        if self.relative:
            shown = [f"{v:,.0f}" for v in (self.real, self.model, self.least, self.most)]
            error = f"{self.error:+.1%}"
        else:
            shown = [f"{v:.1%}" for v in (self.real, self.model, self.least, self.most)]
            error = f"{100 * self.error:+.1f} points"
        names = ("cluster", "model", "least", "most")
        return {"": self.name, **dict(zip(names, shown, strict=True)), "error": error}


@dataclass(frozen=True)
class Comparison:
    """All figures, and the doubts about the run on which they were measured."""

    figures: tuple[Figure, ...]
    doubts: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [" · ".join(f"{k} {v}".strip() for k, v in figure.row().items()) for figure in self.figures]
        return "\n".join([*lines, *(f"in doubt: {doubt}" for doubt in self.doubts)])

    @property
    def close(self) -> bool:
        """Whether every error is small enough for a choice between policies."""
        return all(abs(f.error) <= (CLOSE_REPLICAS if f.relative else CLOSE_POINTS) for f in self.figures)

    def rows(self) -> list[dict[str, str]]:
        """As rows of a table."""
        return [figure.row() for figure in self.figures]


def compare(
    scenario: Scenario, run: Timeline, load: LoadResult, *, ttft: float, seeds: Sequence[int] = range(10)
) -> Comparison:
    """Simulate a run's scenario with each seed, and compare the results with the recording.

    `run` is the recording with the load's series in it (`recording.stop(result)`), `ttft` the promise.
    """
    shift = _began(run)
    span = run.end() - shift
    fitted = replace(scenario, drain=max(0.0, span - scenario.requests.seconds))
    outcomes = [simulate(replace(fitted, seed=seed)) for seed in seeds]
    slo = load.slo(ttft=ttft)
    figures = (
        _replicas("ready replica-seconds", run.one("ready").area(shift, run.end()), outcomes, "ready"),
        _replicas("desired replica-seconds", run.one("desired").area(shift, run.end()), outcomes, "desired"),
        _figure(f"TTFT ≤ {ttft:g} s", slo.share, [o.attainment(ttft=ttft) for o in outcomes], relative=False),
    )
    return Comparison(figures, tuple(load.doubts))


def _began(run: Timeline) -> float:
    """When the load began, in the recording's lab seconds: half a window before its first point."""
    offered = run.one("offered").points
    if not offered:
        raise BadInput(
            "The recording does not include the load.",
            cause="It was stopped without the load's result.",
            fix="run = seen.stop(users.result())",
        )
    return offered[0][0] - WIDTH / 2


def _replicas(name: str, real: float, outcomes: Sequence[Outcome], field: str) -> Figure:
    found = [area(getattr(outcome, field), 0.0, outcome.seconds) for outcome in outcomes]
    return _figure(name, real, found, relative=True)


def _figure(name: str, real: float, found: Sequence[float], *, relative: bool) -> Figure:
    return Figure(name, real, fmean(found), min(found), max(found), relative)
