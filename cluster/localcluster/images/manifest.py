"""The documents that combine blobs into an image: manifest, config, index (OCI image spec 1.1 and Docker v2).

Refuses Docker's schema 1, and an index without an image for this machine.
https://github.com/opencontainers/image-spec
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from localcluster.errors import ImageError

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = LAYER + "+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFESTS = (MANIFEST, DOCKER_MANIFEST)
INDEXES = (INDEX, DOCKER_INDEX)
BASE = "dev.labkit.base"
"""Annotation of the manifest, and label: the FROM of an image that contains only what its Dockerfile adds."""
HOST_PYTHON = "dev.labkit.host-python"
"""Annotation: the machine's Python with which a RUN of such an image was run."""

_MACHINES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class Descriptor:
    """A blob as a manifest names it."""

    media_type: str
    digest: str
    size: int
    platform: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Descriptor:
        """From its JSON."""
        return cls(
            data.get("mediaType", ""), data["digest"], int(data.get("size", 0)), data.get("platform") or {}
        )

    def json(self) -> dict[str, Any]:
        """As JSON."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True)
class Manifest:
    """Config and layers of one image, lowest layer first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, data: bytes) -> Manifest:
        """From the bytes of a manifest; raises `ImageError` if it is not one."""
        found = json.loads(data)
        if found.get("schemaVersion") != 2 or "config" not in found:
            raise ImageError(
                "The lab can't read this image manifest.",
                cause="It uses Docker's schema 1, or is not an image.",
                fix="Push the image again with a current docker, podman or `localcluster image push`.",
            )
        layers = tuple(Descriptor.of(layer) for layer in found["layers"])
        return cls(Descriptor.of(found["config"]), layers, found.get("annotations") or {})

    def write(self) -> bytes:
        """Canonical bytes: the same manifest has the same digest."""
        data: dict[str, Any] = {"schemaVersion": 2, "mediaType": MANIFEST, "config": self.config.json()}
        data["layers"] = [layer.json() for layer in self.layers]
        if self.annotations:
            data["annotations"] = dict(self.annotations)
        return canonical(data)

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Everything that travels besides the manifest itself: layers first, config last."""
        return (*self.layers, self.config)


@dataclass(frozen=True)
class ImageConfig:
    """What a container of this image runs, unless its pod overrides it."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "SIGTERM"
    shell: tuple[str, ...] = ()  # empty: /bin/sh -c

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> ImageConfig:
        """From an image's config document."""
        data = document.get("config") or {}
        pairs = (entry.partition("=") for entry in data.get("Env") or ())
        return cls(
            entrypoint=tuple(data.get("Entrypoint") or ()),
            cmd=tuple(data.get("Cmd") or ()),
            env={key: value for key, _, value in pairs},
            workdir=data.get("WorkingDir") or "/",
            user=data.get("User") or "",
            exposed_ports=tuple(data.get("ExposedPorts") or ()),
            labels=data.get("Labels") or {},
            stop_signal=data.get("StopSignal") or "SIGTERM",
            shell=tuple(data.get("Shell") or ()),
        )

    def json(self) -> dict[str, Any]:
        """As the `config` member of a config document; empty members are left out."""
        data: dict[str, Any] = {
            "Env": [f"{key}={value}" for key, value in self.env.items()],
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.cmd),
            "WorkingDir": self.workdir,
            "User": self.user,
            "ExposedPorts": {port: {} for port in self.exposed_ports},
            "Labels": dict(self.labels),
            "Shell": list(self.shell),
            "StopSignal": self.stop_signal if self.stop_signal != "SIGTERM" else "",
        }
        return {key: value for key, value in data.items() if value}


def canonical(data: Any) -> bytes:
    """Canonical JSON: sorted keys, no spaces."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def machine() -> str:
    """This machine's architecture in OCI's words."""
    return _MACHINES.get(platform.machine(), platform.machine())


def chosen(manifests: Sequence[Descriptor]) -> Descriptor:
    """The entry of an index that fits this machine (linux and its architecture)."""
    for entry in manifests:
        if entry.platform.get("os") == "linux" and entry.platform.get("architecture") == machine():
            return entry
    real = [entry for entry in manifests if entry.media_type in (*MANIFESTS, "")]
    if len(real) == 1 and not real[0].platform:
        return real[0]
    offered = ", ".join(
        f"{entry.platform.get('os', '?')}/{entry.platform.get('architecture', '?')}" for entry in manifests
    )
    raise ImageError(
        f"The image does not support linux/{machine()}.",
        cause=f"It was built for {offered or 'no platform'}.",
        fix="Build it on a machine like this one, or ask its publisher for this platform.",
    )


def chain_id(diff_ids: Sequence[str]) -> str:
    """One name for a stack of layers (OCI image spec, "Layer ChainID"); empty for no layer."""
    chain = ""
    for diff_id in diff_ids:
        chain = "sha256:" + hashlib.sha256(f"{chain} {diff_id}".encode()).hexdigest() if chain else diff_id
    return chain
