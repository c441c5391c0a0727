"""Where a lab may live: what the table of mounted disks says decides, before anything is made."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from labkit.errors import BadInput, ProviderError
from localcluster.layout import AGAIN_MIB, NETWORK_FILE_SYSTEMS, Layout, file_system, prepare


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose `/proc/self/mounts` lists what a test writes there."""
    table = tmp_path / "proc" / "self" / "mounts"
    table.parent.mkdir(parents=True)
    table.write_text("/dev/sda1 / ext4 rw 0 0\n")
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path / "proc"))
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "home"))
    return table


def mount(table: Path, point: Path, kind: str) -> None:
    escaped = str(point).replace(" ", "\\040")
    table.write_text(f"{table.read_text()}server:/export {escaped} {kind} rw 0 0\n")


@pytest.mark.parametrize("kind", sorted(NETWORK_FILE_SYSTEMS))
def test_a_home_on_a_network_disk_is_refused_with_the_way_out(
    mounted: Path, tmp_path: Path, kind: str
) -> None:
    mount(mounted, tmp_path / "home", kind)
    with pytest.raises(ProviderError, match=f"network file system \\({kind}\\)") as caught:
        prepare(Layout.of("lab"))
    assert "LABKIT_HOME" in caught.value.fix
    assert "etcd" in caught.value.cause


def test_a_home_that_is_a_link_to_a_network_disk_is_refused(mounted: Path, tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "export")
    mount(mounted, tmp_path / "export", "nfs4")
    with pytest.raises(ProviderError, match="nfs4"):
        prepare(Layout(tmp_path / "home" / "lab"))


def test_a_local_disk_inside_of_a_network_disk_is_local(mounted: Path, tmp_path: Path) -> None:
    mount(mounted, tmp_path, "nfs")
    mount(mounted, tmp_path / "home", "xfs")
    prepare(Layout.of("lab"))
    assert file_system(tmp_path / "home" / "lab") == "xfs"
    assert file_system(tmp_path / "homes") == "nfs"


def test_a_home_that_kubeconfig_could_not_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="can't be in") as caught:
        prepare(Layout(tmp_path / "a:b" / "lab"))
    assert "LABKIT_HOME" in caught.value.fix
    assert list(tmp_path.iterdir()) == []


def test_a_disk_with_a_space_in_its_name_is_recognised(mounted: Path, tmp_path: Path) -> None:
    mount(mounted, tmp_path / "my home", "nfs")
    assert file_system(tmp_path / "my home" / "lab") == "nfs"


def test_a_lab_that_was_there_needs_less_room_than_a_new_one(tmp_path: Path) -> None:
    free = psutil.disk_usage(str(tmp_path)).free // 2**20
    assert free > AGAIN_MIB
    layout = Layout(tmp_path / "lab")
    with pytest.raises(ProviderError, match="nearly full"):
        prepare(layout, needed_mib=free * 2)
    prepare(layout)
