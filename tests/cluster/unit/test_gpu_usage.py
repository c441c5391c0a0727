"""The node reads what the model server reports: the two agree on where the file lies."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from model_server import device

from localcluster.gpus.device import devices_of
from localcluster.gpus.inventory import Inventory
from localcluster.gpus.usage import host_cpu_seconds, usage_files

RUN, POD = "7313f2180c83481b", "b9c0ffee-0000-4000-8000-000000000000"


@pytest.mark.parametrize("given", [{"LABKIT_CONTAINER_ID": RUN, "LABKIT_POD_UID": POD}, {"POD_UID": POD}])
def test_the_modelled_cpu_of_a_server_reaches_its_container(tmp_path: Path, given: dict[str, str]) -> None:
    inventory = Inventory(tmp_path)
    inventory.add(devices_of(lab="lab", node="gpu-node-1", count=1, product="NVIDIA-L4", memory_mib=23034))
    uuid = inventory.devices()[0].uuid
    began = time.time()
    server = device.visible({"NVIDIA_VISIBLE_DEVICES": uuid, "LABKIT_GPU_DIR": str(tmp_path)} | given)
    server.usage.host_cpu_seconds_total = 12.5
    server.publish()
    files = usage_files([inventory.path(uuid)], (RUN, POD))
    assert host_cpu_seconds(files, since=began) == 12.5
    later = time.time() + 1  # a later run of it: what the earlier one wrote is not its own
    assert host_cpu_seconds(files, since=later) == 0
    server.close()
