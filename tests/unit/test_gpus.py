"""The inventory of simulated GPUs: identity, who holds what, health, and what the holders report."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from labkit.gpus import faults
from labkit.gpus.feature_discovery import architecture, labels
from labkit.gpus.inventory import Device, Inventory, NoFreeGpu, devices_of
from labkit.gpus.usage import Usage, total


def four(node: str = "gpu-node-1") -> tuple[Device, ...]:
    return devices_of(lab="lab", node=node, count=4, product="NVIDIA-L4", memory_mib=23034)


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    made = Inventory(tmp_path / "gpus")
    made.add(four())
    return made


def report(
    inventory: Inventory, device: str, *, pod: str = "pod-a", age: float = 0.0, **values: float
) -> Path:
    file = inventory.path(device) / "usage" / f"{pod}.json"
    file.write_text(json.dumps({"pod_uid": pod, "updated": time.time() - age, **values}))
    return file


def test_devices_keep_their_identity_and_differ_from_each_other() -> None:
    assert four() == four()
    assert len({d.uuid for d in (*four(), *four("gpu-node-2"))}) == 8


def test_each_device_has_a_record_on_disk(inventory: Inventory) -> None:
    device = inventory.devices()[2]
    record = json.loads((inventory.path(device.uuid) / "device.json").read_text())
    assert record == {
        "uuid": device.uuid,
        "product": "NVIDIA-L4",
        "memory_mib": 23034,
        "index": 2,
        "node": "gpu-node-1",
    }


def test_a_device_is_never_given_twice(inventory: Inventory) -> None:
    first = inventory.allocate("pod-a/server", node="gpu-node-1", count=3)
    second = inventory.allocate("pod-b/server", node="gpu-node-1", count=1)
    assert not set(first) & set(second)
    with pytest.raises(NoFreeGpu, match="0 are free"):
        inventory.allocate("pod-c/server", node="gpu-node-1", count=1)


def test_asking_again_gives_the_same_devices(inventory: Inventory) -> None:
    first = inventory.allocate("pod-a/server", node="gpu-node-1", count=2)
    assert inventory.allocate("pod-a/server", node="gpu-node-1", count=2) == first


def test_too_few_gives_none(inventory: Inventory) -> None:
    with pytest.raises(NoFreeGpu):
        inventory.allocate("pod-a/server", node="gpu-node-1", count=5)
    assert inventory.held("pod-a/server") == ()


def test_released_devices_are_free_and_wiped(inventory: Inventory) -> None:
    (device,) = inventory.allocate("pod-a/server", node="gpu-node-1", count=1)
    file = report(inventory, device, memory_used_mib=100)
    inventory.release("pod-a/server")
    assert inventory.holder(device) is None
    assert not file.exists()
    assert inventory.allocate("pod-b/server", node="gpu-node-1", count=1) == (device,)


def test_holders_survive_a_restart(inventory: Inventory) -> None:
    held = inventory.allocate("pod-a/server", node="gpu-node-1", count=2)
    again = Inventory(inventory.folder)
    again.add(four())
    again.restore({"pod-a/server": held, "pod-b/server": ["GPU-gone"]})
    assert again.held("pod-a/server") == held
    assert len(again.free("gpu-node-1")) == 2


def test_an_unhealthy_device_is_not_given_out(inventory: Inventory) -> None:
    sick = inventory.devices()[0].uuid
    inventory.fail(sick, "Xid 79: GPU has fallen off the bus")
    assert inventory.healthy("gpu-node-1") == 3
    assert sick not in inventory.allocate("pod-a/server", node="gpu-node-1", count=3)
    inventory.heal(sick)
    assert [d.uuid for d in inventory.free("gpu-node-1")] == [sick]


def test_an_annotation_of_its_node_breaks_a_gpu_and_its_removal_mends_it() -> None:
    broken = faults.patch("GPU-a", "Xid 79: GPU has fallen off the bus")
    assert faults.wanted(broken) == {"GPU-a": "Xid 79: GPU has fallen off the bus"}
    assert faults.patch("GPU-a", None) == {"metadata": {"annotations": {"failed.labkit.dev/GPU-a": None}}}


@pytest.mark.parametrize(
    ("annotations", "wanted"),
    [
        (None, {}),
        ({"other.dev/GPU-a": "x"}, {}),
        ({"failed.labkit.dev/GPU-a": " "}, {"GPU-a": "unknown"}),
    ],
)
def test_only_labkits_annotation_breaks_a_gpu(annotations: Any, wanted: dict[str, str]) -> None:
    assert faults.wanted({"metadata": {"annotations": annotations}}) == wanted


def test_a_failed_gpu_remembers_since_when(inventory: Inventory) -> None:
    device = inventory.devices()[0].uuid
    assert inventory.ill_since(device) is None
    before = time.time()
    inventory.fail(device, "Xid 79")
    assert before - 1 <= (inventory.ill_since(device) or 0) <= time.time() + 1


def test_a_removed_node_takes_its_devices_along(inventory: Inventory) -> None:
    inventory.add(four("gpu-node-2"))
    gone = inventory.devices("gpu-node-2")[0].uuid
    inventory.remove("gpu-node-2")
    assert {d.node for d in inventory.devices()} == {"gpu-node-1"}
    assert not inventory.path(gone).exists()


def test_usage_of_living_holders_adds_up(inventory: Inventory) -> None:
    device = inventory.devices()[0].uuid
    report(inventory, device, pod="a", memory_used_mib=4000, gpu_utilization=0.7, power_watts=50)
    report(inventory, device, pod="b", memory_used_mib=2000, gpu_utilization=0.6, power_watts=20)
    load = total(inventory.usage(device))
    assert load is not None
    assert (load.memory_used_mib, load.gpu_utilization, load.power_watts) == (6000, 1.0, 70)


def test_the_memory_of_a_dead_holder_is_free(inventory: Inventory) -> None:
    device = inventory.devices()[0].uuid
    report(inventory, device, memory_used_mib=4000, age=10)
    assert inventory.usage(device) == []
    assert total([]) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", '{"memory_used_mib": "all"}', '{"updated": NaN}', '{"power_watts": -1}']
)
def test_strange_usage_files_count_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    assert Usage.load(tmp_path / "x.json") is None


@pytest.mark.parametrize(
    ("product", "family"),
    [
        ("NVIDIA-L4", "ada-lovelace"),
        ("NVIDIA-L40S", "ada-lovelace"),
        ("NVIDIA-A10G", "ampere"),
        ("NVIDIA-A100-SXM4-80GB", "ampere"),
        ("NVIDIA-H100-80GB-HBM3", "hopper"),
        ("Acme-1", None),
    ],
)
def test_a_products_architecture(product: str, family: str | None) -> None:
    found = architecture(product)
    assert (found.family if found else None) == family


def test_only_mig_capable_gpus_say_so() -> None:
    assert labels(product="NVIDIA-A10G", memory_mib=23028, count=1)["nvidia.com/mig.capable"] == "false"
    assert labels(product="NVIDIA-H200", memory_mib=143771, count=8)["nvidia.com/mig.capable"] == "true"


def test_a_node_without_gpus_has_no_gpu_labels() -> None:
    assert labels(product="NVIDIA-L4", memory_mib=23034, count=0) == {}
