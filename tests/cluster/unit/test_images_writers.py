"""Who may write which folder of an image, as its layers say."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from localcluster.images.extract import Extraction
from localcluster.images.writers import closed


def layer(root: Path, *entries: tuple[str, int, int, int]) -> None:
    """Unpack a layer of files and (with a slash at the end) folders: name, uid, gid, mode."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, uid, gid, mode in entries:
            info = tarfile.TarInfo(name.rstrip("/"))
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.uid, info.gid, info.mode = uid, gid, mode
            tar.addfile(info)
    archive.seek(0)
    Extraction(root).apply(archive)


ROOTS = (("etc/", 0, 0, 0o755), ("etc/passwd", 0, 0, 0o644), ("usr/", 0, 0, 0o755), ("app/", 0, 0, 0o755))


def test_what_is_roots_is_closed_to_everybody_else(tmp_path: Path) -> None:
    layer(tmp_path, *ROOTS)
    assert closed(tmp_path, 1000, 0) == ("/etc", "/usr")
    assert closed(tmp_path, 0, 0) == ()


@pytest.mark.parametrize(
    ("entry", "open_to", "closed_to"),
    [
        (("etc/nginx/", 101, 101, 0o755), (101, 0), (102, 101)),
        (("etc/nginx/x", 101, 101, 0o664), (5, 101), (5, 6)),
        (("etc/shared", 0, 0, 0o664), (5, 0), (5, 6)),
        (("etc/open/", 0, 0, 0o1777), (5, 6), None),
        (("etc/mine", 101, 0, 0o444), None, (101, 0)),
    ],
)
def test_a_folder_with_something_that_a_user_may_write_stays_open_to_that_user(
    tmp_path: Path,
    entry: tuple[str, int, int, int],
    open_to: tuple[int, int] | None,
    closed_to: tuple[int, int] | None,
) -> None:
    layer(tmp_path, *ROOTS)
    layer(tmp_path, entry)  # a later layer, which does not name the folder itself
    layer(tmp_path, ("usr/x", 0, 0, 0o644))
    if open_to:
        assert closed(tmp_path, *open_to) == ("/usr",)
    if closed_to:
        assert closed(tmp_path, *closed_to) == ("/etc", "/usr")


def test_a_link_in_place_of_a_folder_and_a_root_of_an_older_version_stay_open(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    assert closed(tmp_path, 1000, 0) == ()
    layer(tmp_path, ("usr/bin/", 0, 0, 0o755))
    (tmp_path / "bin").symlink_to("usr/bin")
    assert closed(tmp_path, 1000, 0) == ("/etc", "/usr")
