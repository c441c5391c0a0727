"""From what the agent knows of a pod's containers to `status`, as the kubelet writes it.

Pure: it decides phase, conditions and container states, with no clock and no API.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from localcluster.api import Json
from localcluster.api.times import stamp
from localcluster.gpus import handout
from localcluster.node.pod.resizing import CONDITIONS as RESIZES
from localcluster.node.pod.restarts import is_sidecar, should_restart


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


@dataclass(frozen=True)
class Resize:
    """A condition of a pod that is being resized: PodResizePending or PodResizeInProgress."""

    kind: str
    reason: str
    message: str


State = Waiting | Running | Terminated

OWN_CONDITIONS = frozenset(
    {"PodScheduled", "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", *RESIZES}
)
"""The kubelet's own conditions; all others are kept as the API has them."""
_OVER = {"Succeeded", "Failed"}


@dataclass
class ContainerState:
    """The inputs of a container's status."""

    name: str
    image: str
    state: State
    last: Terminated | None = None
    image_id: str = ""
    container_id: str = ""
    restart_count: int = 0
    started: bool = False  # running, and its startup probe (if any) has passed
    ready: bool = False
    resources: Json = field(default_factory=dict)  # of the container as it runs
    allocated: Json = field(default_factory=dict)  # that the node has given to it
    gpus: dict[str, bool] = field(default_factory=dict)  # UUID -> whether it is healthy


@dataclass(frozen=True)
class PodView:
    """The inputs of a pod's status."""

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
    failed: tuple[str, ...] = ()  # reason and message, where the pod failed as a whole
    told_phase: str = ""  # what the API server was sent last
    terminating: bool = False
    alive: bool = False  # containers may still run here, so it is not over
    ephemeral: Sequence[ContainerState] = ()
    resizes: Sequence[Resize] = ()


def pod_status(view: PodView) -> Json:
    """The whole `status`, except for conditions that other components own."""
    where = phase(view)
    status: Json = {
        "phase": where,
        "observedGeneration": view.generation,
        "conditions": conditions(view, where),
        "hostIP": view.host_ip,
        "hostIPs": [{"ip": view.host_ip}],
        "startTime": stamp(view.started_at),
    }
    if view.sandbox and view.pod_ip and _tried(view):
        status |= {"podIP": view.pod_ip, "podIPs": [{"ip": view.pod_ip}]}
    if view.failed and where == "Failed":
        status |= {"reason": view.failed[0], "message": view.failed[1]}
    if view.failed and not view.sandbox:
        return status  # never admitted: nothing is known of its containers
    if view.init:
        status["initContainerStatuses"] = [container_status(c) for c in view.init]
    if view.main:
        status["containerStatuses"] = [container_status(c) for c in view.main]
    if view.ephemeral:
        status["ephemeralContainerStatuses"] = [container_status(c) for c in view.ephemeral]
    return status


def _tried(view: PodView) -> bool:
    """Whether a first start has succeeded or failed: the kubelet shows the address only then."""
    begin = {"ContainerCreating", "PodInitializing"}
    return any(
        c.last or not isinstance(c.state, Waiting) or c.state.reason not in begin
        for c in (*view.init, *view.main)
    )


def phase(view: PodView) -> str:
    """As in the kubelet's getPhase: how main containers ended decides, not how sidecars did."""
    found = "Failed" if view.failed else _phase(view)
    if view.told_phase in _OVER:
        return view.told_phase  # there is no way back
    if found in _OVER and view.alive:
        return view.told_phase or "Pending"  # what it holds would be assigned to others
    if found not in _OVER and view.terminating and not view.alive:
        return "Failed"
    return found


def _phase(view: PodView) -> str:
    if any(_failed_for_good(view, c) for c in _plain_init(view)):
        return "Failed"
    waits = [c for c in view.main if isinstance(c.state, Waiting) and not c.last]
    if waits or any(_pending(c) for c in _plain_init(view)) or _sidecars_pending(view):
        return "Pending"
    if any(isinstance(c.state, Running) for c in (*_sidecars(view), *view.main)):
        return "Running"
    return _phase_of_ended(view)


def _phase_of_ended(view: PodView) -> str:
    """Of a pod in which nothing runs at the moment."""
    codes = {c.name: end.exit_code for c in view.main if (end := _end(c))}
    again = [name for name, code in codes.items() if should_restart(_spec(view, name), view.spec, code)]
    if again and not view.terminating:
        return "Running"
    return "Failed" if any(codes.values()) else "Succeeded"


