"""The plot of a scale-out: load, queue for each pod, replicas and latency over one lab clock.

Colours are Okabe and Ito's, and no line is told by its colour alone. Refuses to draw without units and the
stamp of the rung: a plot leaves the notebook, and must still say what was simulated.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from labkit.evidence import Series, Timeline

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, RED, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#767676"
YELLOW, OLIVE = "#F0E442", "#999933"
PODS = [BLUE, ORANGE, GREEN, SKY, PURPLE, GREY]  # black is the average, red what the HPA is told
STYLES = ["-", "--", "-.", ":"]


@dataclass(frozen=True)
class Picture:
    """A figure as it stands in a notebook: PNG, with the words for those who can't see it."""

    figure: Figure
    words: str

    def __str__(self) -> str:
        return self.words

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": self.words, "image/png": base64.b64encode(png(self.figure)).decode()}


def picture(
    what: Timeline | Sequence[Series], *, title: str = "", target: float | None = None, stamp: str = ""
) -> Picture:
    """A recording as a scale-out plot, or plain series as lines; with its words."""
    if isinstance(what, Timeline):
        return Picture(scale_out(what, title=title, target=target), _words(what, title or "Scale-out"))
    ends = [f"{s.label or s.name}: up to {s.peak() or 0:g}" for s in what]
    return Picture(lines(what, title=title, stamp=stamp), f"{title}: {'; '.join(ends)}")


def _words(timeline: Timeline, title: str) -> str:
    """What the picture shows, for those who can't see it."""
    told = []
    for name in ("desired", "ready"):
        steps = " → ".join(f"{v:g} ({t:.0f} s)" for t, v in timeline.one(name).steps())
        told += [f"{name} {steps}"] if steps else []
    peak = timeline.total("queue").peak()
    told += [f"at most {peak:g} requests waiting"] if peak is not None else []
    return f"{title}, in lab seconds: {'; '.join(told) or 'nothing recorded'}."


