"""A figure as a notebook shows it: its frame, its colours, and its alternative text.

Colours are Okabe and Ito's, and no line is identified by its colour alone. A picture is as wide as a
notebook's column, and its smallest letters stay readable in a window 800 pixels wide.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from html import escape
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, RED, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#767676"
YELLOW, OLIVE = "#F0E442", "#999933"
WIDTH = 8.6  # inches, at 100 dots per inch
SMALL = 9.5  # points: 10 pixels if a picture is 660 wide (JupyterLab in a window of 800)
TITLE = 13  # points


@dataclass(frozen=True)
class Picture:
    """A figure and its words, used as its plain text and as the alternative text of its image."""

    figure: Figure
    words: str

    def __str__(self) -> str:
        return self.words

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        data = base64.b64encode(png(self.figure)).decode()
        # JupyterLab ignores a PNG's alternative text, whatever its metadata say, but keeps it in HTML.
        html = f'<img alt="{escape(self.words)}" style="max-width:100%" src="data:image/png;base64,{data}">'
        bundle = {"text/plain": self.words, "text/html": html, "image/png": data}
        return bundle, {"image/png": {"alt": self.words}}


def png(figure: Figure) -> bytes:
    """The figure as a PNG, as wide as a notebook's column."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def empty(height: float) -> Figure:
    """An empty figure of this height in inches, as wide as a notebook's column."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def caption(figure: Figure, *, title: str, stamp: str) -> None:
    """Put the title at the top and the lab's stamp at the bottom."""
    figure.suptitle(title, fontsize=TITLE, fontweight="bold", x=0.01, ha="left")
    figure.supxlabel(stamp, fontsize=SMALL, color=GREY, x=0.99, ha="right")


def grid(axis: Axes, *, lines: str = "both", open_sides: tuple[str, ...] = ("top", "right")) -> None:
    """Draw a pale grid behind the data, and no box around it."""
    axis.grid(visible=True, axis=lines, color="#E5E5E5", lw=0.7)  # type: ignore[arg-type]
    axis.set_axisbelow(True)
    axis.spines[list(open_sides)].set_visible(False)


def legend(axis: Axes, **what: Any) -> None:
    """Put the legend beside the axis, so that it covers nothing; none if nothing has a name."""
    if what or axis.get_legend_handles_labels()[0]:
        axis.legend(**what, loc="upper left", bbox_to_anchor=(1.005, 1.03), fontsize=SMALL, frameon=False)
