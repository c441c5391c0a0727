"""The frontier: promises kept against GPU-seconds, one dot for each policy, and what the cluster said.

Refuses to mix the two: dots are the what-if model's, stars the cluster's, and the legend says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from labkit.view.plot import BLACK, BLUE, GREY, ORANGE, RED, SKY, Picture

Dot = tuple[float, float]
"""(GPU-seconds, share of requests in time)"""

LOOKS = {"static": (BLUE, "s", 30), "CPU": (ORANGE, "^", 30), "queue": (SKY, "o", 12)}
OTHER = (GREY, "D", 20)


@dataclass(frozen=True)
class Cloud:
    """What is drawn: the dots of each family, the frontier, and named points that were really run."""

    families: Mapping[str, Sequence[Dot]]
    frontier: Sequence[Dot]
    real: Mapping[str, Dot] = field(default_factory=dict)


def picture(cloud: Cloud, *, title: str, promise: float, stamp: str) -> Picture:
    """The cloud with its frontier; with its words."""
    figure = Figure(figsize=(9.6, 4.4), layout="constrained")
    axis = figure.subplots()
    for name, dots in cloud.families.items():
        colour, marker, size = LOOKS.get(name, OTHER)
        axis.scatter(*_xy(dots), s=size, c=colour, marker=marker, lw=0, alpha=0.75, label=f"{name} (model)")
    axis.step(*_xy(cloud.frontier), where="post", color=BLACK, lw=1.4, label="frontier (model)")
    _real(axis, cloud.real)
    _dress(axis, promise)
    figure.suptitle(title, fontsize=13, fontweight="bold", x=0.01, ha="left")
    figure.supxlabel(stamp, fontsize=8, color=GREY, x=0.99, ha="right")
    return Picture(figure, _words(cloud, title))


def _real(axis: Axes, real: Mapping[str, Dot]) -> None:
    for i, (name, (x, y)) in enumerate(real.items()):
        axis.scatter([x], [y], s=150, c=RED, marker="*", zorder=5, label="" if i else "on the cluster")
        axis.annotate(name, (x, y), xytext=(8, -12), textcoords="offset points", fontsize=9, color=BLACK)


def _dress(axis: Axes, promise: float) -> None:
    axis.set_xlabel("GPU-seconds (lab time)")
    axis.set_ylabel(f"first token within {promise:g} s")
    axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    axis.set_xlim(left=0)
    axis.set_ylim(0, 1.04)
    axis.grid(visible=True, color="#E5E5E5", lw=0.7)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axis.get_legend_handles_labels()
    shown = [(h, text) for h, text in zip(handles, labels, strict=True) if text]
    axis.legend(
        *zip(*shown, strict=True), loc="upper left", bbox_to_anchor=(1.005, 1.0), fontsize=8, frameon=False
    )


def _xy(dots: Sequence[Dot]) -> tuple[list[float], list[float]]:
    return [x for x, _ in dots], [y for _, y in dots]


def _words(cloud: Cloud, title: str) -> str:
    """What the picture shows, for those who can't see it."""
    ends = ", ".join(f"{y:.0%} for {x:,.0f}" for x, y in cloud.frontier)
    real = "".join(f"; {name} on the cluster: {y:.0%} for {x:,.0f}" for name, (x, y) in cloud.real.items())
    return f"{title}. Frontier (share in time for GPU-seconds): {ends or 'empty'}{real}."
