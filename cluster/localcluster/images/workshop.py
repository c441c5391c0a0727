"""Where a learner makes images: build, tag, log in, push, and ask the registry what a name means.

Each verb returns what happened, layer by layer. Refuses to keep a login on disk: it lives as long as the
notebook runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from localcluster.images import blocking, declared
from localcluster.images.build import Request, Step, build
from localcluster.images.builders import build_with
from localcluster.images.credentials import Credentials, Login
from localcluster.images.pull import remote_digest
from localcluster.images.push import check_login, push
from localcluster.images.reference import parse
from localcluster.images.registry import Mirror
from localcluster.images.store import Image, Store
from localcluster.images.transfer import Progress
from localcluster.provider import RegistryAccess


@dataclass(frozen=True)
class Layer:
    """One layer of an image, numbered from the lowest, with the instruction that made it."""

    number: int
    digest: str
    size: int
    instruction: str


@dataclass(frozen=True)
class Built:
    """An image, and the steps that led to it (none where another program built it)."""

    image: Image
    steps: tuple[Step, ...] = field(repr=False)
    notes: tuple[str, ...] = ()
    """What was done differently from Docker, or is probably not what was meant."""

    @property
    def digest(self) -> str:
        """The SHA-256 of the manifest: the one name of this image that can't move."""
        return self.image.digest

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Its layers, lowest first."""
        return layers_of(self.image)

    @property
    def manifest(self) -> bytes:
        """The manifest as it travels: JSON with the digest of each layer."""
        return self.image.manifest.write()


@dataclass(frozen=True)
class Push:
    """What a push did: which layers travelled, and which were there already."""

    ref: str
    digest: str
    layers: tuple[Layer, ...] = field(repr=False)
    sent: tuple[int, ...]
    """Numbers of the layers that travelled."""
    bytes_sent: int


class Workshop:
    """Images of this machine's store, and one registry."""

    def __init__(self, access: RegistryAccess, store: Store | None = None) -> None:
        self._host = access.host
        self._builder = access.builder
        self._mirrors = [Mirror.of(access)]
        self._logins = Credentials()
        self._store = store or Store()

    def build(self, folder: str | Path, name: str) -> Built:
        """Build the Dockerfile in `folder`; steps whose inputs are the same as before are not run again."""
        request, steps = Request(Path(folder), parse(name)), list[Step]()
        if self._builder:  # its cluster has real nodes: only a complete image runs there
            image = build_with(self._builder, request, self._store, quiet=True)
            return Built(declared.enlarged(self._builder, image, request, self._store), ())
        notes: list[str] = []
        image = build(request, self._store, lambda e: _keep(e, steps, notes))
        return Built(image, tuple(steps), tuple(notes))

    def tag(self, name: str, new: str) -> str:
        """Let `new` mean what `name` means, here; returns the digest. Its older meaning is lost."""
        image = self._store.get(parse(name))
        self._store.tag(parse(new), image.digest)
        return image.digest

    def login(self, username: str, password: str) -> None:
        """Ask the registry whether it takes this login, and keep it; raises `Unauthorized`."""
        login = Login(username, password)
        blocking.run(check_login(self._host, login, mirrors=self._mirrors))
        self._logins = Credentials(((self._host, login),))

    def push(self, name: str) -> Push:
        """Send the layers that the registry has not, then the manifest; raises `RegistryError`."""
        ref, status = parse(name), dict[str, str]()
        layers = layers_of(self._store.get(ref))
        job = push(
            ref,
            store=self._store,
            mirrors=self._mirrors,
            credentials=self._logins,
            on_progress=lambda p: _note(p, status),
        )
        done = blocking.run(job)
        sent = tuple(layer.number for layer in layers if status.get(layer.digest) == "Pushed")
        return Push(str(ref), done.digest, layers, sent, done.bytes_sent)

    def digest(self, name: str) -> str:
        """What a name means in the registry now; raises `NotFound` or `Unauthorized`."""
        return blocking.run(remote_digest(parse(name), mirrors=self._mirrors, credentials=self._logins))


def layers_of(image: Image) -> tuple[Layer, ...]:
    """The layers, lowest first; an instruction that metadata only (ENV, USER) makes none."""
    made = [h.get("created_by", "") for h in image.document.get("history", ()) if not h.get("empty_layer")]
    made += [""] * (len(image.manifest.layers) - len(made))  # an image without a history
    pairs = zip(image.manifest.layers, made, strict=False)
    return tuple(Layer(i, d.digest, d.size, text) for i, (d, text) in enumerate(pairs, start=1))


def _keep(event: Step | str, steps: list[Step], notes: list[str]) -> None:
    if isinstance(event, Step):
        steps.append(event)
    elif event.startswith("note: "):
        notes.append(event)


def _note(progress: Progress, status: dict[str, str]) -> None:
    status[progress.digest] = progress.status
