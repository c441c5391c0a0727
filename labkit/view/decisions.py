"""Why it did, or did not, scale: a recorded run with its decisions numbered, and a sentence for each.

Refuses to reason: it is handed sentences.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from labkit.evidence import Timeline
from labkit.view import plot
from labkit.view.table import Table

Told = tuple[float, float, str]
"""(lab second, replicas after it, why)"""

LEVELS = 3  # neighbours are written at different heights, so that their numbers don't cover each other


def picture(run: Timeline, told: Sequence[Told], *, title: str) -> plot.Picture:
    """The recording as a scale-out plot, with a number at each decision."""
    figure = plot.scale_out(run, title=title)
    for axis in figure.axes:
        if axis.get_ylabel() == "replicas":
            _number(axis, told)
    steps = "; ".join(f"{at:.0f} s: {why}" for at, _, why in told)
    return plot.Picture(figure, f"{title}. {steps}")


def table(told: Sequence[Told], *, title: str, stamp: str) -> Table:
    """The sentences, with the numbers that the plot shows."""
    rows = [[str(i), f"{at:.0f}", f"{after:g}", why] for i, (at, after, why) in enumerate(told, 1)]
    columns = ["#", "lab s", "replicas", "why"]
    return Table(title, columns, rows, stamp=stamp, empty="the controller never looked", wraps="why")


def _number(axis: Axes, told: Sequence[Told]) -> None:
    for i, (at, after, _) in enumerate(told):
        axis.annotate(
            str(i + 1),
            (at, after),
            xytext=(0, 8 + 11 * (i % LEVELS)),
            textcoords="offset points",
            ha="center",
            fontsize=7,
            color=plot.BLACK,
            bbox={"boxstyle": "circle,pad=0.15", "fc": "white", "ec": plot.GREY, "lw": 0.6},
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": plot.GREY},
        )
    axis.set_ylim(0, axis.get_ylim()[1] * 1.25)
