"""The inventory of simulated GPUs: identity, who holds what, health, and what the holders report."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from localcluster.gpus import faults
from localcluster.gpus.device import Device, devices_of
from localcluster.gpus.feature_discovery import architecture, labels
from localcluster.gpus.inventory import Inventory, NoFreeGpu
from localcluster.gpus.sharing import WHOLE, Sharing, asked, mig_slice, mig_state
from localcluster.gpus.usage import Usage, total


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


TIME_SLICED = Sharing(replicas=2)
A100 = "NVIDIA-A100-SXM4-40GB"


@pytest.fixture
def a100(tmp_path: Path) -> Inventory:
    """One GPU in seven slices."""
    made = Inventory(tmp_path / "gpus")
    made.add(devices_of(lab="lab", node="a100", count=1, product=A100, memory_mib=40960))
    assert made.divide("a100", asked({"nvidia.com/mig.config": "all-1g.5gb"}, product=A100))
    return made


def test_labels_ask_for_sharing_and_nonsense_asks_for_nothing() -> None:
    sliced = asked({"nvidia.com/device-plugin.config": "time-slicing-2"}, product="NVIDIA-L4")
    assert (sliced, sliced.per_gpu, sliced.resource) == (TIME_SLICED, 2, "nvidia.com/gpu")
    for nonsense in ("time-slicing-1", "time-slicing-999", "time-slicing-x", "mps"):
        assert asked({"nvidia.com/device-plugin.config": nonsense}, product="NVIDIA-L4") == WHOLE
    assert asked({"nvidia.com/mig.config": "all-1g.5gb"}, product="NVIDIA-L4") == WHOLE
    assert asked({}, product=A100) == WHOLE


def test_the_mig_manager_says_what_became_of_it() -> None:
    wanted = {"nvidia.com/mig.config": "all-1g.5gb"}
    cut = Sharing(mig=mig_slice(A100, "1g.5gb"))
    assert mig_state(wanted, cut, product=A100) == "success"
    assert mig_state(wanted, WHOLE, product=A100) == "pending"
    assert mig_state(wanted, WHOLE, product="NVIDIA-L4") == "failed"
    assert not mig_state({}, WHOLE, product=A100)


def test_a_device_shared_in_time_takes_several_holders_the_emptiest_first(inventory: Inventory) -> None:
    assert inventory.divide("gpu-node-1", TIME_SLICED)
    assert inventory.healthy("gpu-node-1") == 8
    given = [inventory.allocate(f"pod-{i}/s", node="gpu-node-1", count=1)[0] for i in range(8)]
    assert len(set(given[:4])) == 4
    assert sorted(given[:4]) == sorted(given[4:])
    with pytest.raises(NoFreeGpu):
        inventory.allocate("pod-8/s", node="gpu-node-1", count=1)


def test_what_one_tenant_leaves_is_not_wiped_under_the_other(inventory: Inventory) -> None:
    inventory.divide("gpu-node-1", TIME_SLICED)
    for i in range(5):
        inventory.allocate(f"pod-{i}/s", node="gpu-node-1", count=1)
    (shared,) = inventory.held("pod-4/s")
    file = report(inventory, shared, memory_used_mib=100)
    inventory.release("pod-4/s")
    assert file.exists()
    inventory.release(inventory.holder(shared) or "")
    assert not file.exists()


def test_gpus_in_use_are_not_divided(inventory: Inventory) -> None:
    inventory.allocate("pod-a/s", node="gpu-node-1", count=1)
    assert not inventory.divide("gpu-node-1", TIME_SLICED)
    assert inventory.sharing("gpu-node-1") == WHOLE
    inventory.release("pod-a/s")
    assert inventory.divide("gpu-node-1", TIME_SLICED)


def test_a_slice_is_a_device_with_memory_of_its_own(a100: Inventory) -> None:
    slices = a100.devices("a100")
    assert len({d.uuid for d in slices}) == a100.healthy("a100") == 7
    assert {(d.memory_mib, d.profile, d.product) for d in slices} == {(4864, "1g.5gb", f"{A100}-MIG-1g.5gb")}
    given = a100.allocate("pod-a/s", node="a100", count=1, resource="nvidia.com/mig-1g.5gb")
    assert given[0].startswith("MIG-")
    with pytest.raises(NoFreeGpu, match="0 are free"):
        a100.allocate("pod-b/s", node="a100", count=1)  # there are no whole GPUs any more


def test_a_slice_is_as_ill_as_its_gpu(a100: Inventory) -> None:
    a100.fail(a100.devices("a100")[0].parent, "Xid 79")
    assert a100.healthy("a100") == 0


def test_a_division_survives_a_restart_with_its_holders(a100: Inventory) -> None:
    held = a100.allocate("pod-a/s", node="a100", count=1, resource="nvidia.com/mig-1g.5gb")
    again = Inventory(a100.folder)
    again.add(devices_of(lab="lab", node="a100", count=1, product=A100, memory_mib=40960))
    again.recall("a100")
    again.restore({"pod-a/s": held})
    assert again.held("pod-a/s") == held
    assert again.sharing("a100") == a100.sharing("a100")


def test_whole_again_and_gone(a100: Inventory) -> None:
    cut = a100.devices("a100")[0]
    assert a100.divide("a100", WHOLE)
    assert [d.product for d in a100.devices("a100")] == [A100]
    assert not a100.path(cut.uuid).exists()
    a100.divide("a100", Sharing(mig=mig_slice(A100, "1g.5gb")))
    a100.remove("a100")
    assert list(a100.folder.iterdir()) == []


def test_labels_tell_how_gpus_are_divided() -> None:
    shared = labels(product="NVIDIA-L4", memory_mib=23034, count=4, sharing=TIME_SLICED)
    assert shared["nvidia.com/gpu.product"] == "NVIDIA-L4-SHARED"
    assert (shared["nvidia.com/gpu.replicas"], shared["nvidia.com/gpu.sharing-strategy"]) == (
        "2",
        "time-slicing",
    )
    cut = labels(product=A100, memory_mib=40960, count=1, sharing=Sharing(mig=mig_slice(A100, "1g.5gb")))
    assert (cut["nvidia.com/mig.strategy"], cut["nvidia.com/mig-1g.5gb.count"]) == ("mixed", "7")
