"""What the doctor saw, as plain records: one `Observation` of the whole path from a pod to the HPA.

Nothing is judged here. As JSON (`stored.plain`) an observation can be sent to someone, and judged later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Condition:
    """One of an object's `status.conditions`."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


@dataclass(frozen=True)
class Container:
    """What the path needs of a container: its ports, whether it has a readiness probe, what it requests."""

    name: str
    ports: tuple[int, ...] = ()
    readiness: bool = True
    requests: tuple[str, ...] = ()


@dataclass(frozen=True)
class Workload:
    """A Deployment or StatefulSet; `writers` are the other managers of `spec.replicas` besides the HPA.

    `selects` is its whole selector as text, if it has more than the labels in `selector`.
    """

    name: str
    replicas: int
    selector: Labels
    containers: tuple[Container, ...] = ()
    writers: tuple[str, ...] = ()
    selects: str = ""
    kind: str = "Deployment"

    @property
    def title(self) -> str:
        """As kubectl names it: `deployment/llm-inference-service`."""
        return f"{self.kind.lower()}/{self.name}"


@dataclass(frozen=True)
class Pod:
    """A pod; `ready_for` is in real seconds, `owned` says whether a controller owns it."""

    name: str
    labels: Labels
    annotations: Labels
    owned: bool = True
    ready_for: float | None = None
    trouble: str = ""
    """Why it does not start, in Kubernetes' words: ErrImagePull, CrashLoopBackOff, Unschedulable ..."""
    owner: str = ""
    """Its controller: `ReplicaSet/llm-6c9f`, `Job/benchmark`; empty if there is none, or it is not known."""
    phase: str = ""
    containers: tuple[Container, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether its Ready condition is True."""
        return self.ready_for is not None

    @property
    def finished(self) -> bool:
        """Whether it has finished, and is kept only for its logs."""
        return self.phase in {"Succeeded", "Failed"}


@dataclass(frozen=True)
class Service:
    """A Service and its selector."""

    name: str
    selector: Labels


@dataclass(frozen=True)
class Metric:
    """One entry of an HPA's `spec.metrics`; `about` is the object of a metric of type Object.

    `container` is the one that a metric of type ContainerResource is about. `selector` is the metric's own,
    as text; `version` is the apiVersion of the object of a metric of type Object.
    """

    type: str
    name: str
    target: str
    about: str = ""
    container: str = ""
    selector: str = ""
    version: str = ""

    def __str__(self) -> str:
        of = self.about or (f"container {self.container}" if self.container else "")
        return f"{self.name} of {of}" if of else self.name


@dataclass(frozen=True)
class Autoscaler:
    """An HPA."""

    name: str
    target: str
    """`Deployment/llm-inference-service`"""
    metrics: tuple[Metric, ...] = ()
    conditions: tuple[Condition, ...] = ()
    desired: int = 0
    scaled: str = ""
    """The ScaledObject that owns it; empty if KEDA does not."""

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type; None if the controller has not set it."""
        return _condition(self.conditions, kind)


@dataclass(frozen=True)
class Trigger:
    """A trigger of a ScaledObject: what it asks, and what Prometheus answers to that.

    `target` is its metricType. `authentication` is the object that it logs in with, as `kind/name`, and
    `lacking` what that names and does not exist.
    """

    type: str
    query: str = ""
    target: str = "AverageValue"
    empty_is_zero: bool = True
    authentication: str = ""
    lacking: str = ""
    answer: tuple[str, ...] = ()
    error: str = ""
    known: bool = False
    """Whether Prometheus was asked."""


@dataclass(frozen=True)
class ScaledObject:
    """A ScaledObject of KEDA; `target` is `Deployment/llm-inference-service`."""

    name: str
    target: str
    triggers: tuple[Trigger, ...] = ()
    conditions: tuple[Condition, ...] = ()

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type; None if KEDA has not set it."""
        return _condition(self.conditions, kind)


def _condition(among: Iterable[Condition], kind: str) -> Condition | None:
    return next((c for c in among if c.type == kind), None)


@dataclass(frozen=True)
class Page:
    """What a pod returned when asked for its metrics: their names, or why there are none."""

    pod: str
    names: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Target:
    """A scrape target of Prometheus."""

    pod: str
    url: str
    health: str
    error: str = ""


@dataclass(frozen=True)
class Prometheus:
    """What Prometheus returned; `url` is empty if its address is not known."""

    url: str = ""
    error: str = ""
    targets: tuple[Target, ...] = ()
    series: tuple[Labels, ...] = ()
    """The labels of each series of the metric at the path's source, as of now."""


@dataclass(frozen=True)
class ApiService:
    """A part of the Kubernetes API that another server serves; its name is VERSION.GROUP."""

    name: str
    available: bool
    reason: str = ""
    message: str = ""
    service: str = ""
    """The Service of that server: NAMESPACE/NAME."""

    @property
    def version(self) -> str:
        """The version that it serves: `v1beta2`."""
        return self.name.partition(".")[0]

    @property
    def group(self) -> str:
        """The API group: `custom.metrics.k8s.io`."""
        return self.name.partition(".")[2]


@dataclass(frozen=True)
class MetricsApi:
    """What the metrics API of this path returned: its server, the names that it knows, and its values."""

    group: str
    services: tuple[ApiService, ...] = ()
    services_error: str = ""
    names: tuple[str, ...] = ()
    names_error: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    """Pod (or the object, or the external series) → value, as the HPA would get it."""
    values_error: str = ""
    place: str = "pods"
    """The resource whose metric it is, as the custom metrics API names it: `pods`, `deployments.apps`."""


@dataclass(frozen=True)
class Pool:
    """An InferencePool: which pods it selects, and the ports on which it expects servers."""

    name: str
    selector: Labels
    ports: tuple[int, ...] = ()


@dataclass(frozen=True)
class Gateway:
    """An inference gateway: its pools, and its endpoint picker's figures; `ready` is None if there are none.

    `queries` are those of ScaledObjects. `away` counts the requests that were sent to no server, by outcome;
    `waiting` is each pod's queue.
    """

    pools: tuple[Pool, ...]
    queries: tuple[str, ...] = ()
    ready: float | None = None
    held: float = 0.0
    saturation: float | None = None
    away: Mapping[str, float] = field(default_factory=dict)
    waiting: Mapping[str, float] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Measured:
    """What the metrics API and Prometheus know of one more metric of the HPA."""

    api: MetricsApi
    series: tuple[Labels, ...] = ()


@dataclass(frozen=True)
class Observation:
    """The whole path at one moment. `asked` is the HPA that was asked about ("" is whichever is there).

    `api` and `prometheus.series` are about one metric of the HPA, the one at `index` of its list.
    """

    namespace: str
    clock: float
    asked: str
    api: MetricsApi
    prometheus: Prometheus
    workloads: tuple[Workload, ...] = ()
    pods: tuple[Pod, ...] = ()
    services: tuple[Service, ...] = ()
    autoscalers: tuple[Autoscaler, ...] = ()
    scaled: tuple[ScaledObject, ...] = ()
    pages: tuple[Page, ...] = ()
    leaving: int = 0
    """How many pods are terminating: they hold their GPUs until they are gone."""
    index: int = 0
    more: tuple[Measured, ...] = ()
    """The HPA's other metrics, in its order."""
    gateway: Gateway | None = None
