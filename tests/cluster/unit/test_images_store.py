"""The store keeps whole blobs only, for several processes at once; logins are kept as Docker keeps them."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path

import pytest

from labkit.errors import ImageError
from localcluster import spawn
from localcluster.images import sweep
from localcluster.images.credentials import Credentials, Login, save
from localcluster.images.failure import Busy, Corrupt, DiskFull, on_disk, pull_message
from localcluster.images.manifest import INDEX, MANIFEST, Descriptor, chosen, machine
from localcluster.images.reference import parse
from localcluster.images.store import Store
from tests.cluster.unit.images_world import FILES, built, write


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def test_a_blob_appears_whole_or_not_at_all(store: Store) -> None:
    with pytest.raises(Corrupt), store.blobs.writing("sha256:" + "0" * 64) as blob:
        blob.write(b"something else")
    with pytest.raises(ZeroDivisionError), store.blobs.writing() as blob:
        blob.write(bytes(1 // 0))
    assert list(store.blobs) == []
    assert list((store.layout / "tmp").iterdir()) == []


def test_a_changed_blob_is_not_read(store: Store) -> None:
    digest = store.blobs.put(b"good")
    store.blobs.path(digest).write_bytes(b"evil")
    with pytest.raises(Corrupt):
        store.blobs.read(digest)
    assert not store.blobs.has(digest)


def test_a_full_disk_is_named() -> None:
    assert isinstance(on_disk(OSError(errno.ENOSPC, "No space left on device"), "x"), DiskFull)
    assert not isinstance(on_disk(OSError(errno.EACCES, "Permission denied"), "x"), DiskFull)


def test_two_names_share_blobs_until_the_last_is_removed(store: Store, tmp_path: Path) -> None:
    image = built(write(tmp_path / "context", FILES), store, "localhost/a:v1").image
    store.tag(parse("localhost/a:v2"), image.digest)
    store.forget("localhost/a:v1")
    assert sweep.blobs(store).count == 0
    assert store.get(parse("localhost/a:v2")).digest == image.digest
    store.forget("localhost/a:v2")
    with store.in_use(), pytest.raises(Busy):
        sweep.blobs(store)
    freed = sweep.blobs(store)
    assert freed == sweep.Freed(2 + len(image.manifest.layers), freed.bytes)
    assert freed.bytes > image.size_bytes
    with pytest.raises(ImageError, match="There is no image localhost/a:v2"):
        store.get(parse("localhost/a:v2"))


def test_a_tag_moves_and_a_digest_stays(store: Store, tmp_path: Path) -> None:
    context = write(tmp_path / "context", FILES)
    first = built(context, store, "localhost/a:v1").image
    write(context, {"server/__main__.py": "changed"})
    second = built(context, store, "localhost/a:v1").image
    assert store.get(parse("localhost/a:v1")).digest == second.digest != first.digest
    assert store.get(parse("localhost/a:v1").at(first.digest)).digest == first.digest


def test_many_processes_tag_at_once(store: Store, tmp_path: Path) -> None:
    image = built(write(tmp_path / "context", FILES), store, "localhost/a:v0").image
    program = (
        "import sys; from pathlib import Path; from localcluster.images.store import Store;"
        "from localcluster.images.reference import parse; store = Store(Path(sys.argv[1]));"
        "[store.tag(parse(f'localhost/{sys.argv[3]}:v{n}'), sys.argv[2]) for n in range(20)]"
    )
    argv = [sys.executable, "-c", program, str(store.cache_dir), image.digest]
    writers = [spawn.popen([*argv, name]) for name in ("b", "c", "d")]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len(store.names()) == 61


def test_an_index_gives_what_fits_this_machine() -> None:
    def entry(arch: str, name: str = "linux") -> Descriptor:
        return Descriptor(MANIFEST, f"sha256:{arch}", 1, {"os": name, "architecture": arch})

    unknown = entry("unknown", "unknown")
    assert chosen([entry("s390x"), entry(machine()), unknown]).digest == f"sha256:{machine()}"
    with pytest.raises(ImageError, match="does not support linux/"):
        chosen([entry("s390x"), Descriptor(INDEX, "sha256:x", 1)])


def test_logins_are_kept_as_docker_keeps_them(tmp_path: Path) -> None:
    file = tmp_path / "docker" / "config.json"
    save(file, "a:5000", Login("me", "se:cret"))
    save(file, "b", Login("you", "pass"))
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text())["auths"]["a:5000"] == {"auth": "bWU6c2U6Y3JldA=="}
    assert Credentials.load(file).matching(parse("a:5000/x")) == [Login("me", "se:cret")]
    save(file, "a:5000", None)
    assert [place for place, _ in Credentials.load(file).logins] == ["b"]
    assert "pass" not in repr(Credentials.load(file))


def test_a_failure_is_worded_as_containerd_words_it() -> None:
    ref = parse("registry.lab:5000/a:v1")
    said = pull_message(ref, Corrupt("Digest mismatch: expected x, got y."))
    assert said.startswith('failed to pull and unpack image "registry.lab:5000/a:v1": Digest mismatch')
