"""The images that a kind cluster needs, made here and sent to the lab's registry: no public one is asked.

Prometheus, its adapter and the registry are the programs of the toolchain, the very files that the embedded
cluster runs, each alone in an image. The GPU plugin is built from its Dockerfile. An image that was built
from the same files before is taken from the engine's store.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from labkit import toolchain
from labkit.gpus.plugin import image as gpu_plugin
from labkit.images import blocking
from labkit.images.builders import from_engine
from labkit.images.credentials import Credentials, Login
from labkit.images.push import push
from labkit.images.reference import parse
from labkit.images.registry import Mirror
from labkit.images.store import Store
from labkit.providers.base import RegistryAccess
from labkit.providers.embedded.files import CLUSTER
from labkit.providers.kind.engine import Engine

COMPONENT = CLUSTER / "images" / "component"
TAG_LENGTH = 12


@dataclass(frozen=True)
class Made:
    """An image in the engine's store, under a name that says what it was made of."""

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
    binary = toolchain.ensure([program])[program]
    made = Made(
        program, f"{toolchain.pins().programs[program].version}-{digest([binary, COMPONENT / 'Dockerfile'])}"
    )
    if not engine.images(made.local):
        with tempfile.TemporaryDirectory(prefix="labkit-") as folder:
            shutil.copy(COMPONENT / "Dockerfile", folder)
            shutil.copy(binary, Path(folder) / "program")
            engine.run("build", "--quiet", "--tag", made.local, folder)
    return made


def plugin(engine: Engine) -> Made:
    """The device plugin of simulated GPUs: its Dockerfile, over the modules of labkit that it needs."""
    with tempfile.TemporaryDirectory(prefix="labkit-") as parent:
        folder = gpu_plugin.context(Path(parent) / "context")
        made = Made("gpu-plugin", digest(sorted(path for path in folder.rglob("*") if path.is_file())))
        if not engine.images(made.local):
            engine.run("build", "--quiet", "--tag", made.local, str(folder), seconds=900)
    return made


def publish(engine: Engine, made: Iterable[Made], access: RegistryAccess) -> None:
    """Send images to the lab's registry, each layer once."""
    store = Store()
    mirrors = [Mirror(access.host, access.url, str(access.ca))]
    logins = Credentials({access.host: Login(access.username, access.password)})
    for image in made:
        ref = parse(image.at(access.host))
        from_engine(engine.name, image.local, ref, store)
        blocking.run(push(ref, store=store, mirrors=mirrors, credentials=logins))


def digest(files: Iterable[Path]) -> str:
    """What some files hold, as the end of a tag."""
    found = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:TAG_LENGTH]


def tags(made: Mapping[str, Made]) -> dict[str, str]:
    """The variables of cluster/kind/kustomization.yaml that name these images."""
    return {f"{key}_TAG": image.tag for key, image in made.items()}
