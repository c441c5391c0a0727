"""The GPUs of each node as boxes: free or held by a pod, and how much of their memory is used.

It uses DCGM metrics alone, so it shows what a dashboard would. A GPU counts as held only if it is in use or
DCGM names a pod for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from labkit.metrics.client import Metrics
from labkit.view.picture import BLUE, GREY, ORANGE, SMALL, Picture, caption, empty, legend

USED, FREE = "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE"
GIB = 1024.0  # MiB


@dataclass(frozen=True)
class Gpu:
    """One device; memory in MiB. `pod` is empty if no pod holds it, or several do."""

    node: str
    index: int
    used: float
    total: float
    pod: str = ""

    @property
    def held(self) -> bool:
        """Whether a pod holds it."""
        return bool(self.pod) or self.used > 0


def read(metrics: Metrics) -> list[Gpu]:
    """Every GPU that Prometheus knows, sorted by node and index."""
    free = {s.labels["UUID"]: s.value for s in metrics.query(FREE)}
    found = [
        Gpu(
            s.labels["Hostname"],
            int(s.labels["gpu"]),
            s.value,
            s.value + free.get(s.labels["UUID"], 0.0),
            s.labels.get("pod", ""),
        )
        for s in metrics.query(USED)
    ]
    return sorted(found, key=lambda gpu: (gpu.node, gpu.index))


def picture(gpus: Sequence[Gpu], *, title: str, stamp: str) -> Picture:
    """A row for each node, a box for each GPU; with its alternative text."""
    nodes = list(dict.fromkeys(gpu.node for gpu in gpus))
    figure = empty(1.1 + 0.95 * max(1, len(nodes)))
    axis = figure.subplots()
    for gpu in gpus:
        _box(axis, nodes.index(gpu.node), gpu)
    axis.set_xlim(-0.05, max((gpu.index for gpu in gpus), default=0) + 1.0)
    axis.set_ylim(len(nodes), -0.05)
    axis.set_yticks([row + 0.45 for row in range(len(nodes))], nodes)
    axis.set_xticks([])
    axis.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axis.tick_params(length=0)
    _legend(axis)
    caption(figure, title=title, stamp=stamp)
    return Picture(figure, f"{title}. {_words(gpus, nodes)}")


def _box(axis: Axes, row: int, gpu: Gpu) -> None:
    place, width, height = (gpu.index, row), 0.92, 0.86
    if gpu.held:
        axis.add_patch(
            Rectangle(place, width, height, facecolor=ORANGE, edgecolor=ORANGE, alpha=0.3, hatch="...")
        )
        share = gpu.used / gpu.total if gpu.total else 0.0
        axis.add_patch(Rectangle(place, width * share, height, facecolor=BLUE, alpha=0.8, lw=0))
    axis.add_patch(Rectangle(place, width, height, fill=False, edgecolor=GREY, lw=1))
    text = f"{gpu.used / GIB:.3g} of {gpu.total / GIB:.3g} GiB" if gpu.held else "free"
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85}
    axis.text(
        gpu.index + width / 2, row + height / 2, text, ha="center", va="center", fontsize=SMALL, bbox=box
    )


def _legend(axis: Axes) -> None:
    kinds = [
        Patch(facecolor=BLUE, alpha=0.8, label="memory in use"),
        Patch(facecolor=ORANGE, edgecolor=ORANGE, alpha=0.3, hatch="...", label="held, not used"),
        Patch(facecolor="white", edgecolor=GREY, label="free"),
    ]
    legend(axis, handles=kinds)


def _words(gpus: Sequence[Gpu], nodes: Sequence[str]) -> str:
    told = []
    for node in nodes:
        own = [gpu for gpu in gpus if gpu.node == node]
        used = sum(gpu.used for gpu in own) / GIB
        free = sum(not gpu.held for gpu in own)
        told.append(f"{node}: {free} of {len(own)} free, {used:.1f} GiB in use")
    return "; ".join(told) or "No GPUs"
