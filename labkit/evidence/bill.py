"""What a run cost and what it bought: GPU-seconds against promises kept.

Both cover the same span, a fixed number of lab seconds since the load began, so policies can be compared.
The load generator's doubts about the run stay visible.
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.errors import BadInput
from labkit.evidence.timeline import Timeline
from labkit.load.results import LoadResult


@dataclass(frozen=True, repr=False)
class Bill:
    """`kept` of `requests` got their first token within `ttft` lab s; GPUs were held for `gpu_seconds`."""

    requests: int
    kept: int
    gpu_seconds: float
    ttft: float
    seconds: float
    doubts: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<bill: {self}>"

    def __str__(self) -> str:
        return f"{self.attainment:.0%} within {self.ttft:g} s for {self.gpu_seconds:,.0f} GPU s"

    @property
    def attainment(self) -> float:
        """Share of the requests that were answered in time."""
        return self.kept / self.requests if self.requests else 0.0

    @property
    def price(self) -> float:
        """GPU-seconds per promise kept."""
        return self.gpu_seconds / self.kept if self.kept else float("inf")

    def row(self) -> dict[str, str]:
        """As a row of a table."""
        return {
            "requests": f"{self.requests}",
            f"first token within {self.ttft:g} s": f"{self.attainment:.0%}",
            "GPU-seconds": f"{self.gpu_seconds:,.0f}",
            "GPU-seconds for a promise kept": f"{self.price:.1f}",
        }


def bill(run: Timeline, load: LoadResult, *, ttft: float, seconds: float) -> Bill:
    """The bill of a recorded run over `seconds` lab seconds since its load began.

    A request without an answer at the end broke its promise if it had already waited longer than that.
    """
    if not run.began:
        raise BadInput("This timeline was not recorded.", fix="Pass the result of seen.stop(…).")
    began = (load.started - run.began) * load.clock
    slo = load.slo(ttft=ttft)
    return Bill(
        requests=slo.total,
        kept=slo.met,
        gpu_seconds=run.one("gpus").area(began, began + seconds),
        ttft=ttft,
        seconds=seconds,
        doubts=tuple(load.doubts),
    )
