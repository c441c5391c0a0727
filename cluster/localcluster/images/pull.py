"""Pulls an image: manifest, then the blobs that are missing, each checked, then unpacks it once.

An interrupted blob continues where it stopped. Nothing gets a name before it is complete.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from localcluster.images.blobs import CHUNK, Writing, digest_of, mismatch
from localcluster.images.credentials import Credentials, Login
from localcluster.images.failure import HostUnreachable, RegistryError
from localcluster.images.manifest import INDEXES, MANIFESTS, Descriptor, Manifest, chosen
from localcluster.images.reference import Reference, parse
from localcluster.images.registry import Call, Mirror, Registry, connect
from localcluster.images.rootfs import RunnableImage, unpack
from localcluster.images.store import Store
from localcluster.images.transfer import Progress, Transfers

_ACCEPT = {"Accept": ", ".join((*MANIFESTS, *INDEXES))}
_TRIES = 3
_ANONYMOUS = Login("", "")
T = TypeVar("T")


async def pull(
    ref: Reference | str,
    *,
    store: Store,
    mirrors: Sequence[Mirror] = (),
    credentials: Credentials | None = None,
    on_progress: Callable[[Progress], object] = lambda _: None,
) -> RunnableImage:
    """Fetch what is missing, unpack it once, and return what can be run.

    It is stored under its digest: a node's pull does not change the user's names. A user's pull also sets the
    name (`store.tag`). Raises `RegistryError` (`Unauthorized`, `NotFound`, `HostUnreachable`), `Corrupt`,
    `DiskFull`, `Unsafe`.
    """
    wanted = parse(ref) if isinstance(ref, str) else ref
    with store.in_use():
        try:
            digest = await _in_turn(
                wanted,
                mirrors,
                credentials,
                lambda registry: _fetch(registry, store, Transfers(on_progress)),
            )
        except HostUnreachable as error:
            _name_a_way(error, wanted, mirrors)
            raise
        store.tag(wanted.at(digest), digest)
        return await asyncio.to_thread(_runnable, store, wanted, digest)


async def remote_digest(
    ref: Reference, *, mirrors: Sequence[Mirror] = (), credentials: Credentials | None = None
) -> str:
    """The digest that a tag points to now, without pulling it."""
    data, _ = await _in_turn(ref, mirrors, credentials, lambda registry: _manifest(registry, ref.version))
    return digest_of(data)


async def _in_turn(
    ref: Reference,
    mirrors: Sequence[Mirror],
    credentials: Credentials | None,
    do: Callable[[Registry], Awaitable[T]],
) -> T:
    """Do it with the first login that the registry accepts, as a kubelet tries them: after any refusal.

    The error tells of all that were refused.
    """
    refused: list[RegistryError] = []
    for login in (credentials or Credentials()).matching(ref) or [_ANONYMOUS]:
        try:
            async with connect(ref, mirrors, login if login.username else None) as registry:
                return await do(registry)
        except HostUnreachable:
            raise  # with any login
        except RegistryError as error:
            refused.append(error)
    refused[-1].before = tuple(refused[:-1])
    raise refused[-1]


def _name_a_way(error: HostUnreachable, ref: Reference, mirrors: Sequence[Mirror]) -> None:
    """Name the registry that this lab can reach, if another was requested."""
    own = [mirror.host for mirror in mirrors]
    if own and ref.host not in own:
        there = replace(ref, host=own[0], path=ref.path.removeprefix("library/"), digest=None)
        error.instead = (
            f"this lab pulls from {own[0]} only, unless this machine reaches {ref.host}: build or load the "
            f"image, push it as {there}, and use that name"
        )
        error.fix = f"{error.instead[0].upper()}{error.instead[1:]}."


def _runnable(store: Store, ref: Reference, digest: str) -> RunnableImage:
    return unpack(store, store.load(ref, digest))


async def _fetch(registry: Registry, store: Store, transfers: Transfers) -> str:
    data, media_type = await _manifest(registry, registry.ref.version)
    if media_type in INDEXES:
        entries = [Descriptor.of(entry) for entry in json.loads(data)["manifests"]]
        data, _ = await _manifest(registry, chosen(entries).digest)
    blobs = {blob.digest: blob for blob in Manifest.read(data).blobs}
    await transfers.run(partial(_blob, registry, store, blob, transfers) for blob in blobs.values())
    return store.blobs.put(data)


async def _manifest(registry: Registry, version: str) -> tuple[bytes, str]:
    call = Call("GET", f"{registry.prefix}/manifests/{version}", headers=_ACCEPT)
    async with registry.call(call) as answer:
        data = await answer.read()
        promised = (
            version if version.startswith("sha256:") else answer.headers.get("Docker-Content-Digest", "")
        )
        media_type = answer.content_type
    if promised and digest_of(data) != promised:
        raise mismatch(promised, digest_of(data))
    return data, media_type


async def _blob(registry: Registry, store: Store, blob: Descriptor, transfers: Transfers) -> None:
    async with store.lock(blob.digest):
        if store.blobs.has(blob.digest):
            transfers.tell(Progress(blob.digest, "Already exists", blob.size, blob.size))
            return
        with store.blobs.writing(blob.digest) as file:
            for tries_left in reversed(range(_TRIES)):
                try:
                    await _transfer(registry, blob, file, transfers)
                    break
                except HostUnreachable:
                    if not tries_left:
                        raise
    transfers.tell(Progress(blob.digest, "Pull complete", blob.size, blob.size))


async def _transfer(registry: Registry, blob: Descriptor, file: Writing, transfers: Transfers) -> None:
    """Read the blob from where `file` ends."""
    headers = {"Range": f"bytes={file.size}-"} if file.size else {}
    path = f"{registry.prefix}/blobs/{blob.digest}"
    async with registry.call(Call("GET", path, (200, 206), headers)) as answer:
        known = file.size if answer.status == 200 else 0  # no ranges here: skip what we have
        async for chunk in answer.content.iter_chunked(CHUNK):
            transfers.check()
            file.write(chunk[known:])
            known = max(0, known - len(chunk))
            transfers.tell(Progress(blob.digest, "Downloading", file.size, blob.size))
            if file.size > blob.size:
                raise mismatch(blob.digest, f"more than {blob.size} bytes")
