"""From what the agent knows of a pod's containers to `status`, as the kubelet writes it. Pure.

It decides phase, conditions and container states, and nothing else: no clock, no API.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from labkit.apiserver.times import stamp
from labkit.gpus import handout

Json = dict[str, Any]


@dataclass(frozen=True)
class Waiting:
    """Not started: ContainerCreating, ImagePullBackOff, CrashLoopBackOff, ..."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class Running:
    """Its process exists; times are seconds since the epoch."""

    started_at: float


@dataclass(frozen=True)
class Terminated:
    """A run that is over."""

    exit_code: int
    reason: str
    started_at: float
    finished_at: float
    container_id: str = ""
    message: str = ""


State = Waiting | Running | Terminated


@dataclass
class ContainerState:
    """All that a container's status is made of."""

    name: str
    image: str
    state: State
    last: Terminated | None = None
    image_id: str = ""
    container_id: str = ""
    restart_count: int = 0
    started: bool = False  # running, and its startup probe (if any) has passed
    ready: bool = False
    resources: Json = field(default_factory=dict)
    gpus: dict[str, bool] = field(default_factory=dict)  # UUID -> whether it is healthy


@dataclass(frozen=True)
class PodView:
    """A pod as the status sees it."""

    spec: Json
    generation: int
    old_conditions: Sequence[Json]
    init: Sequence[ContainerState]
    main: Sequence[ContainerState]
    sandbox: bool  # volumes are there and ports are given
    host_ip: str
    pod_ip: str
    started_at: float
    now: float
    rejected: tuple[str, str] | None = None  # (reason, message): the pod failed as a whole
    terminating: bool = False


def is_sidecar(container: Json) -> bool:
    """An init container that goes on running beside the others."""
    return bool(container.get("restartPolicy") == "Always")


def pod_status(view: PodView) -> Json:
    """The whole `status`, but for conditions that other components own."""
    where = phase(view)
    status: Json = {
        "phase": where,
        "observedGeneration": view.generation,
        "conditions": conditions(view, where),
        "hostIP": view.host_ip,
        "hostIPs": [{"ip": view.host_ip}],
        "startTime": stamp(view.started_at),
    }
    if view.sandbox and view.pod_ip:
        status |= {"podIP": view.pod_ip, "podIPs": [{"ip": view.pod_ip}]}
    if view.rejected:
        status |= {"reason": view.rejected[0], "message": view.rejected[1]}
    if view.rejected and not view.sandbox:
        return status  # never admitted: nothing is known of its containers
    if view.init:
        status["initContainerStatuses"] = [container_status(c) for c in view.init]
    if view.main:
        status["containerStatuses"] = [container_status(c) for c in view.main]
    return status


def phase(view: PodView) -> str:
    """Pending, Running, Succeeded or Failed, by the kubelet's rules."""
    if view.rejected:
        return "Failed"
    if view.spec.get("restartPolicy") == "Never" and any(_failed(c) for c in _plain_init(view)):
        return "Failed"
    if not initialized(view) or any(isinstance(c.state, Waiting) and not c.last for c in view.main):
        return "Pending"
    return _phase_of_started(view)


def _phase_of_started(view: PodView) -> str:
    policy = view.spec.get("restartPolicy", "Always")
    living = any(isinstance(c.state, Running) for c in view.main)
    if living or (policy == "Always" and not view.terminating):
        return "Running"
    codes = [end.exit_code for end in map(_end, view.main) if end]
    if all(code == 0 for code in codes):
        return "Succeeded"
    return "Failed" if policy == "Never" or view.terminating else "Running"


def _end(container: ContainerState) -> Terminated | None:
    return container.state if isinstance(container.state, Terminated) else container.last


def _failed(container: ContainerState) -> bool:
    return isinstance(container.state, Terminated) and container.state.exit_code != 0


def _plain_init(view: PodView) -> list[ContainerState]:
    sidecars = {c["name"] for c in view.spec.get("initContainers", ()) if is_sidecar(c)}
    return [c for c in view.init if c.name not in sidecars]


def initialized(view: PodView) -> bool:
    """Whether all init containers are through, and all sidecars have started."""
    plain = {c.name for c in _plain_init(view)}
    return all(
        (isinstance(c.state, Terminated) and c.state.exit_code == 0)
        if c.name in plain
        else c.started or c.last
        for c in view.init
    )


