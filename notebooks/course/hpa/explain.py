"""Why it did, or did not, scale: a recorded run with its decisions numbered, and a sentence for each.

The reasoning is the ledger's: it gives the sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from matplotlib.axes import Axes

from course.hpa import ledger
from labkit.evidence import Timeline
from labkit.lab import Lab
from labkit.view import notebook, plot
from labkit.view.picture import BLACK, GREY, SMALL, Picture
from labkit.view.table import Table

Told = tuple[float, float, str]
"""(lab second, replicas after it, why)"""

APART = 0.05  # share of the axis: two numbers closer than this would overlap in one row
ROW = 0.14  # of the panel's height


@runtime_checkable
class Explains(Protocol):
    """A lab that explains a run itself: a grader's, whose audit logs its student must not see."""

    def why(self, run: Timeline, *, title: str, hpa: str) -> None:
        """As `why`."""
        ...


def why(lab: Lab, run: Timeline, *, title: str = "Why did it (not) scale?", hpa: str = "llm-hpa") -> None:
    """Show each new decision of the HPA, as a number in the plot of a run and as a sentence.

    The decisions come from the audit logs of the API server and the adapter; embedded and kind keep them.
    """
    if isinstance(lab, Explains):
        return lab.why(run, title=title, hpa=hpa)
    found = ledger.of_lab(lab, run, hpa=hpa)
    told = found.telling().sentences()
    notebook.show(picture(run, told, title=title))
    notebook.show(table(told, title=str(found), stamp=lab.session.stamp))
    return None


def picture(run: Timeline, told: Sequence[Told], *, title: str) -> Picture:
    """The recording as a scale-out plot, with a number at each decision."""
    figure = plot.scale_out(run, title=title)
    for axis in figure.axes:
        if axis.get_ylabel() == "replicas":
            _number(axis, told)
    steps = "; ".join(f"{at:.0f} s: {why}" for at, _, why in told)
    return Picture(figure, f"{title}. {steps}")


def table(told: Sequence[Told], *, title: str, stamp: str) -> Table:
    """The sentences, with the numbers that the plot shows."""
    rows = [[str(i), f"{at:.0f}", f"{after:g}", why] for i, (at, after, why) in enumerate(told, 1)]
    columns = ["#", "lab s", "replicas", "why"]
    return Table(title, columns, rows, stamp=stamp, empty="the controller never synced", wraps="why")


def _number(axis: Axes, told: Sequence[Told]) -> None:
    """Draw the numbers in rows above the curves, each with a line down to its moment."""
    left, right = axis.get_xlim()
    rows = _rows([at for at, _, _ in told], APART * (right - left))
    for number, ((at, after, _), row) in enumerate(zip(told, rows, strict=True), 1):
        axis.annotate(
            str(number),
            (at, after),
            xytext=(at, 1 - ROW * (row + 0.5)),
            textcoords=axis.get_xaxis_transform(),
            ha="center",
            va="center",
            fontsize=SMALL,
            color=BLACK,
            bbox={"boxstyle": "circle,pad=0.15", "fc": "white", "ec": GREY, "lw": 0.6},
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": GREY, "shrinkA": 0, "shrinkB": 0},
        )
    highest = max([1.0, *(after for _, after, _ in told), axis.dataLim.y1])
    axis.set_ylim(0, highest / (1 - ROW * (max(rows, default=0) + 1.3)))


def _rows(moments: Sequence[float], apart: float) -> list[int]:
    """For each moment, the first row from the top with enough distance to the previous number."""
    last: list[float] = []
    rows = []
    for at in moments:
        row = next((i for i, before in enumerate(last) if at - before >= apart), len(last))
        last[row : row + 1] = [at]
        rows.append(row)
    return rows
