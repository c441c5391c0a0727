"""One quantity against another: a sweep, a scatter of requests, a line over time.

Every plot has names and units on both axes, and the lab's stamp.
"""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes

from labkit.evidence.curves import Curves
from labkit.view.picture import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    Picture,
    caption,
    empty,
    grid,
    legend,
)

COLOURS = [BLUE, RED, GREEN, ORANGE, PURPLE, BLACK]
MARKERS = ["o", "s", "^", "D", "v", "P"]
CROWDED = 25  # from this many points on, a line would only hide the cloud that they form


def picture(curves: Curves, *, title: str, stamp: str) -> Picture:
    """The curves in one panel, few points joined and many as a cloud; with its alternative text."""
    kept = {name: sorted(points) for name, points in curves.points.items()}
    figure = empty(3.4)
    axis = figure.subplots()
    for i, (name, points) in enumerate(kept.items()):
        line = "" if len(points) >= CROWDED else "-"
        x, y = [x for x, _ in points], [y for _, y in points]
        axis.plot(
            x, y, linestyle=line, marker=MARKERS[i % 6], ms=4.5, lw=1.3, color=COLOURS[i % 6], label=name
        )
    _marks(axis, curves)
    _dress(axis, curves)
    caption(figure, title=title, stamp=stamp)
    return Picture(figure, f"{title} ({curves.y} against {curves.x}): {_words(kept) or 'no points'}.")


def _marks(axis: Axes, curves: Curves) -> None:
    for name, value in curves.x_marks.items():
        axis.axvline(value, color=GREY, lw=1.2, linestyle=(0, (4, 3)), label=f"{name}: {value:.3g}")
    for name, value in curves.y_marks.items():
        axis.axhline(value, color=GREY, lw=1.2, linestyle=(0, (1, 1)), label=f"{name}: {value:.3g}")


def _dress(axis: Axes, curves: Curves) -> None:
    axis.set_xlabel(curves.x)
    axis.set_ylabel(curves.y)
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
    grid(axis)
    legend(axis)


def _words(kept: Mapping[str, list[tuple[float, float]]]) -> str:
    """The alternative text of the plot."""
    told = [
        f"{name} from {_point(points[0])} to {_point(points[-1])}" for name, points in kept.items() if points
    ]
    return "; ".join(told)


def _point(point: tuple[float, float]) -> str:
    return f"({point[0]:.3g}, {point[1]:.3g})"
