"""The images that a kind cluster needs, made here and pushed to the lab's registry, without a public one.

Prometheus, its adapter and the registry are the programs of the toolchain, the very files that the embedded
cluster runs, each alone in an image. The GPU plugin is built from its Dockerfile. An image that was built
from the same files before is reused from the engine's store.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from localcluster.data import DATA
from localcluster.gpus.plugin import image as gpu_plugin
from localcluster.images import push
from localcluster.images.builders import from_engine
from localcluster.images.reference import parse
from localcluster.images.store import Store
from localcluster.kind.engine import Engine
from localcluster.provider import RegistryAccess
from localcluster.toolchain import ladder, versions

COMPONENT = DATA / "images" / "component"
TAG_LENGTH = 12


@dataclass(frozen=True)
class Made:
    """An image in the engine's store, under a name with a hash of its contents."""

    name: str
    tag: str

    @property
    def local(self) -> str:
        """As the engine calls it."""
        return f"localhost/labkit/{self.name}:{self.tag}"

    def at(self, host: str) -> str:
        """As a registry calls it."""
        return f"{host}/labkit/{self.name}:{self.tag}"


def component(engine: Engine, program: str) -> Made:
    """One program of the toolchain as an image."""
    binary = ladder.ensure([program])[program]
    return _alone(engine, program, versions.pins().programs[program].version, binary, COMPONENT)


def dynamic(engine: Engine, name: str, binary: Path) -> Made:
    """A program that needs a C library as an image."""
    return _alone(engine, name, "own", binary, DATA / "images" / "dynamic")


def _alone(engine: Engine, name: str, version: str, binary: Path, like: Path) -> Made:
    """One program as an image, by the Dockerfile in the folder `like`."""
    made = Made(name, f"{version}-{digest([binary, like / 'Dockerfile'])}")
    if not engine.images(made.local):
        with tempfile.TemporaryDirectory(prefix="labkit-") as folder:
            shutil.copy(like / "Dockerfile", folder)
            shutil.copy(binary, Path(folder) / "program")
            engine.run("build", "--quiet", "--tag", made.local, folder)
    return made


def plugin(engine: Engine) -> Made:
    """The device plugin of simulated GPUs: its Dockerfile, with the modules that it needs."""
    with tempfile.TemporaryDirectory(prefix="labkit-") as parent:
        folder = gpu_plugin.context(Path(parent) / "context")
        made = Made("gpu-plugin", digest(sorted(path for path in folder.rglob("*") if path.is_file())))
        if not engine.images(made.local):
            engine.run("build", "--quiet", "--tag", made.local, str(folder), seconds=900)
    return made


def publish(engine: Engine, made: Iterable[Made], access: RegistryAccess) -> None:
    """Send images to the lab's registry, each layer once."""
    store = Store()
    for image in made:
        ref = parse(image.at(access.host))
        from_engine(engine.name, image.local, ref, store)
        push.publish(ref, access, store)


def digest(files: Iterable[Path]) -> str:
    """A hash of files, as the end of a tag."""
    found = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:TAG_LENGTH]


def tags(made: Mapping[str, Made]) -> dict[str, str]:
    """The variables of data/kind/kustomization.yaml that name these images."""
    return {f"{key}_TAG": image.tag for key, image in made.items()}
