"""Volumes in memory are as large as the kubelet makes them; who fills the disk is told in its words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from localcluster.node.pod import memory, storage
from localcluster.node.pod.storage import Usage

MIB = 2**20
NODE = {"memory": "262044Mi"}


def shm(**source: Any) -> dict[str, Any]:
    return {"name": "shm", "emptyDir": {"medium": "Memory", **source}}


def container(name: str = "main", **limits: str) -> dict[str, Any]:
    return {"name": name, "resources": {"limits": limits}}


def pod(*containers: dict[str, Any], volumes: tuple[dict[str, Any], ...] = (), **spec: Any) -> dict[str, Any]:
    return {"containers": list(containers) or [container()], "volumes": list(volumes), **spec}


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        (pod(volumes=(shm(sizeLimit="256Mi"),)), 256 * MIB),
        (pod(container(memory="128Mi"), volumes=(shm(sizeLimit="256Mi"),)), 128 * MIB),
        (pod(container(memory="128Mi"), volumes=(shm(),)), 128 * MIB),
        (pod(container("a", memory="64Mi"), container("b", memory="64Mi"), volumes=(shm(),)), 128 * MIB),
        (pod(container("a", memory="64Mi"), container("b"), volumes=(shm(sizeLimit="1Gi"),)), 1024 * MIB),
        (pod(resources={"limits": {"memory": "32Mi"}}, volumes=(shm(sizeLimit="0"),)), 32 * MIB),
    ],
)
def test_a_volume_in_memory_is_the_least_of_its_limit_the_pods_and_the_nodes(
    spec: dict[str, Any], size: int
) -> None:
    assert memory.sizes({"spec": spec}, NODE) == {"shm": size}


def test_a_simulated_nodes_memory_is_not_this_machines() -> None:
    found = memory.sizes({"spec": pod(volumes=(shm(),))}, NODE)["shm"]
    assert found == psutil.virtual_memory().total // 2 or found == 262044 * MIB


DISK = {"name": "cache", "emptyDir": {"sizeLimit": "10Mi"}}
S = storage.STORAGE


@pytest.mark.parametrize(
    ("spec", "usage", "message"),
    [
        (pod(volumes=(DISK,)), Usage({"cache": 10 * MIB}, {}), ""),
        (
            pod(volumes=(DISK,)),
            Usage({"cache": 10 * MIB + 1}, {}),
            'Usage of EmptyDir volume "cache" exceeds the limit "10Mi". ',
        ),
        (
            pod(container("a", **{S: "5M"}), container("b", **{S: "50M"})),
            Usage({}, {"a": 6_000_000, "b": 0}),
            'Container a exceeded its local ephemeral storage limit "5M". ',
        ),
        (
            pod(container("a", **{S: "512Mi"}), container("b", **{S: "512Mi"})),
            Usage({"free": 1024 * MIB}, {"a": 1, "b": 0}),
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ",
        ),
        (pod(container("a", **{S: "5M"}), container("b")), Usage({}, {"a": 1, "b": 4_000_000}), ""),
        (
            pod(container("a", **{S: "5M"}), container("b")),
            Usage({}, {"a": 1, "b": 6_000_000}),
            "Pod ephemeral local storage usage exceeds the total limit of containers 5M. ",
        ),
        (pod(volumes=(shm(sizeLimit="1Mi"),)), Usage({"shm": 2 * MIB}, {}), ""),
    ],
)
def test_who_exceeds_a_limit_is_told_as_the_kubelet_tells_it(
    spec: dict[str, Any], usage: Usage, message: str
) -> None:
    assert storage.exceeded(spec, usage) == message


def test_only_who_has_a_limit_is_looked_after() -> None:
    assert storage.is_limited(pod(volumes=(DISK,)))
    assert storage.is_limited(pod(container(**{S: "1Gi"})))
    assert not storage.is_limited(pod(volumes=({"name": "cache", "emptyDir": {}}, shm(sizeLimit="1Mi"))))
    assert not storage.is_limited(pod(volumes=(DISK,), priority=2_000_001_000))


def test_usage_is_what_files_take_on_disk_a_file_with_two_names_once(tmp_path: Path) -> None:
    volume, layer = tmp_path / "volumes" / "cache", tmp_path / "main" / "1" / "rw" / "opt"
    for folder in (volume, layer, tmp_path / "main" / "0" / "rw"):
        folder.mkdir(parents=True)
    (volume / "weights").write_bytes(b"x" * 3 * MIB)
    (volume / "again").hardlink_to(volume / "weights")
    (volume / "hole").touch()
    os.truncate(volume / "hole", 100 * MIB)
    (volume / "out").symlink_to("/usr")
    (tmp_path / "main" / "0" / "rw" / "of the run before").write_bytes(b"x" * MIB)
    (layer / "file").write_bytes(b"x" * 2 * MIB)
    (tmp_path / "main" / "1.log").write_bytes(b"x" * MIB)
    found = storage.measure(pod(volumes=(DISK,)), tmp_path)
    assert found.volumes["cache"] / MIB == pytest.approx(3, abs=0.1)
    assert found.containers["main"] / MIB == pytest.approx(3, abs=0.1)
    assert found.total == found.volumes["cache"] + found.containers["main"]
