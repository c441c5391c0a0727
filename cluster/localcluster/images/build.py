"""Builds an image from a Dockerfile without Docker: a layer for each WORKDIR, COPY and RUN, cached.

A step is looked up by its instruction, what it reads and the layers below it: after a change of one line of
code, all layers up to that COPY are the cached ones. Refuses what it can't do (see `dockerfile`) and never
ignores it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from localcluster.images import dockerfile, hostbase, manifest
from localcluster.images.context import Context
from localcluster.images.dockerfile import Instruction
from localcluster.images.layers import Layer, epoch
from localcluster.images.manifest import (
    BASE,
    CONFIG,
    HOST_PYTHON,
    Descriptor,
    ImageConfig,
    Manifest,
    canonical,
)
from localcluster.images.reference import Reference, parse
from localcluster.images.rootfs import Stack, stack_of
from localcluster.images.source import Source
from localcluster.images.stage import Builder, Stage
from localcluster.images.steps import STEPS
from localcluster.images.store import Image, Store
from localcluster.images.words import BLANKS

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What BuildKit sets where a base image has no PATH, such as `scratch`."""


@dataclass(frozen=True)
class Request:
    """What to build: a context folder, and the image's name."""

    context: Path
    ref: Reference
    dockerfile: Path | None = None  # default: Dockerfile in the context
    args: Mapping[str, str] = field(default_factory=dict)
    wheels: Path | None = None  # pip installs from these and nothing else
    use_cache: bool = True


@dataclass(frozen=True)
class Step:
    """The result of one instruction: `status` is `CACHED`, `built`, or empty if it made no layer."""

    number: int
    total: int
    instruction: str
    status: str
    seconds: float
    layer: Layer | None


Event = Step | str
"""A finished step, or a line: of a RUN's output, or a note on what was done differently from Docker."""


def build(request: Request, store: Store, on_event: Callable[[Event], object] = lambda _: None) -> Image:
    """Build, name and return the image; if a step fails, nothing gets the name."""
    with store.in_use():
        return _build(request, store, on_event)


def _build(request: Request, store: Store, on_event: Callable[[Event], object]) -> Image:
    file = request.dockerfile or request.context / "Dockerfile"
    instructions = dockerfile.read(file, on_event)
    builder = Builder(store, Context(request.context, file), request.wheels, use_cache=request.use_cache)
    builder.say = on_event
    stage = Stage(builder, dict(request.args))
    for number, instruction in enumerate(instructions, start=1):
        began = time.monotonic()
        status, layer = _step(stage, instruction)
        seconds = time.monotonic() - began
        on_event(Step(number, len(instructions), str(instruction), status, seconds, layer))
    _name_unused(request, stage, on_event)
    return _finish(stage, request.ref)


def _step(stage: Stage, instruction: Instruction) -> tuple[str, Layer | None]:
    before = len(stage.layers)
    if instruction.name == "FROM":
        status = _from(stage, instruction)
        stage.set_env({"PATH": _PATH, **stage.env})
    else:
        status = STEPS[instruction.name](stage, instruction)
    layer = stage.layers[-1] if len(stage.layers) > before else None
    stage.remember(str(instruction), made_layer=layer is not None)
    return status, layer


def _from(stage: Stage, instruction: Instruction) -> str:
    """FROM: nothing, an image of the store, or the host standing in for a Python image."""
    words = [stage.words(instruction).expand(word) for word in BLANKS.split(instruction.text)]
    if len(words) not in {1, 3} or (len(words) == 3 and words[1].upper() != "AS") or not words[0]:
        raise instruction.source.refuse(
            f"FROM takes one image: {instruction.text}", fix="FROM python:3.11-slim"
        )
    _check_platform(stage, instruction)
    stage.declare_defaults()
    if words[0] == "scratch":
        return "empty"
    ref = parse(words[0])
    image = stage.builder.store.find(ref)
    if image:
        _start_from(stage, image, instruction.source)
        return "from the store"
    if ref.host != "docker.io" or ref.path.removeprefix("library/") not in hostbase.STANDS_FOR:
        raise instruction.source.refuse(
            f"The base image {ref} is not on this machine.",
            cause=f"The host can only stand in for {', '.join(hostbase.STANDS_FOR)}.",
            fix=f"Pull it first (`localcluster image pull {words[0]}`), or build with `--builder docker`.",
        )
    stage.base_name = words[0]
    stage.stack = Stack(hostbase.host())
    stage.set_env(hostbase.ENV)
    stage.runs = ImageConfig(cmd=("python3",))
    _note_python(stage, ref)
    return f"this machine's Python stands in for the base image {words[0]}"


def _check_platform(stage: Stage, instruction: Instruction) -> None:
    wanted = stage.words(instruction).expand(dict(instruction.flags).get("platform", ""))
    if wanted not in {"", f"linux/{manifest.machine()}"}:
        raise instruction.source.refuse(
            f"FROM --platform={wanted} is not this machine's platform.",
            cause=f"The lab's builder only builds for linux/{manifest.machine()}.",
            fix="Omit it, or build with `--builder docker`.",
        )


def _note_python(stage: Stage, ref: Reference) -> None:
    ours = ".".join(map(str, sys.version_info[:2]))
    wanted = (ref.tag or "").split("-", maxsplit=1)[0]
    if wanted[:1].isdigit() and not f"{wanted}.".startswith(f"{ours}."):
        stage.builder.say(f"note: the host's Python {ours} stands in for {stage.base_name}")


def _start_from(stage: Stage, image: Image, source: Source) -> None:
    if triggers := (image.document.get("config") or {}).get("OnBuild"):
        raise source.refuse(
            f"{image.ref} has ONBUILD instructions, which the lab's builder does not support.",
            cause=f"They would now run: {'; '.join(triggers)}",
            fix="Copy them into this Dockerfile and start from an image without them, or build with docker.",
        )
    stage.stack = stack_of(image)
    stage.inherited = list(zip(image.manifest.layers, image.diff_ids, strict=True))
    stage.history = list(image.document.get("history") or [])
    stage.base_name = image.base or ""
    stage.host_python = image.manifest.annotations.get(HOST_PYTHON, "")
    config = image.config
    stage.set_env(config.env)
    stage.labels.update(config.labels)
    stage.runs = replace(config, env={}, labels={})


def _name_unused(request: Request, stage: Stage, on_event: Callable[[Event], object]) -> None:
    for name in sorted(set(request.args) - stage.consumed):
        on_event(f"note: the build argument {name} is not declared by an ARG; it had no effect")


def _finish(stage: Stage, ref: Reference) -> Image:
    store = stage.builder.store
    labels = {BASE: stage.base_name} if stage.base_name else {}
    document = _document(stage, labels)
    config = canonical(document)
    descriptor = Descriptor(CONFIG, store.blobs.put(config), len(config))
    layers = [layer for layer, _ in stage.inherited] + [layer.descriptor for layer in stage.layers]
    notes = {**labels, HOST_PYTHON: stage.host_python} if stage.host_python else labels
    digest = store.blobs.put(Manifest(descriptor, tuple(layers), notes).write())
    store.tag(ref, digest)
    return store.load(ref, digest)


def _document(stage: Stage, labels: Mapping[str, str]) -> dict[str, Any]:
    diff_ids = [diff_id for _, diff_id in stage.inherited] + [layer.diff_id for layer in stage.layers]
    return {
        "architecture": manifest.machine(),
        "os": "linux",
        "created": moment(),
        "config": stage.config(labels).json(),
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": stage.history,
    }


def moment() -> str:
    """The date of an image: SOURCE_DATE_EPOCH, since a clock would change the digest at each build."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch()))
