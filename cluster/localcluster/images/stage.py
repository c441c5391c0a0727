"""A build in progress: the image so far, the variables in scope, and the cache of layers.

The cache holds names only: `<cache>/buildcache/<key>.json` says which layer a step made last time. An entry
without its blob is ignored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from localcluster import stored
from localcluster.images.context import Context
from localcluster.images.dockerfile import Instruction
from localcluster.images.layers import Layer, epoch
from localcluster.images.manifest import Descriptor, ImageConfig, machine
from localcluster.images.rootfs import Stack, materialize
from localcluster.images.store import Store
from localcluster.images.words import Words


@dataclass
class Builder:
    """What all steps of a build work with."""

    store: Store
    context: Context
    wheels: Path | None = None
    use_cache: bool = True
    say: Callable[[str], object] = lambda _: None

    def layer(self, told: object, make: Callable[[], Layer]) -> tuple[Layer, str]:
        """The layer of a step: the cached one if `told` (all that the step depends on) is unchanged."""
        key = hashlib.sha256(repr((told, epoch())).encode()).hexdigest()
        file = self.store.cache_dir / "buildcache" / f"{key}.json"
        known = self._known(file) if self.use_cache else None
        if known:
            return known, "CACHED"
        made = make()
        stored.save(file, made)
        return made, "built"

    def _known(self, file: Path) -> Layer | None:
        layer = stored.find(file, Layer)
        return layer if layer and self.store.blobs.has(layer.descriptor.digest) else None


def platforms() -> dict[str, str]:
    """The arguments that BuildKit predefines above FROM: a build here is always for this machine."""
    parts = {"PLATFORM": f"linux/{machine()}", "OS": "linux", "ARCH": machine(), "VARIANT": ""}
    return {f"{of}{part}": value for of in ("BUILD", "TARGET") for part, value in parts.items()}


@dataclass
class Stage:
    """The image so far."""

    builder: Builder
    offered: dict[str, str]  # --build-arg
    stack: Stack = field(default_factory=lambda: Stack(None))
    inherited: list[tuple[Descriptor, str]] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    base_name: str = ""
    host_python: str = ""  # the one that a RUN was run with
    runs: ImageConfig = field(default_factory=ImageConfig)  # all but env and labels
    env: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=platforms)
    """The values of `$NAME`: ARGs and ENVs; of two with one name, the later."""
    cmd_is_own: bool = False  # a CMD of this Dockerfile, which a later ENTRYPOINT does not change
    defaults: dict[str, str] = field(default_factory=dict)  # ARGs above FROM
    consumed: set[str] = field(default_factory=set)

    def words(self, instruction: Instruction) -> Words:
        """How the instruction's text is read at this point."""
        return Words(self.variables, instruction.source, instruction.escape)

    def declare(self, name: str, default: str | None) -> None:
        """ARG: the value of --build-arg, else the default, else that of an ARG above FROM."""
        self.consumed.add(name)
        value = self.offered.get(name, default if default is not None else self.defaults.get(name))
        if value is not None:
            self.variables[name] = value

    def declare_defaults(self) -> None:
        """FROM: ARGs above it are out of scope until they are declared again."""
        self.defaults, self.variables = self.variables, {}

    def set_env(self, values: Mapping[str, str]) -> None:
        """ENV, and the environment of a base image."""
        self.env.update(values)
        self.variables.update(values)

    def add(self, told: object, make: Callable[[], Layer]) -> str:
        """Add a step's layer; returns `CACHED` or `built`."""
        layer, status = self.builder.layer((self.stack.key, told), make)
        self.layers.append(layer)
        self.stack = self.stack.plus(layer.descriptor.digest, layer.diff_id)
        return status

    def root(self) -> Path:
        """The image so far as a folder, for reading only."""
        return materialize(self.builder.store, self.stack)

    def remember(self, instruction: str, *, made_layer: bool) -> None:
        """Add a line to the image's history."""
        line: dict[str, Any] = {"created_by": instruction, "comment": "labkit"}
        self.history.append(line if made_layer else {**line, "empty_layer": True})

    def set(self, **changes: Any) -> None:
        """Change what a container of this image runs."""
        self.runs = replace(self.runs, **changes)

    def config(self, labels: Mapping[str, str]) -> ImageConfig:
        """The finished image's config."""
        return replace(self.runs, env=dict(self.env), labels={**self.labels, **labels})
