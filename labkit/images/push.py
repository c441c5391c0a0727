"""Pushes an image: only the blobs that the registry does not have yet, in chunks, the manifest last.

An upload that breaks goes on from where the registry says it is.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from labkit.images.credentials import Credentials, Login
from labkit.images.failure import HostUnreachable
from labkit.images.manifest import MANIFEST, Descriptor
from labkit.images.pull import OnProgress, Progress, together
from labkit.images.reference import Reference
from labkit.images.registry import Call, Mirror, Registry, connect
from labkit.images.store import Image, Store

_CHUNK = 8 << 20
_AT_ONCE = 3
_TRIES = 3


@dataclass(frozen=True)
class Pushed:
    """What a push did: the digest that names the image now, and how many layers and bytes travelled."""

    digest: str
    layers_sent: int
    bytes_sent: int


async def push(
    ref: Reference,
    *,
    store: Store,
    mirrors: Sequence[Mirror] = (),
    credentials: Credentials | None = None,
    on_progress: OnProgress = lambda _: None,
) -> Pushed:
    """Send an image of the store to the registry that its name says; raises `RegistryError`."""
    image = store.get(ref)
    login = next(iter((credentials or Credentials()).matching(ref)), None)
    async with connect(ref, mirrors, login) as registry:
        return await _push(registry, store, image, on_progress)


async def check_login(host: str, login: Login, *, mirrors: Sequence[Mirror] = ()) -> None:
    """Ask the registry whether it takes this login; raises `Unauthorized` where it doesn't."""
    ping = Call("GET", "/v2/")
    async with connect(Reference(host, "login"), mirrors, login) as registry, registry.call(ping):
        pass


async def _push(registry: Registry, store: Store, image: Image, on_progress: OnProgress) -> Pushed:
    async with registry.call(Call("GET", "/v2/", (200, 404))):
        pass  # log in once, before several uploads want to at the same time
    gate = asyncio.Semaphore(_AT_ONCE)
    sent: list[Descriptor] = []

    async def one(blob: Descriptor) -> None:
        async with gate:
            if await _missing(registry, blob, on_progress):
                await _upload(registry, store, blob, on_progress)
                sent.append(blob)

    await together(one(blob) for blob in {blob.digest: blob for blob in image.manifest.blobs}.values())
    await _put_manifest(registry, store, image)
    layers = {layer.digest for layer in image.manifest.layers}
    return Pushed(image.digest, sum(blob.digest in layers for blob in sent), sum(blob.size for blob in sent))


async def _missing(registry: Registry, blob: Descriptor, on_progress: OnProgress) -> bool:
    call = Call("HEAD", f"{registry.prefix}/blobs/{blob.digest}", (200, 404))
    async with registry.call(call) as answer:
        missing = answer.status == 404
    if not missing:
        on_progress(Progress(blob.digest, "Layer already exists", blob.size, blob.size))
    return missing


async def _upload(registry: Registry, store: Store, blob: Descriptor, on_progress: OnProgress) -> None:
    async with registry.call(Call("POST", f"{registry.prefix}/blobs/uploads/", (202,))) as answer:
        place = answer.headers["Location"]
    done, tries_left = 0, _TRIES
    with store.blobs.reading(blob.digest) as file:
        while chunk := file.read(_CHUNK):
            left = chunk
            while left:
                try:
                    place, after = await _send(registry, place, left, done)
                except HostUnreachable:
                    tries_left -= 1
                    if not tries_left:
                        raise
                    place, after = await _standing(registry, place)
                left, done = left[after - done :], after
                on_progress(Progress(blob.digest, "Pushing", done, blob.size))
    joined = f"{place}{'&' if '?' in place else '?'}digest={blob.digest}"
    async with registry.call(Call("PUT", joined, (201,))):
        on_progress(Progress(blob.digest, "Pushed", blob.size, blob.size))


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
