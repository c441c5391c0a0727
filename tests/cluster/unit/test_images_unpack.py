"""Unpacking can't be talked into leaving its folder, and never leaves half a root behind."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from labkit.errors import ImageError
from localcluster.images.blobs import digest_of
from localcluster.images.extract import Extraction
from localcluster.images.failure import Corrupt, Unsafe
from localcluster.images.manifest import CONFIG, LAYER, Descriptor, Manifest, canonical
from localcluster.images.reference import parse
from localcluster.images.rootfs import unpack
from localcluster.images.store import Image, Store

FILE, LINK, HARD, FOLDER = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
Member = tuple[str, bytes, str]  # name, type, content or target


def archive(*members: Member, mode: int = 0o644) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, kind, text in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, mode
            if kind == FILE:
                info.size = len(text)
            else:
                info.linkname = text
            tar.addfile(info, io.BytesIO(text.encode()) if kind == FILE else None)
    return file.getvalue()


def apply(root: Path, *members: Member, mode: int = 0o644) -> Extraction:
    extraction = Extraction(root)
    data = archive(*members, mode=mode)
    assert extraction.apply(io.BytesIO(gzip.compress(data))) == digest_of(data)
    return extraction


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "victim").write_text("untouched")
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.mark.parametrize("name", ["../victim", "a/../../victim", "/../victim", "./../victim"])
def test_a_path_that_leaves_is_refused(root: Path, name: str) -> None:
    with pytest.raises(Unsafe, match="leaves the image"):
        apply(root, (name, FILE, "changed"))
    assert (root.parent / "victim").read_text() == "untouched"


@pytest.mark.parametrize("target", ["..", "../..", "/..", "{outside}"])
def test_a_link_leads_to_a_place_inside(root: Path, target: str) -> None:
    outside = str(root.parent)
    apply(root, ("out", LINK, target.format(outside=outside)), ("out/victim", FILE, "changed"))
    assert (root.parent / "victim").read_text() == "untouched"
    inside = root / outside.lstrip("/") if "{" in target else root
    assert (inside / "victim").read_text() == "changed"


def test_a_file_replaces_a_link_instead_of_following_it(root: Path) -> None:
    apply(root, ("a", LINK, "../victim"), ("a", FILE, "changed"))
    assert (root.parent / "victim").read_text() == "untouched"
    assert not (root / "a").is_symlink()


@pytest.mark.parametrize("target", ["../victim", "/../victim", "missing"])
def test_a_hard_link_to_something_outside_is_refused(root: Path, target: str) -> None:
    with pytest.raises(Unsafe):
        apply(root, ("a", HARD, target))


def test_a_hard_link_through_a_link_stays_inside(root: Path) -> None:
    with pytest.raises(Unsafe, match="does not have"):
        apply(root, ("out", LINK, str(root.parent)), ("a", HARD, "out/victim"))


def test_links_in_a_circle(root: Path) -> None:
    with pytest.raises(Unsafe, match="too many levels of links"):
        apply(root, ("a", LINK, "b"), ("b", LINK, "a"), ("a/x", FILE, ""))


def test_devices_are_left_out_and_named_and_set_uid_bits_dropped(root: Path) -> None:
    done = apply(
        root, ("null", tarfile.CHRTYPE, ""), ("pipe", tarfile.FIFOTYPE, ""), ("su", FILE, "x"), mode=0o6755
    )
    assert done.notes == ["/null: left out, a device or a pipe", "/pipe: left out, a device or a pipe"]
    assert [path.name for path in root.iterdir()] == ["su"]
    assert (root / "su").stat().st_mode & 0o7777 == 0o755


def test_whiteouts(root: Path) -> None:
    apply(root, ("a/one", FILE, ""), ("a/two", FILE, ""), ("b/c/three", FILE, ""), ("d", LINK, "a"))
    apply(root, ("a/.wh.one", FILE, ""), ("b/.wh.c", FILE, ""), ("d/.wh.two", FILE, ""))
    assert sorted(str(p.relative_to(root)) for p in root.rglob("*")) == ["a", "b", "d"]


def test_an_opaque_folder_hides_what_lies_below_it_and_not_what_it_brings(root: Path) -> None:
    apply(root, ("a/old", FILE, ""), ("a/both", FILE, "old"))
    apply(root, ("a/both", FILE, "new"), ("a/.wh..wh..opq", FILE, ""), ("a/new", FILE, ""))
    assert sorted(p.name for p in (root / "a").iterdir()) == ["both", "new"]
    assert (root / "a/both").read_text() == "new"


def test_files_folders_and_links_replace_one_another(root: Path) -> None:
    apply(root, ("a", FILE, "x"), ("b", FOLDER, ""), ("b/c", FILE, ""), ("d", LINK, "b"))
    apply(root, ("a", FOLDER, ""), ("b", FILE, "y"), ("d", FOLDER, ""), ("d/e", FILE, ""), mode=0o755)
    assert (root / "a").is_dir()
    assert (root / "b").read_text() == "y"
    assert (root / "d").is_dir()
    assert not (root / "d").is_symlink()


@pytest.mark.parametrize("cut", [1, 10, 200, 600])
def test_half_an_archive_is_refused(root: Path, cut: int) -> None:
    data = gzip.compress(archive(("a", FILE, "content" * 1000)), mtime=0)
    with pytest.raises(ImageError):
        Extraction(root).apply(io.BytesIO(data[: min(cut, len(data) - 9)]))


def image_of(store: Store, *layers: bytes, diff_ids: list[str] | None = None) -> Image:
    blobs = [Descriptor(LAYER, store.blobs.put(layer), len(layer)) for layer in layers]
    ids = diff_ids or [blob.digest for blob in blobs]
    config = canonical({"rootfs": {"type": "layers", "diff_ids": ids}})
    manifest = Manifest(Descriptor(CONFIG, store.blobs.put(config), len(config)), tuple(blobs))
    ref = parse("localhost/a:v1")
    digest = store.blobs.put(manifest.write())
    store.tag(ref, digest)
    return store.load(ref, digest)


def roots(store: Store) -> list[Path]:
    return list((store.cache_dir / "rootfs").iterdir())


def test_a_root_is_unpacked_once_and_shares_its_lower_layers(tmp_path: Path) -> None:
    store = Store(tmp_path)
    lower, upper = archive(("a", FILE, "shared")), archive(("b", FILE, "own"))
    below, above = image_of(store, lower), image_of(store, lower, upper)
    first = unpack(store, below).rootfs
    second = unpack(store, above).rootfs
    assert (first / "a").stat().st_ino == (second / "a").stat().st_ino
    assert unpack(store, above).rootfs == second
    assert not (first / "b").exists()


def test_an_upper_layer_never_writes_into_the_files_of_a_lower_root(tmp_path: Path) -> None:
    store = Store(tmp_path)
    lower, upper = archive(("a", FILE, "old")), archive(("a", FILE, "new"))
    below = unpack(store, image_of(store, lower)).rootfs
    above = unpack(store, image_of(store, lower, upper)).rootfs
    assert ((below / "a").read_text(), (above / "a").read_text()) == ("old", "new")


def test_a_blob_that_was_tampered_with_is_refused_and_thrown_away(tmp_path: Path) -> None:
    store = Store(tmp_path)
    image = image_of(store, archive(("a", FILE, "good")))
    digest = image.manifest.layers[0].digest
    store.blobs.path(digest).write_bytes(archive(("a", FILE, "evil")))
    with pytest.raises(Corrupt, match="Digest mismatch"):
        unpack(store, image)
    assert not store.blobs.has(digest)
    assert roots(store) == []


def test_a_config_that_lies_about_its_layers_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    image = image_of(store, archive(("a", FILE, "x")), diff_ids=["sha256:" + "0" * 64])
    with pytest.raises(Corrupt):
        unpack(store, image)
    assert roots(store) == []


def test_an_unsafe_layer_leaves_no_root(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(Unsafe):
        unpack(store, image_of(store, archive(("good", FILE, "")), archive(("../evil", FILE, ""))))
    assert roots(store) == []
