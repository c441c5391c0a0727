"""Requests during rolling updates: a panel for each update, a mark for each request that ended.

The x-axis is when it was sent, the y-axis how long its answer took, or how far it got before it was cut off.
Requests cut off at the same moment lie on one falling line. Colour and shape both show version or failure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.load import LoadResult, Row
from labkit.view.picture import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    SMALL,
    Picture,
    caption,
    empty,
    grid,
)

VERSIONS = [(BLUE, "o"), (GREEN, "s"), (SKY, "^")]
FAILURES = {"broken": (RED, "X"), "reset": (PURPLE, "P"), "refused": (PURPLE, "v"), "http_503": (ORANGE, "D")}
OTHER = (GREY, "*")
COLUMNS = 2


@dataclass(frozen=True)
class _Group:
    """Requests that ended in the same way, with their style."""

    label: str
    colour: str
    marker: str
    rows: Sequence[Row]


def picture(runs: Mapping[str, LoadResult], *, title: str, stamp: str) -> Picture:
    """All runs on the same axes, with their alternative text."""
    lines = -(-max(1, len(runs)) // COLUMNS)
    figure = empty(0.8 + 2.5 * lines)
    axes = list(figure.subplots(lines, COLUMNS, sharex=True, sharey=True, squeeze=False).flatten())
    seen: dict[str, _Group] = {}
    for axis, (name, run) in zip(axes, runs.items(), strict=False):
        for group in _groups(run):
            seen.setdefault(group.label, group)
            _draw(axis, group)
        failed = sum(run.failures().values())
        axis.set_title(f"{name}: {failed} failed", fontsize=10, loc="left")
    for axis in axes[len(runs) :]:
        axis.set_visible(False)
    _dress(figure, axes)
    _legend(figure, seen)
    told = "; ".join(f"{name}: {_counts(run)}" for name, run in runs.items())
    for axis in axes[max(0, len(runs) - COLUMNS) : len(runs)]:
        axis.set_xlabel("sent, lab time (s)", fontsize=SMALL)
        axis.tick_params(labelbottom=True)
    caption(figure, title=title, stamp=stamp)
    return Picture(figure, f"{title}. {told or 'No runs'}.")


def _groups(run: LoadResult) -> list[_Group]:
    versions = sorted({row.version for row in run.rows if row.ok})
    answered = [
        _Group(f"answered by {version or '?'}", *look, [r for r in run.rows if r.ok and r.version == version])
        for version, look in zip(versions, VERSIONS, strict=False)
    ]
    failed = [
        _Group(kind, *FAILURES.get(kind, OTHER), [row for row in run.rows if row.outcome == kind])
        for kind in run.failures()
    ]
    return answered + failed


def _draw(axis: Axes, group: _Group) -> None:
    x, y = [row.sent for row in group.rows], [row.end - row.sent for row in group.rows]
    size = 9 if group.label.startswith("answered") else 30
    axis.scatter(x, y, s=size, color=group.colour, marker=group.marker, linewidths=0, alpha=0.8)


def _counts(run: LoadResult) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in run.failures().items())
    return f"{sum(run.failures().values())} failed{f' ({kinds})' if kinds else ''}"


def _dress(figure: Figure, axes: Sequence[Axes]) -> None:
    for axis in axes:
        grid(axis)
        axis.set_xlim(left=0)
        axis.set_ylim(bottom=0)
    figure.supylabel("length of the answer, lab time (s)", fontsize=SMALL)


def _legend(figure: Figure, seen: Mapping[str, _Group]) -> None:
    answered_first = sorted(seen, key=lambda label: (not label.startswith("answered"), label))
    handles = [
        figure.axes[0].scatter([], [], s=30, color=seen[label].colour, marker=seen[label].marker, label=label)
        for label in answered_first
    ]
    if handles:
        figure.legend(handles=handles, loc="outside right upper", fontsize=SMALL, frameon=False)
