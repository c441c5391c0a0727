"""Pushes an image: only the blobs that the registry does not have yet, in chunks, the manifest last.

An interrupted upload continues where the registry says it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import aiohttp

from localcluster.images import blocking
from localcluster.images.credentials import Credentials, Login
from localcluster.images.failure import HostUnreachable, RegistryError
from localcluster.images.manifest import MANIFEST, Descriptor
from localcluster.images.reference import Reference
from localcluster.images.registry import Call, Mirror, Registry, connect
from localcluster.images.store import Image, Store
from localcluster.images.transfer import Progress, Transfers
from localcluster.provider import RegistryAccess

_CHUNK = 8 << 20
_TRIES = 3
_OUT_OF_STEP = 416  # the registry has more or less of the blob than we think


@dataclass(frozen=True)
class Pushed:
    """What a push did: the digest that names the image now, and how many layers and bytes were sent."""

    digest: str
    layers_sent: int
    bytes_sent: int


async def push(
    ref: Reference,
    *,
    store: Store,
    mirrors: Sequence[Mirror] = (),
    credentials: Credentials | None = None,
    on_progress: Callable[[Progress], object] = lambda _: None,
) -> Pushed:
    """Send an image of the store to the registry that its name says; raises `RegistryError`."""
    image = store.get(ref)
    login = next(iter((credentials or Credentials()).matching(ref)), None)
    async with connect(ref, mirrors, login) as registry:
        return await _push(registry, store, image, Transfers(on_progress))


def publish(ref: Reference, access: RegistryAccess, store: Store | None = None) -> Pushed:
    """Send an image to a cluster's own registry, with the cluster's login; raises `RegistryError`."""
    job = push(ref, store=store or Store(), mirrors=[Mirror.of(access)], credentials=Credentials.of(access))
    return blocking.run(job)


async def check_login(host: str, login: Login, *, mirrors: Sequence[Mirror] = ()) -> None:
    """Check a login at the registry; raises `Unauthorized` if it is refused."""
    ping = Call("GET", "/v2/")
    async with connect(Reference(host, "login"), mirrors, login) as registry, registry.call(ping):
        pass


async def _push(registry: Registry, store: Store, image: Image, transfers: Transfers) -> Pushed:
    async with registry.call(Call("GET", "/v2/", (200, 404))):
        pass  # log in once, before several uploads want to at the same time
    sent: list[Descriptor] = []

    async def one(blob: Descriptor) -> None:
        if await _missing(registry, blob, transfers):
            await _upload(registry, store, blob, transfers)
            sent.append(blob)

    blobs = {blob.digest: blob for blob in image.manifest.blobs}
    await transfers.run(partial(one, blob) for blob in blobs.values())
    await _put_manifest(registry, store, image)
    layers = {layer.digest for layer in image.manifest.layers}
    return Pushed(image.digest, sum(blob.digest in layers for blob in sent), sum(blob.size for blob in sent))


async def _missing(registry: Registry, blob: Descriptor, transfers: Transfers) -> bool:
    call = Call("HEAD", f"{registry.prefix}/blobs/{blob.digest}", (200, 404))
    async with registry.call(call) as answer:
        missing = answer.status == 404
    if not missing:
        transfers.tell(Progress(blob.digest, "Layer already exists", blob.size, blob.size))
    return missing


@dataclass
class _Upload:
    """One upload: where its next bytes go, and how many bytes have certainly arrived."""

    registry: Registry
    place: str
    start: int = 0
    tries_left: int = _TRIES


async def _upload(registry: Registry, store: Store, blob: Descriptor, transfers: Transfers) -> None:
    async with registry.call(Call("POST", f"{registry.prefix}/blobs/uploads/", (202,))) as answer:
        upload = _Upload(registry, answer.headers["Location"])
    with store.blobs.reading(blob.digest) as file:
        while chunk := file.read(_CHUNK):
            transfers.check()
            await _chunk(upload, chunk)
            transfers.tell(Progress(blob.digest, "Pushing", upload.start, blob.size))
    place = f"{upload.place}{'&' if '?' in upload.place else '?'}digest={blob.digest}"
    async with registry.call(Call("PUT", place, (201,))):
        transfers.tell(Progress(blob.digest, "Pushed", blob.size, blob.size))


async def _chunk(upload: _Upload, chunk: bytes) -> None:
    """Send a chunk, if needed in several requests."""
    done = upload.start
    while done < upload.start + len(chunk):
        try:
            rest = chunk[done - upload.start :]
            upload.place, done = await _send(upload.registry, upload.place, rest, done)
        except RegistryError as error:
            upload.tries_left -= 1
            passing = isinstance(error, HostUnreachable) or error.status == _OUT_OF_STEP
            if not passing or not upload.tries_left:
                raise
            upload.place, done = await _standing(upload.registry, upload.place)
            if done < upload.start:  # it has lost what it had acknowledged
                raise
    upload.start = done


async def _send(registry: Registry, place: str, chunk: bytes, start: int) -> tuple[str, int]:
    """Send one chunk; returns where the next one goes, and how many bytes the registry has now."""
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Range": f"{start}-{start + len(chunk) - 1}",
    }
    async with registry.call(Call("PATCH", place, (202,), headers, chunk)) as answer:
        return _next(answer)


async def _standing(registry: Registry, place: str) -> tuple[str, int]:
    async with registry.call(Call("GET", place, (204,))) as answer:
        return _next(answer)


def _next(answer: aiohttp.ClientResponse) -> tuple[str, int]:
    last = answer.headers.get("Range", "0-0").rpartition("-")[2]
    return answer.headers["Location"], int(last) + 1 if int(last) else 0


async def _put_manifest(registry: Registry, store: Store, image: Image) -> None:
    data = store.blobs.read(image.digest)
    version = registry.ref.tag or image.digest
    headers = {"Content-Type": _media_type(data)}
    async with registry.call(Call("PUT", f"{registry.prefix}/manifests/{version}", (201,), headers, data)):
        pass


def _media_type(data: bytes) -> str:
    return str(json.loads(data).get("mediaType", MANIFEST))
