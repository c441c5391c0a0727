"""One quantity against another: a sweep, a scatter of requests, a line over time.

Refuses to draw without names and units on both axes and the stamp of the rung.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.view.plot import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, Picture

Points = Iterable[tuple[float, float]]
COLOURS = [BLUE, RED, GREEN, ORANGE, PURPLE, BLACK]
MARKERS = ["o", "s", "^", "D", "v", "P"]
CROWDED = 25  # points: from here on they are a cloud, and a line through them only hides it


@dataclass(frozen=True)
class Frame:
    """What stands around the curves; `x_marks` and `y_marks` are lines with a name at a value."""

    title: str
    x: str
    y: str
    stamp: str
    x_marks: Mapping[str, float] = field(default_factory=dict)
    y_marks: Mapping[str, float] = field(default_factory=dict)


def picture(curves: Mapping[str, Points], frame: Frame) -> Picture:
    """The curves in one panel, few points joined and many as a cloud; with its words."""
    kept = {name: sorted(points) for name, points in curves.items()}
    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    axis = figure.subplots()
    for i, (name, points) in enumerate(kept.items()):
        line = "" if len(points) >= CROWDED else "-"
        x, y = [x for x, _ in points], [y for _, y in points]
        axis.plot(
            x, y, linestyle=line, marker=MARKERS[i % 6], ms=4.5, lw=1.3, color=COLOURS[i % 6], label=name
        )
    _marks(axis, frame)
    _dress(axis, frame)
    figure.suptitle(frame.title, fontsize=13, fontweight="bold", x=0.01, ha="left")
    figure.supxlabel(frame.stamp, fontsize=8, color=GREY, x=0.99, ha="right")
    return Picture(figure, _words(kept, frame))


def _marks(axis: Axes, frame: Frame) -> None:
    for name, value in frame.x_marks.items():
        axis.axvline(value, color=GREY, lw=1.2, linestyle=(0, (4, 3)), label=f"{name}: {value:.3g}")
    for name, value in frame.y_marks.items():
        axis.axhline(value, color=GREY, lw=1.2, linestyle=(0, (1, 1)), label=f"{name}: {value:.3g}")


def _dress(axis: Axes, frame: Frame) -> None:
    axis.set_xlabel(frame.x)
    axis.set_ylabel(frame.y)
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
    axis.grid(visible=True, color="#E5E5E5", lw=0.7)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(loc="upper left", bbox_to_anchor=(1.005, 1.03), fontsize=8, frameon=False)


def _words(curves: Mapping[str, list[tuple[float, float]]], frame: Frame) -> str:
    """What the picture shows, for those who can't see it."""
    told = [
        f"{name} from {_point(points[0])} to {_point(points[-1])}"
        for name, points in curves.items()
        if points
    ]
    return f"{frame.title} ({frame.y} against {frame.x}): {'; '.join(told) or 'no points'}."


def _point(point: tuple[float, float]) -> str:
    return f"({point[0]:.3g}, {point[1]:.3g})"