def png(figure: Figure) -> bytes:
    """The picture as PNG, as wide as a notebook."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


Panel = Callable[[Axes, Timeline], None]


def scale_out(timeline: Timeline, *, title: str = "", target: float | None = None) -> Figure:
    """Draw what was recorded; panels without data are left out.

    `target` is the HPA's queue target, drawn as a line in the queue panel.
    """
    panels = [draw for name, draw in _PANELS.items() if any(s.points for s in timeline.of(name))]
    figure = Figure(figsize=(9.6, 0.9 + 2.05 * max(1, len(panels))), layout="constrained")
    axes = list(figure.subplots(max(1, len(panels)), 1, sharex=True, squeeze=False)[:, 0])
    for axis, draw in zip(axes, panels, strict=False):
        draw(axis, timeline)
        _dress(axis)
    if target is not None and any(s.points for s in timeline.of("queue")):
        _target(axes[panels.index(_queue)], target)
    _time(axes, timeline)
    _events(axes, timeline)
    for axis in axes:
        axis.set_ylim(0, axis.get_ylim()[1] * 1.12)  # room for the numbers of the events
        _legend(axis)
    figure.suptitle(title or "Scale-out", fontsize=13, fontweight="bold", x=0.01, ha="left")
    foot = "\n".join(part for part in (timeline.load and f"load: {timeline.load}", timeline.stamp) if part)
    figure.supxlabel(foot, fontsize=8, color=GREY, x=0.99, ha="right")
    return figure


def lines(
    series: Sequence[Series], *, title: str, stamp: str, xlabel: str = "lab time (s)", ylabel: str = ""
) -> Figure:
    """One panel with each series as a line, replicas as steps."""
    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
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
    _legend(axis)
    figure.suptitle(title, fontsize=13, fontweight="bold", x=0.01, ha="left")
    figure.supxlabel(stamp, fontsize=8, color=GREY, x=0.99, ha="right")
    return figure


def _load(axis: Axes, timeline: Timeline) -> None:
    for one, colour, style in zip(timeline.of("offered"), [BLACK, GREY], STYLES, strict=False):
        axis.plot(*_xy(one), color=colour, linestyle=style, label=one.label or "offered load")
    for one in timeline.of("answered"):
        axis.plot(*_xy(one), color=SKY, linestyle="--", label=one.label or "answered")
    axis.set_ylabel("requests\nper lab second")


def _queue(axis: Axes, timeline: Timeline) -> None:
    pods = timeline.of("queue")
    for i, one in enumerate(pods):
        label = f"pod …{one.label[-5:]}" if len(pods) <= 4 else None
        axis.plot(*_xy(one), color=PODS[i % 6], linestyle=STYLES[i % 4], lw=1.1, label=label)
    if len(pods) > 4:
        axis.plot([], [], color=PODS[0], lw=1.1, label=f"each of {len(pods)} pods")
    average = timeline.one("queue average")
    if average.points:
        axis.plot(*_xy(average), color=BLACK, lw=2, label="average, as the HPA saw it")
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
    """A curve that keeps each value until the next, on to the end of the recording."""
    x, y = _xy(series)
    if x:
        axis.step([*x, max(end, x[-1])], [*y, y[-1]], where="post", **looks)


def _latency(axis: Axes, timeline: Timeline) -> None:
    looks = zip(timeline.of("latency"), [BLUE, RED, PURPLE, GREEN], STYLES, strict=False)
    for one, colour, style in looks:
        axis.plot(*_xy(one), color=colour, linestyle=style, label=one.label)
    axis.set_ylabel("time to first\ntoken (lab s)")


_PANELS: dict[str, Panel] = {"offered": _load, "queue": _queue, "desired": _replicas, "latency": _latency}


def _xy(series: Series) -> tuple[list[float], list[float]]:
    return [t for t, _ in series.points], [v for _, v in series.points]


def _dress(axis: Axes) -> None:
    axis.grid(visible=True, color="#E5E5E5", lw=0.7)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_ylim(bottom=0)


def _target(axis: Axes, target: float) -> None:
    axis.axhline(target, color=RED, lw=1.2, linestyle=(0, (1, 1)), label=f"target {target:g}")


def _time(axes: Sequence[Axes], timeline: Timeline) -> None:
    """Lab seconds at the foot, real seconds at the head: the same moments on both."""
    axes[-1].set_xlabel("lab time (s)")
    axes[-1].set_xlim(0, max(timeline.end(), 1.0))
    clock = timeline.clock
    real = axes[0].secondary_xaxis("top", functions=(_scaled(1 / clock), _scaled(clock)))
    real.set_xlabel(f"real time (s), lab clock {clock:g}×", fontsize=9, color=GREY)
    real.tick_params(colors=GREY, labelsize=8)
    real.spines["top"].set_visible(False)
    axes[-1].xaxis.set_major_formatter(FuncFormatter(_plain))


def _scaled(factor: float) -> Callable[[Any], Any]:
    return lambda values: values * factor


def _plain(value: float, _position: Any) -> str:
    return f"{value:g}"


def _events(axes: Sequence[Axes], timeline: Timeline) -> None:
    """A grey line through all panels for each event, numbered at the top and named in the last legend."""
    for number, event in enumerate(timeline.events, 1):
        for axis in axes:
            axis.axvline(event.at, color=GREY, lw=0.9, linestyle=(0, (4, 3)))
        axes[0].annotate(
            f" {number}",
            (event.at, 1.0),
            xycoords=("data", "axes fraction"),
            fontsize=8,
            va="top",
            color=GREY,
        )
        axes[-1].plot([], [], " ", label=f"{number}  {event.text} ({event.at:.0f} s)")


def _legend(axis: Axes) -> None:
    handles, _ = axis.get_legend_handles_labels()
    if handles:
        axis.legend(loc="upper left", bbox_to_anchor=(1.005, 1.03), fontsize=8, frameon=False)