def conditions(view: PodView, where: str) -> list[Json]:
    """The kubelet's four conditions, and PodScheduled as the scheduler left it."""
    sandbox = view.sandbox and where in {"Pending", "Running"}
    gates = _closed_gates(view)
    unready = [c.name for c in (*_sidecars(view), *view.main) if not c.ready]
    waiting = [c.name for c in view.init if not _through(c)]
    over = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(where)
    containers = _ready(unready, over)
    ready = containers
    if not containers[1] and gates:
        ready = ("ReadinessGatesNotReady", f'the status of pod readiness gate {gates} is not "True"')
    initial = ("PodCompleted", "") if where == "Succeeded" else ("", "")
    if not initialized(view) and where != "Succeeded":
        initial = ("ContainersNotInitialized", f"containers with incomplete status: [{' '.join(waiting)}]")
    return [
        _condition(view, "PodReadyToStartContainers", sandbox, ("", "")),
        _condition(view, "Initialized", initial[0] in {"", "PodCompleted"}, initial),
        _condition(view, "Ready", not ready[0], ready),
        _condition(view, "ContainersReady", not containers[0], containers),
    ]


def _ready(unready: list[str], over: str | None) -> tuple[str, str]:
    if over:
        return over, ""
    if unready:
        return "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return "", ""


def _sidecars(view: PodView) -> list[ContainerState]:
    plain = {c.name for c in _plain_init(view)}
    return [c for c in view.init if c.name not in plain]


def _through(container: ContainerState) -> bool:
    return container.started or (isinstance(container.state, Terminated) and container.state.exit_code == 0)


def _closed_gates(view: PodView) -> list[str]:
    is_true = {c["type"] for c in view.old_conditions if c.get("status") == "True"}
    gates = (g["conditionType"] for g in view.spec.get("readinessGates", ()))
    return [g for g in gates if g not in is_true]


def _condition(view: PodView, kind: str, holds: bool, why: tuple[str, str]) -> Json:  # noqa: FBT001
    value = "True" if holds else "False"
    old = next((c for c in view.old_conditions if c["type"] == kind), None)
    since = old["lastTransitionTime"] if old and old.get("status") == value else stamp(view.now)
    condition: Json = {
        "type": kind,
        "status": value,
        "observedGeneration": view.generation,
        "lastProbeTime": None,
        "lastTransitionTime": since,
        "reason": why[0] or None,
        "message": why[1] or None,
    }
    return condition


def container_status(container: ContainerState) -> Json:
    """One entry of `containerStatuses`."""
    status: Json = {
        "name": container.name,
        "image": container.image,
        "imageID": container.image_id,
        "state": state_json(container.state),
        "lastState": state_json(container.last) if container.last else {},
        "ready": container.ready,
        "started": container.started,
        "restartCount": container.restart_count,
    }
    if container.container_id:
        status["containerID"] = container.container_id
    if container.gpus:
        status["allocatedResourcesStatus"] = [_health(container)]
    if container.resources and isinstance(container.state, Running):
        status["resources"] = container.resources
        if container.resources.get("requests"):
            status["allocatedResources"] = container.resources["requests"]
    return status


def _health(container: ContainerState) -> Json:
    """How the container's devices are: on since 1.36, https://kep.k8s.io/4680."""
    health = {True: "Healthy", False: "Unhealthy"}
    name, _ = handout.asked(container.resources)
    devices = [{"resourceID": uuid, "health": health[well]} for uuid, well in container.gpus.items()]
    return {"name": name, "resources": devices}


def state_json(state: State) -> Json:
    """`state` or `lastState`."""
    if isinstance(state, Waiting):
        return {"waiting": {"reason": state.reason} | _message(state.message)}
    if isinstance(state, Running):
        return {"running": {"startedAt": stamp(state.started_at)}}
    ended: Json = {
        "exitCode": state.exit_code,
        "reason": state.reason,
        "startedAt": stamp(state.started_at),
        "finishedAt": stamp(state.finished_at),
    }
    if state.container_id:
        ended["containerID"] = state.container_id
    return {"terminated": ended | _message(state.message)}


def _message(text: str) -> Json:
    return {"message": text} if text else {}
