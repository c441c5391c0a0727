"""Other builders on this machine: docker, podman and buildah build the same Dockerfile into a complete image.

A builder counts as present only if it answers: a docker client without a daemon does not. The finished image
is loaded into the store from a complete archive, so it is its own root and needs nothing of the host.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcluster import spawn
from localcluster.errors import ImageError
from localcluster.images.archive import load
from localcluster.images.build import Request
from localcluster.images.reference import Reference
from localcluster.images.store import Image, Store

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
    """A builder: its version if it can be used, else why not."""

    name: str
    version: str = ""
    why_not: str = ""


def detect() -> list[Found]:
    """The builders on this machine, in order of preference."""
    return [_ask(name) for name in _ASKS]


def build_with(name: str, request: Request, store: Store, *, quiet: bool = False) -> Image:
    """Build with docker, podman or buildah, its output on our terminal, and load the image."""
    found = _ask(name)
    if not found.version:
        raise ImageError(
            f"{name} can't build here.",
            cause=found.why_not,
            fix="Omit `--builder`: labkit builds without it. Or start it.",
        )
    command = [name, "build", *_options(request), request.context]
    done = spawn.run(command) if quiet else None
    status = done.returncode if done else spawn.attached(command)
    if status:
        said = f": {_last(done.stderr or done.stdout)}" if done else "."
        fix = "Fix that error." if done else "Fix the error above."
        raise ImageError(f"`{name} build` ended with exit status {status}{said}", fix=fix)
    return from_engine(name, str(request.ref), request.ref, store)


def from_engine(name: str, local: str, ref: Reference, store: Store) -> Image:
    """Take an image that docker, podman or buildah calls `local` into the store, under the name `ref`.

    An image with the same ID is not copied again.
    """
    here = store.find(ref)
    if here and here.manifest.config.digest == _id(name, local):
        return here
    with tempfile.TemporaryDirectory(dir=store.layout / "tmp") as folder:
        file = Path(folder) / "image.tar"
        words = [word.format(file=file, ref=local) for word in _SAVES[name]]
        saved = spawn.run([name, *words])
        if saved.returncode:
            raise ImageError(f"`{name} {words[0]}` failed: {saved.stderr.strip()}")
        return load(file, store, ref=ref)[0]


def _id(name: str, local: str) -> str:
    """The digest of the image's configuration, which Docker and Podman use as its ID; empty if unknown."""
    found = spawn.run([name, "image", "inspect", "--format", "{{.Id}}", local])
    identity = found.stdout.strip()
    return identity if identity.startswith("sha256:") or not identity else f"sha256:{identity}"


def _last(said: str) -> str:
    return (said.strip().splitlines() or ["no message"])[-1]


def _options(request: Request) -> list[str | Path]:
    file = request.dockerfile or request.context / "Dockerfile"
    options: list[str | Path] = ["-t", str(request.ref), "-f", file]
    for key, value in request.args.items():
        options += ["--build-arg", f"{key}={value}"]
    return options if request.use_cache else [*options, "--no-cache"]


def _ask(name: str) -> Found:
    if not shutil.which(name):
        return Found(name, why_not=f"There is no program `{name}` on the PATH.")
    answer = spawn.run([name, *_ASKS[name]], seconds=20)
    lines = answer.stdout.strip().splitlines()
    if answer.returncode or not lines:
        why = f"The program is installed, but not what it needs: {_last(answer.stderr)}"
        return Found(name, why_not=why)
    return Found(name, version=lines[0])
