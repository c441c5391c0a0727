"""`hostPath` on a node's own disk: what is made, what must be there, and where no link leads."""

import os
import socket
from pathlib import Path

import pytest

from localcluster.node.pod import node_disk
from localcluster.node.process.mounting import Astray


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """With a file, a folder, a socket, and a link that leads out."""
    made = tmp_path / "node-1"
    node_disk.make(made, {"path": "/"})
    (made / "file").touch()
    (made / "folder").mkdir()
    (made / "out").symlink_to("/etc")
    here = Path.cwd()
    os.chdir(made)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    os.chdir(here)
    return made


RIGHT = {
    "Directory": {"folder"},
    "DirectoryOrCreate": {"folder", "missing"},
    "File": {"file"},
    "FileOrCreate": {"file", "missing"},
    "Socket": {"socket"},
    "CharDevice": set[str](),
    "BlockDevice": set[str](),
}


@pytest.mark.parametrize("kind", RIGHT)
@pytest.mark.parametrize("name", ["file", "folder", "socket", "missing"])
def test_what_is_there_must_be_what_the_type_says(disk: Path, kind: str, name: str) -> None:
    spec = {"path": f"/{name}", "type": kind}
    if name in RIGHT[kind]:
        node_disk.make(disk, spec)
        node_disk.make(disk, spec)  # as with every look at the pod
        assert (disk / name).exists()
    else:
        with pytest.raises(OSError, match=f"hostPath type check failed: /{name} is not a "):
            node_disk.make(disk, spec)
        assert not (disk / "missing").exists()


def test_without_a_type_a_missing_folder_is_made(disk: Path) -> None:
    node_disk.make(disk, {"path": "/var/cache/models"})
    node_disk.make(disk, {"path": "/file"})
    assert (disk / "var/cache/models").is_dir()
    assert (disk / "file").is_file()


@pytest.mark.parametrize("path", ["/../..", "/folder/../../.."])
def test_a_path_does_not_leave_the_disk(path: str) -> None:
    assert node_disk.inner({"path": path}) == "."


@pytest.mark.parametrize("kind", ["Directory", "DirectoryOrCreate", "FileOrCreate"])
def test_no_link_is_followed(disk: Path, kind: str) -> None:
    for path in ("/out", "/out/passwd"):
        with pytest.raises((Astray, OSError)):
            node_disk.make(disk, {"path": path, "type": kind})