def _spec(view: PodView, name: str) -> Json:
    containers = (*view.spec.get("initContainers", ()), *view.spec.get("containers", ()))
    return next((c for c in containers if c["name"] == name), {"name": name})


def _end(container: ContainerState) -> Terminated | None:
    return container.state if isinstance(container.state, Terminated) else container.last


def _failed_for_good(view: PodView, container: ContainerState) -> bool:
    end = None if isinstance(container.state, Running) else _end(container)
    if end is None or end.exit_code == 0:
        return False
    return not should_restart(_spec(view, container.name), view.spec, end.exit_code)


def _pending(container: ContainerState) -> bool:
    """Of an init container that is no sidecar; one that waits for its next try is not done either."""
    return not (isinstance(container.state, Terminated) and container.state.exit_code == 0)


def _sidecars_pending(view: PodView) -> bool:
    """Whether the pod is still before its main containers because of a sidecar."""
    began = [c for c in view.main if not isinstance(c.state, Waiting) or c.last]
    return not began and any(not (c.started or c.last) for c in _sidecars(view))


def _plain_init(view: PodView) -> list[ContainerState]:
    return [c for c in view.init if not is_sidecar(_spec(view, c.name))]


def _sidecars(view: PodView) -> list[ContainerState]:
    return [c for c in view.init if is_sidecar(_spec(view, c.name))]


def initialized(view: PodView) -> bool:
    """Whether all init containers are through: they were, where a main container has ever started."""
    if any(not isinstance(c.state, Waiting) or c.last for c in view.main):
        return True
    return all(_through(c) for c in view.init)


def conditions(view: PodView, where: str) -> list[Json]:
    """The kubelet's own conditions; a pod that names its node itself counts as scheduled."""
    sandbox = view.sandbox and where in {"Pending", "Running"}
    gates = _closed_gates(view)
    unready = [c.name for c in (*_sidecars(view), *view.main) if not c.ready]
    waiting = [c.name for c in view.init if not _through(c)]
    over = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(where)
    containers = _ready(unready, over)
    ready = containers
    if not containers[0] and gates:
        ready = ("ReadinessGatesNotReady", ", ".join(gates))
    initial = ("PodCompleted", "") if where == "Succeeded" else ("", "")
    if not initialized(view) and where != "Succeeded":
        initial = ("ContainersNotInitialized", f"containers with incomplete status: [{' '.join(waiting)}]")
    return [
        _condition(view, "PodReadyToStartContainers", sandbox, ("", "")),
        _condition(view, "Initialized", initial[0] in {"", "PodCompleted"}, initial),
        _condition(view, "Ready", not ready[0], ready),
        _condition(view, "ContainersReady", not containers[0], containers),
        _condition(view, "PodScheduled", True, ("", "")),
        *(_condition(view, each.kind, True, (each.reason, each.message)) for each in view.resizes),
    ]


def _ready(unready: list[str], over: str | None) -> tuple[str, str]:
    if over:
        return over, ""
    if unready:
        return "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return "", ""


def _through(container: ContainerState) -> bool:
    return container.started or (isinstance(container.state, Terminated) and container.state.exit_code == 0)


def _closed_gates(view: PodView) -> list[str]:
    """The kubelet's message for each readiness gate that is not open."""
    states = {c["type"]: c.get("status") for c in view.old_conditions}
    gates = [g["conditionType"] for g in view.spec.get("readinessGates", ())]
    return [_closed_gate(gate, states.get(gate)) for gate in gates if states.get(gate) != "True"]


def _closed_gate(gate: str, state: str | None) -> str:
    if state is None:
        return f'corresponding condition of pod readiness gate "{gate}" does not exist.'
    return f'the status of pod readiness gate "{gate}" is not "True", but {state}'


def _condition(view: PodView, kind: str, holds: bool, why: tuple[str, str]) -> Json:  # noqa: FBT001
    value = "True" if holds else "False"
    old = next((c for c in view.old_conditions if c["type"] == kind), None)
    known = old.get("lastTransitionTime") if old and old.get("status") == value else None
    since = known or stamp(view.now)  # others may write a condition without it
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
    if container.allocated.get("requests") and isinstance(container.state, Running):
        status["allocatedResources"] = container.allocated["requests"]
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
