"""A bundle carries the cache whole, or is refused and changes nothing."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import BadInput, ToolchainError
from localcluster.toolchain import bundle
from localcluster.toolchain.cache import Cache, Entry
from localcluster.toolchain.progress import silent
from localcluster.toolchain.versions import target

KEY = "hello-1.2.3-here-0123456789ab"


def _entry(root: Path, key: str, content: bytes) -> Entry:
    cache = Cache(root)
    with cache.writing(silent()), cache.staging() as staging:
        (staging / "entry").mkdir()
        (staging / "entry" / "hello").write_bytes(content)
        (staging / "entry" / "hello").chmod(0o755)
        return cache.add(key, staging / "entry", {"name": "hello", "version": "1.2.3", "origin": "built"})


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    cache = tmp_path / "teacher"
    return [_entry(cache / "bin", KEY, b"program" * 999), _entry(cache / "wheels", "w1", b"wheel" * 999)]


def _install(file: Path, root: Path, **options: str) -> list[str]:
    return bundle.install(file, root, [KEY], silent(), **options)


def _forged(file: Path, members: list[tuple[tarfile.TarInfo, bytes]], **contents: Any) -> Path:
    """A bundle whose list says `contents`, and which holds `members`."""
    listed = {"target": target(), "about": {}, "files": [_row()]} | contents
    with tarfile.open(file, "w:gz") as tar:
        for info, body in [(tarfile.TarInfo(bundle.CONTENTS), json.dumps(listed).encode()), *members]:
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return file


def _good() -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(f"bin/{KEY}/hello"), b"program"


def _row(**changes: Any) -> dict[str, Any]:
    digest = hashlib.sha256(b"program").hexdigest()
    return {"store": "bin", "key": KEY, "name": "hello", "size": 7, "sha256": digest} | changes


def _nothing_in(root: Path) -> bool:
    return not Cache(root / "bin").entries() and not list(root.glob("*/.staging-*"))


@pytest.mark.parametrize("name", ["lab.tar.zst", "lab.tar.gz"])
def test_a_bundle_arrives_whole(tmp_path: Path, entries: list[Entry], name: str) -> None:
    digest = bundle.pack(tmp_path / name, entries, silent())
    pupil = tmp_path / "pupil"
    assert _install(tmp_path / name, pupil, sha256=digest) == [KEY, "w1"]
    for entry in entries:
        arrived = Cache(pupil / entry.folder.parent.name).find(entry.key)
        assert arrived is not None
        assert arrived.trouble(full=True) == ""
        assert (arrived.folder / "hello").read_bytes() == (entry.folder / "hello").read_bytes()
        assert (arrived.folder / "hello").stat().st_mode & 0o111
    assert _install(tmp_path / name, pupil) == []


def test_a_damaged_entry_is_mended_by_a_bundle(tmp_path: Path, entries: list[Entry]) -> None:
    bundle.pack(tmp_path / "lab.tar.gz", entries, silent())
    (entries[0].folder / "hello").write_bytes(b"x")
    assert _install(tmp_path / "lab.tar.gz", tmp_path / "teacher") == [KEY]


def test_a_damaged_cache_is_not_packed(tmp_path: Path, entries: list[Entry]) -> None:
    (entries[0].folder / "hello").write_bytes(b"PROGRAM" * 999)
    with pytest.raises(ToolchainError, match="original contents"):
        bundle.pack(tmp_path / "lab.tar.gz", entries, silent())
    assert not list(tmp_path.glob("*.tar.gz*"))


def test_another_ending_is_refused(tmp_path: Path, entries: list[Entry]) -> None:
    with pytest.raises(BadInput, match=r"lab\.zip is not a valid name"):
        bundle.pack(tmp_path / "lab.zip", entries, silent())


@pytest.mark.parametrize("name", ["lab.tar.zst", "lab.tar.gz"])
def test_a_bundle_that_was_cut_off_is_refused(tmp_path: Path, entries: list[Entry], name: str) -> None:
    file = tmp_path / name
    bundle.pack(file, entries, silent())
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(BadInput, match="was not installed"):
        _install(file, tmp_path / "pupil")
    assert _nothing_in(tmp_path / "pupil")


def test_another_sum_than_stated_is_refused(tmp_path: Path, entries: list[Entry]) -> None:
    bundle.pack(tmp_path / "lab.tar.gz", entries, silent())
    with pytest.raises(BadInput, match="does not have the SHA-256"):
        _install(tmp_path / "lab.tar.gz", tmp_path / "pupil", sha256="0" * 64)
    assert not (tmp_path / "pupil").exists()


def _link() -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(f"bin/{KEY}/hello")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info, b""


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([(tarfile.TarInfo("../escaped"), b"x")], "is not in its list"),
        ([(tarfile.TarInfo("/tmp/escaped"), b"x")], "is not in its list"),  # noqa: S108
        ([_link()], "is not in its list"),
        ([(tarfile.TarInfo(f"bin/{KEY}/hello"), b"PROGRAM")], "does not have the SHA-256"),
        ([(tarfile.TarInfo(f"bin/{KEY}/hello"), b"longer than listed")], "is not in its list"),
        ([_good(), _good()], "is not in its list"),
        ([], "is missing"),
    ],
)
def test_what_the_list_does_not_cover_is_refused(
    tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]], reason: str
) -> None:
    file = _forged(tmp_path / "lab.tar.gz", members)
    with pytest.raises(BadInput, match=reason):
        _install(file, tmp_path / "pupil")
    assert _nothing_in(tmp_path / "pupil")


@pytest.mark.parametrize(
    "row",
    [
        _row(key=".."),
        _row(key="."),
        _row(key="a/b"),
        _row(name="../hello"),
        _row(name="manifest.json"),
        _row(store="../bin"),
        _row(store="etc"),
        _row(size=-1),
        _row(key=".staging-x"),
    ],
)
def test_a_list_that_points_elsewhere_is_refused(tmp_path: Path, row: dict[str, Any]) -> None:
    file = _forged(tmp_path / "lab.tar.gz", [_good()], files=[_row(), row])
    with pytest.raises(BadInput, match="is not a path in the cache"):
        _install(file, tmp_path / "pupil")
    assert not (tmp_path / "pupil").exists()


@pytest.mark.parametrize("files", [None, {}, [1], [{"store": "bin"}], [_row(size="7")]])
def test_a_list_that_makes_no_sense_is_refused(tmp_path: Path, files: Any) -> None:
    file = _forged(tmp_path / "lab.tar.gz", [_good()], files=files)
    with pytest.raises(BadInput):
        _install(file, tmp_path / "pupil")


def test_a_bundle_of_another_system_is_refused(tmp_path: Path) -> None:
    file = _forged(tmp_path / "lab.tar.gz", [_good()], target="plan9-mips")
    with pytest.raises(BadInput, match="is for plan9-mips"):
        _install(file, tmp_path / "pupil")


def test_a_bundle_of_another_version_is_refused(tmp_path: Path) -> None:
    file = _forged(tmp_path / "lab.tar.gz", [_good()])
    with pytest.raises(BadInput, match="none of the programs that this checkout needs"):
        bundle.install(file, tmp_path / "pupil", ["hello-2.0.0-here-0123456789ab"], silent())


@pytest.mark.parametrize("content", [b"", b"no archive at all", b"\x28\xb5\x2f\xfdno frame either"])
def test_any_other_file_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "lab.tar.gz"
    file.write_bytes(content)
    with pytest.raises(BadInput, match="was not installed"):
        _install(file, tmp_path / "pupil")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="There is no file"):
        _install(tmp_path / "typo.tar.gz", tmp_path / "pupil")
