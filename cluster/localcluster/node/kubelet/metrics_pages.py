"""The kubelet's pages about CPU and memory: cAdvisor's, `/metrics/resource` and `/stats/summary`.

Names and labels are theirs, so that a query from a production dashboard works here. Pure: from samples to
text and JSON.
"""

from __future__ import annotations

from typing import Any

from localcluster.api import Json
from localcluster.api.times import stamp
from localcluster.gpus.exposition import Family
from localcluster.node.kubelet.stats import NodeSample, Sample

_CPU_HELP = (
    "Cumulative cpu time consumed in seconds. (Measured on the container's processes, plus the host CPU "
    "that a real server would use beside a real GPU: that part is simulated.)"
)
_MEMORY_HELP = "Current working set of the container in bytes. (Resident memory of its processes.)"


def cadvisor(sample: NodeSample, *, cpu: int, memory_bytes: int) -> list[Family]:
    """`/metrics/cadvisor`; the machine figures are the node's capacity."""
    seconds = Family("container_cpu_usage_seconds_total", "counter", _CPU_HELP)
    working_set = Family("container_memory_working_set_bytes", "gauge", _MEMORY_HELP)
    rss = Family("container_memory_rss", "gauge", "Size of RSS in bytes.")
    started = Family("container_start_time_seconds", "gauge", "Start time of the container since unix epoch.")
    cores = Family("machine_cpu_cores", "gauge", "Number of logical CPU cores. (simulated)")
    memory = Family("machine_memory_bytes", "gauge", "Amount of memory installed on the machine. (simulated)")
    root = {"id": "/"}
    seconds.add(root, sample.cpu_seconds)
    working_set.add(root, sample.memory_bytes)
    rss.add(root, sample.memory_bytes)
    for each in sample.containers:
        labels = _cadvisor_labels(each)
        seconds.add({**labels, "cpu": "total"}, each.cpu_seconds)
        working_set.add(labels, each.memory_bytes)
        rss.add(labels, each.memory_bytes)
        started.add(labels, each.container.started_at)
    cores.add({}, cpu)
    memory.add({}, memory_bytes)
    return [seconds, working_set, rss, started, cores, memory]


def resource(sample: NodeSample) -> list[Family]:
    """`/metrics/resource`: what metrics-server reads."""
    node_cpu = Family(
        "node_cpu_usage_seconds_total", "counter", "Cumulative cpu time of the node in seconds."
    )
    node_memory = Family(
        "node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes."
    )
    seconds = Family("container_cpu_usage_seconds_total", "counter", _CPU_HELP)
    memory = Family("container_memory_working_set_bytes", "gauge", _MEMORY_HELP)
    started = Family("container_start_time_seconds", "gauge", "Start time of the container since unix epoch.")
    node_cpu.add({}, sample.cpu_seconds)
    node_memory.add({}, sample.memory_bytes)
    for each in sample.containers:
        labels = _labels(each)
        seconds.add(labels, each.cpu_seconds)
        memory.add(labels, each.memory_bytes)
        started.add(labels, each.container.started_at)
    return [node_cpu, node_memory, seconds, memory, started]


def summary(node: str, sample: NodeSample) -> Json:
    """`/stats/summary`, as far as the lab knows it."""
    pods: dict[str, Json] = {}
    for each in sample.containers:
        reference = {"name": each.pod.name, "namespace": each.pod.namespace, "uid": each.pod.uid}
        pod = pods.setdefault(each.pod.uid, {"podRef": reference, "containers": []})
        begun = stamp(each.container.started_at)
        pod["containers"].append({"name": each.container.name, "startTime": begun, **_usage(each)})
    return {"node": {"nodeName": node, **_usage(sample)}, "pods": list(pods.values())}


def _usage(sample: Sample | NodeSample) -> dict[str, Any]:
    time = stamp(sample.taken)
    return {
        "cpu": {
            "time": time,
            "usageNanoCores": int(sample.cores * 1e9),
            "usageCoreNanoSeconds": int(sample.cpu_seconds * 1e9),
        },
        "memory": {"time": time, "workingSetBytes": sample.memory_bytes, "rssBytes": sample.memory_bytes},
    }


def _labels(sample: Sample) -> dict[str, str]:
    return {
        "container": sample.container.name,
        "namespace": sample.pod.namespace,
        "pod": sample.pod.name,
    }


def _cadvisor_labels(sample: Sample) -> dict[str, str]:
    run = sample.container.container_id.rpartition("/")[2]
    return {
        **_labels(sample),
        "id": f"/kubepods/pod{sample.pod.uid}/{run}",
        "image": sample.container.image,
        "name": run,
    }
