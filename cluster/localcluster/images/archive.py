"""Loads complete images from a file that docker, podman or buildah wrote.

Such an image is its own root. Every blob is checked against its digest.
"""

from __future__ import annotations

import json
import posixpath
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast

from localcluster.errors import ImageError
from localcluster.images.blobs import CHUNK, mismatch
from localcluster.images.manifest import CONFIG, INDEXES, LAYER, LAYER_GZIP, Descriptor, Manifest, chosen
from localcluster.images.reference import Reference, parse
from localcluster.images.store import Image, Store

_CONTAINERD_NAME = "io.containerd.image.name"
_OCI_NAME = "org.opencontainers.image.ref.name"


def load(file: Path, store: Store, *, ref: Reference | None = None) -> list[Image]:
    """Load every image of an archive, under its names there, or under `ref`."""
    try:
        with store.in_use(), tarfile.open(file) as tar:
            names = {posixpath.normpath(name) for name in tar.getnames()}
            if "index.json" in names:
                found = _oci(tar, store)
            elif "manifest.json" in names:
                found = [_docker(tar, entry, store) for entry in _json(tar, "manifest.json")]
            else:
                raise _not_an_image(file, "It has neither an index.json nor a manifest.json.")
    except (tarfile.TarError, OSError, KeyError, ValueError) as error:
        raise _not_an_image(file, str(error)) from error
    return [image for digest, tags in found for image in _named(store, digest, tags, ref, file)]


def _named(store: Store, digest: str, tags: Sequence[str], ref: Reference | None, file: Path) -> list[Image]:
    refs = [ref] if ref else [parse(tag) for tag in tags]
    if not refs:
        raise ImageError(
            f"An image of {file.name} has no name.",
            cause="It was saved by its ID.",
            fix="Give it a name: `localcluster image load FILE -t NAME:TAG`.",
        )
    for one in refs:
        store.tag(one, digest)
    return [store.load(one, digest) for one in refs]


def _oci(tar: tarfile.TarFile, store: Store) -> list[tuple[str, Sequence[str]]]:
    """An OCI layout: also what Docker writes since version 25, which names its images in manifest.json."""
    found: dict[str, list[str]] = {}
    for entry in _json(tar, "index.json")["manifests"]:
        notes = entry.get("annotations") or {}
        name = notes.get(_CONTAINERD_NAME) or notes.get(_OCI_NAME)
        digest = _take_manifest(tar, Descriptor.of(entry), store)
        found.setdefault(digest, []).extend([name] if name else [])
    return list(found.items())


def _take_manifest(tar: tarfile.TarFile, descriptor: Descriptor, store: Store) -> str:
    data = _member(tar, _blob_path(descriptor.digest)).read()
    if descriptor.media_type in INDEXES:
        inner = [Descriptor.of(entry) for entry in json.loads(data)["manifests"]]
        here = [one for one in inner if _has(tar, _blob_path(one.digest))]
        return _take_manifest(tar, chosen(here or inner), store)
    for blob in Manifest.read(data).blobs:
        if not store.blobs.has(blob.digest):
            with store.blobs.writing(blob.digest) as writing:
                shutil.copyfileobj(_member(tar, _blob_path(blob.digest)), cast("IO[bytes]", writing), CHUNK)
    return store.blobs.put(data, descriptor.digest)


def _docker(tar: tarfile.TarFile, entry: dict[str, Any], store: Store) -> tuple[str, Sequence[str]]:
    """Docker's own form: a config and plain layers; the manifest is made here."""
    config = _member(tar, entry["Config"]).read()
    diff_ids = json.loads(config)["rootfs"]["diff_ids"]
    layers = [
        _take_layer(tar, path, diff_id, store)
        for path, diff_id in zip(entry["Layers"], diff_ids, strict=True)
    ]
    descriptor = Descriptor(CONFIG, store.blobs.put(config), len(config))
    return store.blobs.put(Manifest(descriptor, tuple(layers)).write()), entry.get("RepoTags") or ()


def _take_layer(tar: tarfile.TarFile, path: str, diff_id: str, store: Store) -> Descriptor:
    with store.blobs.writing() as writing:
        content = _member(tar, path)
        head = content.read(2)
        writing.write(head)
        shutil.copyfileobj(content, cast("IO[bytes]", writing), CHUNK)
    packed = head == b"\x1f\x8b"
    if not packed and writing.digest != diff_id:
        raise mismatch(diff_id, writing.digest)
    return Descriptor(LAYER_GZIP if packed else LAYER, writing.digest, writing.size)


def _blob_path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _has(tar: tarfile.TarFile, name: str) -> bool:
    try:
        tar.getmember(name)
    except KeyError:
        return False
    return True


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    found = tar.extractfile(name if _has(tar, name) else f"./{name}")
    if found is None:
        raise KeyError(name)
    return found


def _json(tar: tarfile.TarFile, name: str) -> Any:
    return json.load(_member(tar, name))


def _not_an_image(file: Path, cause: str) -> ImageError:
    return ImageError(
        f"{file} is not an image archive.",
        cause=cause,
        fix="Make one with `docker save -o FILE IMAGE` or `podman save --format oci-archive -o FILE IMAGE`.",
    )
