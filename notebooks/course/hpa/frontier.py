"""The frontier: promises kept against GPU-seconds, one dot per policy, and the cluster's own runs.

The two are never mixed: dots are the what-if model's, stars the cluster's, and the legend says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from labkit.view.picture import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    RED,
    SKY,
    SMALL,
    Picture,
    caption,
    empty,
    grid,
    legend,
)

Dot = tuple[float, float]
"""(GPU-seconds, share of requests in time)"""

LOOKS = {"static": (BLUE, "s", 30), "CPU": (ORANGE, "^", 30), "queue": (SKY, "o", 12)}
OTHER = (GREY, "D", 20)


@dataclass(frozen=True)
class Cloud:
    """What is drawn: each family's dots, the frontier, and named points that were run on the cluster."""

    families: Mapping[str, Sequence[Dot]]
    frontier: Sequence[Dot]
    real: Mapping[str, Dot] = field(default_factory=dict)


def picture(cloud: Cloud, *, title: str, promise: float, stamp: str) -> Picture:
    """The cloud with its frontier, and its alternative text."""
    figure = empty(4.4)
    axis = figure.subplots()
    for name, dots in cloud.families.items():
        colour, marker, size = LOOKS.get(name, OTHER)
        axis.scatter(*_xy(dots), s=size, c=colour, marker=marker, lw=0, alpha=0.75, label=f"{name} (model)")
    axis.step(*_xy(cloud.frontier), where="post", color=BLACK, lw=1.4, label="frontier (model)")
    _real(axis, cloud.real)
    _dress(axis, promise)
    caption(figure, title=title, stamp=stamp)
    return Picture(figure, _words(cloud, title))


def _real(axis: Axes, real: Mapping[str, Dot]) -> None:
    for i, (name, (x, y)) in enumerate(real.items()):
        axis.scatter([x], [y], s=150, c=RED, marker="*", zorder=5, label="" if i else "on the cluster")
        axis.annotate(name, (x, y), xytext=(8, -12), textcoords="offset points", fontsize=SMALL, color=BLACK)


def _dress(axis: Axes, promise: float) -> None:
    axis.set_xlabel("GPU-seconds (lab time)")
    axis.set_ylabel(f"first token within {promise:g} s")
    axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    axis.set_xlim(left=0)
    axis.set_ylim(0, 1.04)
    grid(axis)
    handles, labels = axis.get_legend_handles_labels()
    shown = [(h, text) for h, text in zip(handles, labels, strict=True) if text]
    legend(axis, handles=[h for h, _ in shown], labels=[text for _, text in shown])


def _xy(dots: Sequence[Dot]) -> tuple[list[float], list[float]]:
    return [x for x, _ in dots], [y for _, y in dots]


def _words(cloud: Cloud, title: str) -> str:
    """The alternative text of the picture."""
    ends = ", ".join(f"{y:.0%} for {x:,.0f}" for x, y in cloud.frontier)
    real = "".join(f"; {name} on the cluster: {y:.0%} for {x:,.0f}" for name, (x, y) in cloud.real.items())
    return f"{title}. Frontier (share in time for GPU-seconds): {ends or 'empty'}{real}."
