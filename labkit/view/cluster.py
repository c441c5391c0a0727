"""Tables of the cluster: kubectl's own columns, and a table of nodes with the GPU columns that kubectl lacks.

Pure functions of what the API server returned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from labkit.metrics.series import Sample
from labkit.view.table import Table
from localcluster.api import JsonLike
from localcluster.api.objects import Table as Printed
from localcluster.quantities import amount

GPU = "nvidia.com/gpu"
HIDDEN = frozenset({"IP", "Nominated Node", "Readiness Gates", "Selector", "Images", "Containers"})
DCGM = {"busy": "DCGM_FI_DEV_GPU_UTIL", "used": "DCGM_FI_DEV_FB_USED"}
QUEUES = {"waiting": "vllm:num_requests_waiting", "running": "vllm:num_requests_running"}
HELD = "sum(inference_extension_flow_control_queue_size)"
ENDED = ("Succeeded", "Failed")
_GREEN, _ORANGE, _RED = "#009E73", "#E69F00", "#D55E00"
_WAITING = ("Pending", "ContainerCreating", "PodInitializing", "Terminating")


def printed(table: Printed, *, title: str, stamp: str) -> Table:
    """The server's own table, without the columns that no lesson uses."""
    shown = [i for i, name in enumerate(table.columns) if name not in HIDDEN]
    rows = [[row[i] for i in shown] for row in table.rows]
    columns = [table.columns[i].upper() for i in shown]
    marks = {i: mark for i, row in enumerate(rows) if (mark := _mark(dict(zip(columns, row, strict=True))))}
    return Table(title, columns, rows, stamp=stamp, empty=table.empty, marks=marks, wraps="MESSAGE")


def _mark(row: Mapping[str, str]) -> str:
    status = row.get("STATUS", "")
    if not status or "READY" not in row:
        return ""
    if status == "Running":
        ready, _, wanted = row["READY"].partition("/")
        return _GREEN if ready == wanted else _ORANGE
    return _ORANGE if status.startswith(_WAITING) else _RED if status != "Completed" else ""


def nodes(nodes: Iterable[JsonLike], pods: Iterable[JsonLike], *, stamp: str) -> Table:
    """Each node with what the scheduler knows of its GPUs: how many there are, and how many are requested."""
    taken = Counter[str]()
    for pod in pods:
        if pod.get("status", {}).get("phase") not in ENDED:
            taken[pod["spec"].get("nodeName", "")] += gpus_of(pod)
    rows = [_node(node, taken[node["metadata"]["name"]]) for node in nodes]
    columns = [
        "NAME",
        "STATUS",
        "GPU",
        "VRAM (label)",
        "GPUs",
        "ASKED FOR",
        "FREE",
        "CPU",
        "MEMORY",
        "TAINTS",
    ]
    return Table("nodes", columns, rows, stamp=stamp)


def _node(node: JsonLike, taken: int) -> list[str]:
    meta, status = node["metadata"], node["status"]
    labels, allocatable = meta.get("labels", {}), status.get("allocatable", {})
    gpus = int(allocatable.get(GPU, 0))
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
    taints = [f"{t['key'].rpartition('/')[2]}:{t['effect']}" for t in node["spec"].get("taints", [])]
    memory = labels.get("nvidia.com/gpu.memory")
    return [
        meta["name"],
        "Ready" if ready else "NotReady",
        labels.get("nvidia.com/gpu.product", "-"),
        f"{memory} MiB" if memory else "-",
        str(gpus),
        str(taken),
        str(gpus - taken),
        allocatable.get("cpu", ""),
        _gibibytes(allocatable.get("memory", "")),
        ", ".join(taints) or "-",
    ]


def _gibibytes(memory: str) -> str:
    return f"{amount(memory) / 2**30:.0f}Gi" if memory else ""


def gpus_of(pod: JsonLike) -> int:
    """How many GPUs a pod requests, counting init containers as the scheduler does."""
    spec = pod["spec"]
    running = sum(_limit(c) for c in spec["containers"])
    return max([running, *(_limit(c) for c in spec.get("initContainers", []))])


def _limit(container: JsonLike) -> int:
    return int(container.get("resources", {}).get("limits", {}).get(GPU, 0))


def gpus(samples: Iterable[Sample], *, stamp: str) -> Table:
    """Each node's GPUs side by side, from DCGM metrics: which pod holds one, utilization, VRAM in use."""
    devices: dict[tuple[str, int], dict[str, float]] = {}
    holders: dict[tuple[str, int], str] = {}
    for sample in samples:
        place = sample.labels.get("Hostname", "?"), int(sample.labels.get("gpu", 0))
        devices.setdefault(place, {})[sample.labels["__name__"]] = sample.value
        holders[place] = sample.labels.get("pod", "")
    numbers = sorted({number for _, number in devices})
    rows = [
        [node, *(_gpu(devices.get((node, n)), holders.get((node, n), "")) for n in numbers)]
        for node in sorted({node for node, _ in devices})
    ]
    columns = ["NODE", *(f"GPU {number}" for number in numbers)]
    return Table("gpus", columns, rows, stamp=stamp, empty=f"nothing exports {DCGM['used']} here")


def _gpu(figures: Mapping[str, float] | None, pod: str) -> str:
    """`k2x9p 100 % 17.6 GiB`: the end of the pod's name, utilization, VRAM; `free` if no pod holds it."""
    if figures is None:
        return "-"
    if not pod:
        return "free"
    busy, used = (figures.get(DCGM[name], 0.0) for name in ("busy", "used"))
    return f"{pod[-5:]} {busy:3.0f} % {used / 1024:4.1f} GiB"


def queues(samples: Iterable[Sample], *, stamp: str) -> Table:
    """Where requests wait, as last scraped: at the gateway (the sample without a name), and in pods."""
    found: dict[str, dict[str, float]] = {}
    for sample in samples:
        where = sample.labels.get("pod", "the gateway")
        found.setdefault(where, {})[sample.labels.get("__name__", QUEUES["waiting"])] = sample.value
    rows = [
        [where, *(text(figures.get(QUEUES[name], "")) for name in ("waiting", "running"))]
        for where, figures in sorted(found.items(), key=lambda one: (one[0] != "the gateway", one[0]))
    ]
    return Table(
        "queues", ["WHERE", "WAITING", "AT WORK"], rows, stamp=stamp, empty="no server was scraped yet"
    )


def frame(rows: Sequence[Mapping[str, Any]], *, title: str, stamp: str, wraps: str = "") -> Table:
    """Any rows (metrics, answers) as a table; numbers are shortened. `wraps`: see `Table`."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[text(row.get(column, "")) for column in columns] for row in rows]
    return Table(title, columns, cells, stamp=stamp, empty="no data", wraps=wraps)


def text(value: Any) -> str:
    """A value as a cell: a number with at most four decimal places and no trailing zeros."""
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".")
    return str(value)
