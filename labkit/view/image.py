"""Tables of what a build and a push did, layer by layer. Pure: they are given what happened."""

from __future__ import annotations

import re

from labkit.view.table import Table
from localcluster.images.layers import size
from localcluster.images.workshop import Built, Push, layers_of

WIDTH = 64  # characters of an instruction in a table; the Dockerfile has the rest
SHORT = 15  # characters of a digest, without its scheme
_GREEN, _ORANGE = "#009E73", "#E69F00"


def built(built: Built, *, stamp: str) -> Table:
    """Every step and the layer that it made, or only the layers if another program built the image."""
    if not built.steps:
        return _layers(built, stamp=stamp)
    numbers = {layer.digest: layer.number for layer in layers_of(built.image)}
    rows = [
        [
            str(step.number),
            _short(step.instruction),
            str(numbers[step.layer.descriptor.digest]) if step.layer else "-",
            size(step.layer.descriptor.size) if step.layer else "-",
            "from the cache" if step.status == "CACHED" else step.status or "metadata only",
        ]
        for step in built.steps
    ]
    marks = {i: _ORANGE for i, step in enumerate(built.steps) if step.status == "built"}
    title = f"built {built.image.ref}"
    return Table(title, ["STEP", "INSTRUCTION", "LAYER", "SIZE", "HOW"], rows, stamp=stamp, marks=marks)


def _layers(built: Built, *, stamp: str) -> Table:
    rows = [[str(x.number), _short(x.instruction), size(x.size)] for x in layers_of(built.image)]
    return Table(f"built {built.image.ref}", ["LAYER", "INSTRUCTION", "SIZE"], rows, stamp=stamp)


def pushed(push: Push, *, stamp: str) -> Table:
    """Every layer, and whether it was sent."""
    rows = [
        [
            str(layer.number),
            layer.digest.partition(":")[2][:SHORT],
            size(layer.size),
            "pushed" if layer.number in push.sent else "already there",
            _short(layer.instruction),
        ]
        for layer in push.layers
    ]
    marks = {i: _ORANGE if layer.number in push.sent else _GREEN for i, layer in enumerate(push.layers)}
    title = f"pushed {push.ref}: {size(push.bytes_sent)} sent"
    columns = ["LAYER", "DIGEST (sha256:…)", "SIZE", "STATUS", "MADE BY"]
    return Table(title, columns, rows, stamp=stamp, marks=marks, wraps="MADE BY")


def _short(instruction: str) -> str:
    """The instruction as in the Dockerfile, without the shell that Docker's history puts in front."""
    instruction = re.sub(r"^/bin/sh -c (#\(nop\)\s*)?", lambda m: "" if m[1] else "RUN ", instruction)
    return instruction if len(instruction) <= WIDTH else f"{instruction[: WIDTH - 1]}…"
