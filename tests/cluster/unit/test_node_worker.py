"""The worker of a pod: whatever fails in it, the pod comes to its end."""

from __future__ import annotations

import asyncio
from pathlib import Path

from localcluster.api import Json
from localcluster.node.config import NodeSpec
from localcluster.node.network.networks import Loopback
from localcluster.node.worker import PodWorker
from tests.cluster.unit.node_world import answering, machine

SPEC = NodeSpec("gpu-node-1", 1, gpus=4)


def test_a_fault_of_the_agent_fails_the_pod_which_can_be_deleted(tmp_path: Path) -> None:
    """Here: a quantity that no API server would have let through."""
    limits = {"limits": {"nvidia.com/gpu": "many"}}
    pod: Json = {
        "metadata": {"uid": "u", "name": "n", "namespace": "ns"},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": limits}]},
        "status": {"conditions": [{"type": "PodScheduled", "status": "True"}]},
    }

    async def scenario() -> None:
        async with answering(200) as (server, api), machine(tmp_path, Loopback(tmp_path), SPEC, api) as node:
            worker = PodWorker(node, pod)
            worker.update(pod)
            async with asyncio.timeout(20):
                while not server.sent or server.sent[-1]["phase"] != "Failed":
                    await asyncio.sleep(0.01)
                assert server.sent[-1]["reason"] == "AgentError"
                assert "'many' is not a quantity" in server.sent[-1]["message"]
                deleted = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}
                worker.update(pod | {"metadata": pod["metadata"] | deleted})
                assert node.table.list(node.name)[0].metadata == pod["metadata"] | deleted
                await worker.finished.wait()
                await worker.task
            assert not node.pod_folder("u").exists()
            assert node.table.list(node.name) == []

    asyncio.run(scenario())
