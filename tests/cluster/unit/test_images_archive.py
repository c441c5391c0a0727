"""Complete images come in from what docker, podman and buildah save."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from labkit.errors import ImageError
from localcluster.images import builders
from localcluster.images.archive import load
from localcluster.images.build import Request
from localcluster.images.failure import Corrupt
from localcluster.images.reference import parse
from localcluster.images.rootfs import unpack
from localcluster.images.store import Image, Store
from tests.cluster.unit.images_world import FILES, built, write


@pytest.fixture
def image(tmp_path: Path) -> Image:
    context = write(tmp_path / "context", FILES)
    (context / "Dockerfile").write_text(
        'FROM scratch\nCOPY server /server\nCOPY requirements.txt /\nCMD ["x"]\n'
    )
    return built(context, Store(tmp_path / "builder"), "localhost/complete:v1").image


def saved(file: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(file, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file


def docker_archive(image: Image, store: Store) -> dict[str, bytes]:
    """The form of `docker save` before version 25, and of podman's `docker-archive`."""
    layers = [f"{layer.digest[7:]}.tar" for layer in image.manifest.layers]
    plain = [gzip.decompress(store.blobs.read(layer.digest)) for layer in image.manifest.layers]
    entry = {"Config": "config.json", "RepoTags": [str(image.ref)], "Layers": layers}
    config = store.blobs.read(image.manifest.config.digest)
    return {
        **dict(zip(layers, plain, strict=True)),
        "config.json": config,
        "manifest.json": json.dumps([entry]).encode(),
    }


def oci_archive(image: Image, store: Store, name: str) -> dict[str, bytes]:
    digests = [image.digest, *(blob.digest for blob in image.manifest.blobs)]
    blobs = {f"./blobs/sha256/{digest[7:]}": store.blobs.read(digest) for digest in digests}
    entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": image.digest, "size": 1}
    index = {"manifests": [{**entry, "annotations": {"org.opencontainers.image.ref.name": name}}]}
    return {**blobs, "index.json": json.dumps(index).encode()}


@pytest.mark.parametrize("form", ["docker", "oci"])
def test_a_complete_image_is_its_own_root(image: Image, tmp_path: Path, form: str) -> None:
    builder, store = Store(tmp_path / "builder"), Store(tmp_path / "mine")
    name = str(image.ref)
    members = docker_archive(image, builder) if form == "docker" else oci_archive(image, builder, name)
    (loaded,) = load(saved(tmp_path / "image.tar", members), store)
    runnable = unpack(store, loaded)
    assert (str(loaded.ref), runnable.base, runnable.host_mounts()) == (name, None, [])
    assert runnable.config.cmd == ("x",)
    assert (runnable.rootfs / "server/__main__.py").read_text() == FILES["server/__main__.py"]
    assert (loaded.digest == image.digest) is (form == "oci")


def test_an_archive_with_other_bytes_is_refused(image: Image, tmp_path: Path) -> None:
    members = oci_archive(image, Store(tmp_path / "builder"), "a")
    members[f"./blobs/sha256/{image.manifest.layers[0].digest[7:]}"] = b"something else"
    store = Store(tmp_path / "mine")
    with pytest.raises(Corrupt):
        load(saved(tmp_path / "image.tar", members), store)
    assert store.names() == {}


def test_an_image_without_a_name_wants_one(image: Image, tmp_path: Path) -> None:
    members = oci_archive(image, Store(tmp_path / "builder"), "")
    file, store = saved(tmp_path / "image.tar", members), Store(tmp_path / "mine")
    with pytest.raises(ImageError, match="has no name"):
        load(file, store)
    assert str(load(file, store, ref=parse("localhost/mine:v1"))[0].ref) == "localhost/mine:v1"


def test_what_is_no_archive_of_images(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    for file in (tmp_path / "text", tmp_path / "missing", saved(tmp_path / "other.tar", {"a": b""})):
        with pytest.raises(ImageError, match="is not an image archive"):
            load(file, Store(tmp_path / "mine"))


def test_builders_are_named_and_those_that_do_not_answer_refused(tmp_path: Path) -> None:
    found = {one.name: one for one in builders.detect()}
    assert list(found) == ["docker", "podman", "buildah"]
    assert all(bool(one.version) != bool(one.why_not) for one in found.values())
    absent = [one for one in found.values() if not one.version]
    for one in absent:
        with pytest.raises(ImageError, match=f"{one.name} can't build here"):
            builders.build_with(one.name, Request(tmp_path, parse("a")), Store(tmp_path / "mine"))


def test_a_client_without_its_daemon_is_not_a_builder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\necho\necho 'cannot connect to the daemon' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{Path(shutil.which('sh') or '/bin/sh').parent}")
    docker = builders.detect()[0]
    assert not docker.version
    assert "cannot connect to the daemon" in docker.why_not
