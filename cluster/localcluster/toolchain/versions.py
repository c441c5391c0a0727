"""What `data/versions.toml` says: the pinned programs, as records.

Refuses to guess: a version, a flag or an address is in that file or nowhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs

from localcluster.data import DATA
from localcluster.errors import ToolchainError


@dataclass(frozen=True)
class Module:
    """A Go module of ours that pins what is compiled: its folder and the flags of `go build`."""

    name: str
    folder: Path
    tags: tuple[str, ...] = ()
    ldflags: str = "-s -w"
    gcflags: str = ""

    def flags(self) -> list[str]:
        """The flags that decide what the compiler makes."""
        flags = ["-trimpath", f"-ldflags={self.ldflags}"]
        flags += [f"-tags={','.join(self.tags)}"] if self.tags else []
        return flags + ([f"-gcflags={self.gcflags}"] if self.gcflags else [])

    def inputs(self, package: str) -> list[Path]:
        """Every file that decides what comes out: go.mod, go.sum and, for a package of ours, its Go files."""
        ours = sorted((self.folder / package).rglob("*.go")) if package.startswith("./") else []
        pins = [self.folder / "go.mod", self.folder / "go.sum"]
        return [f for f in pins if f.is_file()] + [f for f in ours if not f.name.endswith("_test.go")]

    def minimum_go(self) -> str:
        """The oldest Go that its go.mod accepts, as in "1.26.7"."""
        for line in (self.folder / "go.mod").read_text().splitlines():
            if line.startswith("go "):
                return line.split()[1]
        raise ToolchainError(f"{self.folder / 'go.mod'} has no line `go <version>`.")


@dataclass(frozen=True)
class Download:
    """Where a publisher keeps a program: the file, the list of its SHA-256 sums, its name in the archive."""

    url: str
    sums: str
    member: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Program:
    """One pinned program of the lab."""

    name: str
    version: str
    module: Module
    package: str
    download: Download | None = None
    build_info: str = ""
    optional: str = ""
    """What it is for, if a lab can start without it."""

    platforms: tuple[str, ...] = ()
    """The only systems that it exists for, as in "linux-arm64"; all of them if empty."""

    ours: bool = False
    """Whether it is labkit's own: what is installed under its name is another program."""

    kustomization: str = ""
    """A folder of the package's module (`build_info`) whose objects are kept beside the program."""

    @property
    def here(self) -> bool:
        """Whether it exists for this machine."""
        return not self.platforms or target() in self.platforms

    @property
    def output(self) -> str:
        """The name that `go build -o FOLDER/` gives it: the last part of its path that is not a version."""
        parts = [p for p in self.package.split("/") if not (p[:1] == "v" and p[1:].isdigit())]
        return parts[-1]

    def key(self) -> str:
        """Readable and exact: two programs with one key have the same inputs."""
        module = self.module
        inputs = [
            self.package,
            module.flags(),
            target(),
            *([self.kustomization] if self.kustomization else []),
        ]
        digest = hashlib.sha256(json.dumps(inputs).encode())
        for path in module.inputs(self.package):
            digest.update(f"\0{path.relative_to(module.folder)}\0".encode() + path.read_bytes())
        return f"{self.name}-{self.version}-{target()}-{digest.hexdigest()[:12]}"


@dataclass(frozen=True)
class Part:
    """An optional part of a lab: its programs, and roughly how long building them takes on two cores."""

    name: str
    programs: tuple[str, ...]
    minutes: int
    envoy: bool = False
    """Whether it needs Envoy, too, which comes as a Python package."""


@dataclass(frozen=True)
class Pins:
    """All of versions.toml."""

    programs: Mapping[str, Program]
    releases: Mapping[str, str]
    go_requirements: Path
    module_cache_mb: int = 0
    build_cache_mb: int = 0
    programs_mb: int = 0
    modules: Mapping[str, Module] = field(default_factory=dict)
    parts: Mapping[str, Part] = field(default_factory=dict)

    def wanted(self, *, optional: bool = False) -> list[str]:
        """The names of the programs that every lab on this machine needs, or of all that exist for it."""
        return [p.name for p in self.programs.values() if p.here and (optional or not p.optional)]


def target() -> str:
    """This machine in Go's words, as in "linux-amd64"."""
    machine = platform.machine().lower()
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    return f"{platform.system().lower()}-{arch}"


def cache_root() -> Path:
    """The cache that all checkouts of a user share: `LABKIT_CACHE`, or the system's place for caches."""
    named = os.environ.get("LABKIT_CACHE")
    return Path(named).expanduser().absolute() if named else platformdirs.user_cache_path("labkit")


def load(data: Path = DATA) -> Pins:
    """Read `versions.toml` in a folder of data."""
    path = data / "versions.toml"
    try:
        said = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ToolchainError(
            f"Could not read {path}: {error}.",
            cause="The package was damaged after installation.",
            fix="Reinstall localcluster; in the course: make setup.",
        ) from error
    modules = {name: _module(name, entry, said, data) for name, entry in said["modules"].items()}
    programs = {name: _program(name, entry, said, modules) for name, entry in said["programs"].items()}
    go = said["go"]
    return Pins(
        programs=programs,
        releases=said["releases"],
        go_requirements=data / go["requirements"],
        module_cache_mb=go["module_cache_mb"],
        build_cache_mb=go["build_cache_mb"],
        programs_mb=go["programs_mb"],
        modules=modules,
        parts={name: _part(name, entry) for name, entry in said.get("parts", {}).items()},
    )


@cache
def pins() -> Pins:
    """The pins of this checkout, read once."""
    return load()


def kubernetes() -> str:
    """The version of Kubernetes that a lab runs, as in `1.37.2`: its nodes report the same."""
    return pins().releases["kubernetes"]


def _module(name: str, entry: Mapping[str, Any], data: Mapping[str, Any], cluster: Path) -> Module:
    words = dict(data["releases"])
    for release, version in data["releases"].items():
        words[f"{release}_major"], words[f"{release}_minor"] = version.split(".")[:2]
    return Module(
        name=name,
        folder=cluster / entry["folder"],
        tags=tuple(entry["tags"]),
        ldflags=" ".join(entry["ldflags"]).format_map(words),
        gcflags=data["go"]["gcflags"],
    )


def _part(name: str, entry: Mapping[str, Any]) -> Part:
    return Part(name, tuple(entry["programs"]), entry["minutes"], envoy=entry.get("envoy", False))


def _program(
    name: str, entry: Mapping[str, Any], data: Mapping[str, Any], modules: Mapping[str, Module]
) -> Program:
    version = data["releases"][entry["release"]]
    return Program(
        name=name,
        version=version,
        module=modules[entry["module"]],
        package=entry["package"],
        download=_download(entry.get("download"), version),
        build_info=entry.get("build_info", ""),
        optional=entry.get("optional", ""),
        platforms=tuple(entry.get("platforms", ())),
        ours=entry.get("ours", False),
        kustomization=entry.get("kustomization", ""),
    )


def _download(entry: Mapping[str, Any] | None, version: str) -> Download | None:
    if entry is None or target() not in entry["platforms"]:
        return None
    system, arch = target().split("-")
    words = {"version": version, "os": system, "arch": arch}
    return Download(
        url=entry["url"].format_map(words),
        sums=entry["sums"].format_map(words),
        member=entry.get("member", "").format_map(words),
        sha256=entry.get("sha256", {}).get(target(), ""),
    )
