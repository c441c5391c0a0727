"""The plot of a scale-out: load, queue per pod, replicas and latency on one axis of lab time.

Every plot has units and the lab's stamp: it can leave the notebook, and must still say what was simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from string import ascii_uppercase
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from labkit.evidence import Series, Timeline
from labkit.view.picture import (
    BLACK,
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
    legend,
)

PODS = [BLUE, ORANGE, GREEN, SKY, PURPLE, GREY]  # black is the average, red is what the HPA sees
STYLES = ["-", "--", "-.", ":"]
NAMED = 4  # how many pods get a name and a style of their own


def picture(
    what: Timeline | Sequence[Series], *, title: str = "", target: float | None = None, stamp: str = ""
) -> Picture:
    """A recording as a scale-out plot, or plain series as lines; with its alternative text."""
    if isinstance(what, Timeline):
        return Picture(scale_out(what, title=title, target=target), _words(what, title or "Scale-out"))
    ends = [f"{s.label or s.name}: up to {s.peak() or 0:g}" for s in what]
    return Picture(lines(what, title=title, stamp=stamp), f"{title}: {'; '.join(ends)}")


def _words(timeline: Timeline, title: str) -> str:
    """The alternative text of the plot."""
    told = [f"{event.text} ({event.at:.0f} s)" for event in timeline.events]
    for name in ("desired", "ready"):
        steps = " → ".join(f"{v:g} ({t:.0f} s)" for t, v in timeline.one(name).steps())
        told += [f"{name} {steps}"] if steps else []
    peak = timeline.total("queue").peak()
    told += [f"at most {peak:g} requests waiting"] if peak is not None else []
    held = timeline.one("gateway queue").peak()
    told += [f"at most {held:g} held at the gateway"] if held is not None else []
    return f"{title}, in lab seconds: {'; '.join(told) or 'nothing recorded'}."


Panel = Callable[[Axes, Timeline], None]


def scale_out(timeline: Timeline, *, title: str = "", target: float | None = None) -> Figure:
    """Draw a recording; panels without data are left out.

    `target` is the HPA's queue target, drawn as a line in the queue panel.
    """
    panels = [draw for names, draw in _PANELS.items() if any(s.points for n in names for s in timeline.of(n))]
    figure = empty(0.9 + 2.05 * max(1, len(panels)))
    axes = list(figure.subplots(max(1, len(panels)), 1, sharex=True, squeeze=False)[:, 0])
    for axis, draw in zip(axes, panels, strict=False):
        draw(axis, timeline)
        _dress(axis)
    if target is not None and _queue in panels:
        _target(axes[panels.index(_queue)], target)
    _time(axes, timeline)
    _events(axes, timeline)
    for axis in axes:
        axis.set_ylim(0, axis.get_ylim()[1] * 1.12)  # room for the event letters
        legend(axis)
    foot = "\n".join(part for part in (timeline.load and f"load: {timeline.load}", timeline.stamp) if part)
    caption(figure, title=title or "Scale-out", stamp=foot)
    return figure


def lines(
    series: Sequence[Series], *, title: str, stamp: str, xlabel: str = "lab time (s)", ylabel: str = ""
) -> Figure:
    """One panel with each series as a line, and replicas as steps."""
    figure = empty(3.4)
    axis = figure.subplots()
    end = max((one.points[-1][0] for one in series if one.points), default=0.0)
    for i, one in enumerate(series):
        looks: dict[str, Any] = {
            "color": PODS[i % 6],
            "linestyle": STYLES[i // 6 % 4],
            "label": one.label or one.name,
        }
        if one.unit == "replicas":
            _steps(axis, one, end, lw=2, **looks)
            axis.yaxis.set_major_locator(MaxNLocator(integer=True))
        else:
            axis.plot(*_xy(one), **looks)
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel or (series[0].unit if series else ""))
    _dress(axis)
    legend(axis)
    caption(figure, title=title, stamp=stamp)
    return figure


def _load(axis: Axes, timeline: Timeline) -> None:
    for one, colour, style in zip(timeline.of("offered"), [BLACK, GREY], STYLES, strict=False):
        axis.plot(*_xy(one), color=colour, linestyle=style, label=one.label or "offered load")
    for one in timeline.of("answered"):
        axis.plot(*_xy(one), color=SKY, linestyle="--", label=one.label or "answered")
    axis.set_ylabel("requests\nper lab second")


def _queue(axis: Axes, timeline: Timeline) -> None:
    pods = timeline.of("queue")
    few = len(pods) <= NAMED
    for i, one in enumerate(pods):
        label = f"pod …{one.label[-5:]}" if few else f"each of {len(pods)} pods" if i == 0 else None
        look = i if few else 0  # ten styles can't be told apart, nor would a legend have room for their names
        axis.plot(*_xy(one), color=PODS[look], linestyle=STYLES[look], lw=1.1, label=label)
    average = timeline.one("queue average")
    if average.points:
        axis.plot(*_xy(average), color=BLACK, lw=2, label="average, as the HPA saw it")
    for held in timeline.of("gateway queue"):
        axis.plot(*_xy(held), color=PURPLE, linestyle=(0, (1, 1)), lw=2.4, label=held.label)
    axis.set_ylabel("waiting requests\nper pod")


def _replicas(axis: Axes, timeline: Timeline) -> None:
    for name, colour, style in (("desired", RED, "-"), ("ready", BLUE, "--")):
        _steps(axis, timeline.one(name), timeline.end(), color=colour, linestyle=style, lw=2, label=name)
    for one, colour in zip(timeline.of("predicted"), (PURPLE, GREEN), strict=False):
        _steps(axis, one, timeline.end(), color=colour, linestyle=":", lw=2.2, label=one.label)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_ylim(bottom=0)
    axis.set_ylabel("replicas")


def _steps(axis: Axes, series: Series, end: float, **looks: Any) -> None:
    """A curve that keeps each value until the next one, up to the end of the recording."""
    x, y = _xy(series)
    if x:
        axis.step([*x, max(end, x[-1])], [*y, y[-1]], where="post", **looks)


def _latency(axis: Axes, timeline: Timeline) -> None:
    looks = zip(timeline.of("latency"), [BLUE, RED, PURPLE, GREEN], STYLES, strict=False)
    for one, colour, style in looks:
        axis.plot(*_xy(one), color=colour, linestyle=style, label=one.label)
    axis.set_ylabel("time to first\ntoken (lab s)")


_PANELS: dict[tuple[str, ...], Panel] = {
    ("offered",): _load,
    ("queue", "gateway queue"): _queue,
    ("desired",): _replicas,
    ("latency",): _latency,
}


def _xy(series: Series) -> tuple[list[float], list[float]]:
    return [t for t, _ in series.points], [v for _, v in series.points]


def _dress(axis: Axes) -> None:
    grid(axis)
    axis.set_ylim(bottom=0)


def _target(axis: Axes, target: float) -> None:
    axis.axhline(target, color=RED, lw=1.2, linestyle=(0, (1, 1)), label=f"target {target:g}")


def _time(axes: Sequence[Axes], timeline: Timeline) -> None:
    """Label the axis with lab seconds at the bottom and real seconds at the top."""
    axes[-1].set_xlabel("lab time (s)")
    axes[-1].set_xlim(0, max(timeline.end(), 1.0))
    clock = timeline.clock
    real = axes[0].secondary_xaxis("top", functions=(_scaled(1 / clock), _scaled(clock)))
    real.set_xlabel(f"real time (s), lab clock {clock:g}×", fontsize=SMALL, color=GREY)
    real.tick_params(colors=GREY, labelsize=SMALL)
    real.spines["top"].set_visible(False)
    axes[-1].xaxis.set_major_formatter(FuncFormatter(_plain))


def _scaled(factor: float) -> Callable[[Any], Any]:
    return lambda values: values * factor


def _plain(value: float, _position: Any) -> str:
    return f"{value:g}"


def _events(axes: Sequence[Axes], timeline: Timeline) -> None:
    """Draw a grey line through all panels for each event, with a letter that the last legend explains.

    Numbers are reserved for decisions (`hpa.why`).
    """
    for number, event in enumerate(timeline.events):
        letter = ascii_uppercase[number % 26] * (number // 26 + 1)
        for axis in axes:
            axis.axvline(event.at, color=GREY, lw=0.9, linestyle=(0, (4, 3)))
        axes[0].annotate(
            f" {letter}",
            (event.at, 1.0),
            xycoords=("data", "axes fraction"),
            fontsize=SMALL,
            va="top",
            color=GREY,
        )
        axes[-1].plot([], [], " ", label=f"{letter}  {event.text} ({event.at:.0f} s)")
