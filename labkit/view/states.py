"""Pod states as bars over lab time: which pod waited for what, and for how long.

Each bar shows its state in words if there is room, and a legend names the colours: no state is shown by its
colour alone.
"""

from __future__ import annotations

from matplotlib.axes import Axes

from labkit.evidence.states import Span, States
from labkit.view.picture import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    OLIVE,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    SMALL,
    YELLOW,
    Picture,
    caption,
    empty,
    grid,
    legend,
)

COLOURS = {
    "Pending": GREY,
    "ContainerCreating": SKY,
    "Running": GREEN,
    "ErrImagePull": RED,
    "ImagePullBackOff": ORANGE,
    "CrashLoopBackOff": ORANGE,
    "Error": RED,
    "Terminating": PURPLE,
}
PHASES = {
    "schedule": GREY,
    "pull": SKY,
    "download": SKY,
    "unpack": BLUE,
    "create": BLACK,
    "import": PURPLE,
    "weights": ORANGE,
    "compile": RED,
    "warm-up": YELLOW,
    "ready": GREEN,
    "first token": OLIVE,
}
"""Of a cold start."""
HATCHES = {RED: "////", ORANGE: "..", GREEN: "", SKY: "\\\\", GREY: "xx", PURPLE: "++", BLUE: "oo"}
HATCHES |= {YELLOW: "--", BLACK: "", OLIVE: ""}
CHARACTER = 0.0125  # width of one, as a share of the whole axis
ROW, NAME = 0.45, 0.23  # inches: a pod's bar, a line of the legend


def picture(states: States, *, title: str, stamp: str) -> Picture:
    """A row of bars for each pod, with its alternative text."""
    rows = max(ROW * max(1, len(states.pods)), NAME * len(_names(states)))
    figure = empty(1.7 + rows)
    axis = figure.subplots()
    end = max(states.end(), 1.0)
    for row, spans in enumerate(states.pods.values()):
        for span in spans:
            _bar(axis, row, span, end)
    axis.set_yticks(range(len(states.pods)), list(states.pods))
    axis.set_xlim(0, end)
    axis.set_ylim(len(states.pods) - 0.4, -0.6)
    axis.set_xlabel(f"lab time (s); {states.clock:g} lab seconds are one real second")
    grid(axis, lines="x", open_sides=("top", "right", "left"))
    _legend(axis, states)
    caption(figure, title=title, stamp=stamp)
    return Picture(figure, f"{title}, in lab seconds: {_words(states)}.")


def _names(states: States) -> list[str]:
    """Each state once, in order of appearance."""
    return list(dict.fromkeys(span.state for spans in states.pods.values() for span in spans))


def _colour(state: str) -> str:
    return (COLOURS | PHASES).get(state, BLUE)


def _bar(axis: Axes, row: int, span: Span, end: float) -> None:
    colour, width = _colour(span.state), span.end - span.start
    axis.barh(row, width, left=span.start, height=0.6, color=colour, alpha=0.75, hatch=HATCHES[colour],
              edgecolor="white", linewidth=0.5)  # fmt: skip
    if width / end > CHARACTER * len(span.state):
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85}
        axis.text(span.start + width / 2, row, span.state, ha="center", va="center", fontsize=SMALL, bbox=box)


def _legend(axis: Axes, states: States) -> None:
    for state in _names(states):
        colour = _colour(state)
        axis.bar(0, 0, color=colour, alpha=0.75, hatch=HATCHES[colour], edgecolor="white", label=state)
    legend(axis)


def _words(states: States) -> str:
    told = [
        f"{name}: {' → '.join(f'{span.state} ({span.start:.0f} s)' for span in spans)}"
        for name, spans in states.pods.items()
    ]
    return "; ".join(told) or "no pods"
