"""Other builders on this machine: docker, podman and buildah build the same Dockerfile into a complete image.

A builder counts as present only if it answers: a docker client without a daemon does not. The finished
image comes into the store through an archive, with nothing left out, so it is its own root and the host
stands in for nothing.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labkit import _proc
from labkit.errors import ImageError
from labkit.images.archive import load
from labkit.images.build import Request
from labkit.images.store import Image, Store

_ASKS = {
    "docker": ("version", "--format", "{{.Server.Version}}"),
    "podman": ("version", "--format", "{{.Version}}"),
    "buildah": ("version",),
}
_SAVES: Mapping[str, tuple[str, ...]] = {
    "docker": ("save", "-o", "{file}", "{ref}"),
    "podman": ("save", "--format", "oci-archive", "-o", "{file}", "{ref}"),
    "buildah": ("push", "{ref}", "oci-archive:{file}"),
}


@dataclass(frozen=True)
class Found:
    """A builder that was looked for: its version if it can be used, else why not."""

    name: str
    version: str = ""
    why_not: str = ""


def detect() -> list[Found]:
    """What there is on this machine, in the order in which it would be taken."""
    return [_ask(name) for name in _ASKS]


def build_with(name: str, request: Request, store: Store) -> Image:
    """Build with docker, podman or buildah, its output on our terminal, and take the image in."""
    found = _ask(name)
    if not found.version:
        raise ImageError(
            f"{name} can't build here.",
            cause=found.why_not,
            fix="Leave `--builder` out: labkit builds without it; or start it.",
        )
    status = _proc.attached([name, "build", *_options(request), request.context])
    if status:
        raise ImageError(f"`{name} build` ended with exit status {status}.", fix="Mend what it says above.")
    with tempfile.TemporaryDirectory(dir=store.layout / "tmp") as folder:
        file = Path(folder) / "image.tar"
        words = [word.format(file=file, ref=request.ref) for word in _SAVES[name]]
        saved = _proc.run([name, *words])
        if saved.returncode:
            raise ImageError(f"`{name} {words[0]}` failed: {saved.stderr.strip()}")
        return load(file, store, ref=request.ref)[0]


def _options(request: Request) -> list[str | Path]:
    file = request.dockerfile or request.context / "Dockerfile"
    options: list[str | Path] = ["-t", str(request.ref), "-f", file]
    for key, value in request.args.items():
        options += ["--build-arg", f"{key}={value}"]
    return options if request.use_cache else [*options, "--no-cache"]


def _ask(name: str) -> Found:
    if not shutil.which(name):
        return Found(name, why_not=f"There is no program `{name}` on the PATH.")
    answer = _proc.run([name, *_ASKS[name]], seconds=20)
    lines = answer.stdout.strip().splitlines()
    if answer.returncode or not lines:
        said = (answer.stderr.strip().splitlines() or ["it does not answer"])[-1]
        return Found(name, why_not=f"The program is here, but not what it needs: {said}")
    return Found(name, version=lines[0])
