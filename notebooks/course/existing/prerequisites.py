"""What the course needs from a cluster, and which notebooks need it: judged before the first notebook.

Pure. A missing `required` need stops everything; any other names the notebooks that can't be done.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from course.existing.survey import GPU, GPU_METRIC, Question, Right, Survey
from labkit import pull_secret
from labkit.doctor.finding import BROKEN, Finding, broken, ok, unknown
from labkit.doctor.subject import CUSTOM, GROUPS, QUEUE
from labkit.kube.namespaces import MANAGED
from localcluster.stored import plain

ALL = "all"
MOST_PODS = 10
"""The lesson's HPA goes up to ten pods with one GPU each."""

KEDA = "keda.sh"

LOOKED_AT = frozenset({"nodes", "apiservices", "pods/portforward"})
"""Without these one sees less (nodes and their GPUs, who answers, a pod's own page); the rest goes on."""

_OBJECTS = ("get", "list", "watch", "create", "patch", "delete")
_NAMESPACED: Sequence[tuple[str, str, tuple[str, ...]]] = (
    ("", "pods", _OBJECTS),
    ("", "pods/log", ("get",)),
    ("", "pods/portforward", ("create",)),
    ("", "services", _OBJECTS),
    ("", "secrets", ("get", "create", "delete")),
    ("", "events", ("list", "deletecollection")),
    ("apps", "deployments", _OBJECTS),
    ("apps", "deployments/scale", ("get", "patch")),
    ("apps", "replicasets", ("list", "delete")),
    ("autoscaling", "horizontalpodautoscalers", _OBJECTS),
    ("policy", "poddisruptionbudgets", ("create", "patch", "delete")),
    ("", "namespaces", ("get", "patch", "delete")),
    (CUSTOM, f"pods/{QUEUE}", ("get",)),
)
_OF_THE_CLUSTER: Sequence[tuple[str, str, tuple[str, ...]]] = (
    ("", "namespaces", ("create",)),
    ("", "nodes", ("list",)),
    ("apiregistration.k8s.io", "apiservices", ("list",)),
)


def rights() -> tuple[Right, ...]:
    """Each verb that the course uses, in its own namespace and cluster-wide."""
    own = [Right(verb, what, group) for group, what, verbs in _NAMESPACED for verb in verbs]
    wide = [
        Right(verb, what, group, everywhere=True) for group, what, verbs in _OF_THE_CLUSTER for verb in verbs
    ]
    return (*own, *wide)


def question(*, registry: str) -> Question:
    """What to survey; `registry` is the host to which labkit can push images, empty if there is none."""
    return Question(rights(), pull_secret.NAME, registry)


@dataclass(frozen=True)
class Need:
    """One thing that the course needs, and the notebooks that need it."""

    name: str
    notebooks: str
    required: bool
    finding: Finding

    @property
    def missing(self) -> bool:
        """Whether it is known to be missing."""
        return self.finding.state == BROKEN

    def __str__(self) -> str:
        return f"{self.name}: {self.finding.seen}. {self.finding.fix} (needed by: {self.notebooks})"

    def to_json(self) -> dict[str, Any]:
        """As one flat object."""
        return {
            "need": self.name,
            "notebooks": self.notebooks,
            "required": self.required,
            **plain(self.finding),
        }


def judge(seen: Survey) -> tuple[Need, ...]:
    """Every need, in the order in which to fix them; only the first if the API server does not answer."""
    server = Need("API server", ALL, required=True, finding=_server(seen))
    if server.missing:
        return (server,)
    return (
        server,
        Need("permissions", ALL, required=True, finding=_permissions(seen)),
        Need("namespace", ALL, required=True, finding=_namespace(seen)),
        Need("GPU nodes", ALL, required=False, finding=_gpus(seen)),
        Need("model server's image", ALL, required=False, finding=_image(seen)),
        Need("registry", "01", required=False, finding=_registry(seen)),
        Need("Prometheus", "00, 03 to 07, 10", required=False, finding=_prometheus(seen)),
        Need("custom metrics", "00, 05 to 07, 10", required=False, finding=_custom(seen)),
        Need("resource metrics", "04, 06", required=False, finding=_resource(seen)),
        Need("GPU metrics", "00, 08", required=False, finding=_gpu_metrics(seen)),
    )


def stops(needs: Iterable[Need]) -> tuple[Need, ...]:
    """The missing needs without which nothing can be done at all."""
    return tuple(need for need in needs if need.required and need.missing)


def _server(seen: Survey) -> Finding:
    if seen.version:
        return ok(f"{seen.server} answers ({seen.version})")
    return broken(
        "no-server",
        seen.error or f"{seen.server} does not answer",
        cause="The cluster is off, a VPN or a login is missing, or the context names another cluster.",
        fix="On a lab of labkit: `labkit status`, then `labkit up`. Elsewhere: `kubectl version` by itself "
        "until that works; LABKIT_CONTEXT chooses the context.",
    )


def _permissions(seen: Survey) -> Finding:
    # A user who already has a namespace need not be able to create or delete one.
    idle = {"create", "patch", "delete"} if seen.labels is not None else set()
    lacking = [r for r in seen.refused if r.resource != "namespaces" or r.verb not in idle]
    hard = [r for r in lacking if r.resource not in LOOKED_AT and r.group != CUSTOM]
    if not hard:
        less = f" (may not: {', '.join(map(str, lacking))})" if lacking else ""
        return ok(f"all that the course does is allowed{less}")
    return broken(
        "no-rights",
        f"this user may not {', '.join(map(str, hard[:6]))}{' …' if len(hard) > 6 else ''}",
        cause=f"No Role in namespace {seen.namespace} grants this to the user of this context.",
        fix=f"Let the cluster's owner run: kubectl create namespace {seen.namespace}; "
        f"kubectl label namespace {seen.namespace} {MANAGED}=true; "
        f"kubectl create rolebinding labkit -n {seen.namespace} --clusterrole=admin --user=YOU",
    )


def _namespace(seen: Survey) -> Finding:
    if seen.hidden:
        return unknown(f"whether {seen.namespace} exists is not known: {seen.hidden}")
    if seen.labels is None:
        return ok(f"{seen.namespace} does not exist yet; `labkit up` creates it")
    if seen.labels.get(MANAGED) == "true":
        return ok(f"{seen.namespace} carries {MANAGED}=true")
    return broken(
        "not-ours",
        f"Namespace {seen.namespace} exists and was not made by labkit",
        cause=f"It has no label {MANAGED}=true, so its contents may be someone else's work.",
        fix=f"If labkit may use it: kubectl label namespace {seen.namespace} {MANAGED}=true",
    )


def _gpus(seen: Survey) -> Finding:
    if seen.gpus is None:
        return unknown("nodes may not be listed")
    total = sum(seen.gpus.values())
    if not total:
        return broken(
            "no-gpus",
            f"no node offers {GPU}",
            cause="There is no GPU, or no device plugin that announces it.",
            fix="Install NVIDIA's GPU operator or its device plugin; or use the embedded cluster: labkit up.",
        )
    told = f"{total} GPUs on {len(seen.gpus)} nodes"
    few = f"; the HPA's {MOST_PODS} pods don't fit: scale-out ends at {total}" if total < MOST_PODS else ""
    return ok(told + few)


def _image(seen: Survey) -> Finding:
    if seen.pull_secret:
        return ok("there is a pull secret")
    return unknown(f"no secret {pull_secret.NAME}: fine if nodes pull the image without a login")


def _registry(seen: Survey) -> Finding:
    if seen.registry:
        return ok(f"{seen.registry} accepts images from labkit")
    return broken(
        "no-registry",
        "there is no registry that labkit can push to",
        cause="The cluster's owner manages its images.",
        fix="Do notebook 01 on the embedded cluster: labkit up, PROVIDER = 'embedded'.",
    )


def _prometheus(seen: Survey) -> Finding:
    at = seen.prometheus
    if at.url and not at.error:
        return ok(f"{at.url} answers")
    return broken(
        "no-prometheus",
        at.error if not at.url else f"Prometheus at {at.url} does not answer: {at.error}",
        cause="It is not installed, or not where labkit looks: a Service in namespace monitoring.",
        fix="Set LABKIT_PROMETHEUS to a URL that this machine reaches, for example after "
        "`kubectl port-forward -n monitoring svc/prometheus 9090`.",
    )


def _custom(seen: Survey) -> Finding:
    found = _api(seen, CUSTOM)
    if found and found.state != BROKEN and any(right.group == CUSTOM for right in seen.refused):
        return broken(
            "no-rights",
            f"{CUSTOM} is served, but this user may not read it",
            cause="No Role grants it: the cluster role `admin` does not include it.",
            fix=f"kubectl create role metrics-reader -n {seen.namespace} --verb=get,list "
            f"--resource=*.{CUSTOM}, and a rolebinding to you",
        )
    if found or KEDA not in seen.groups:
        return found or broken(
            "no-custom-metrics",
            f"nothing serves {CUSTOM}, and there is no KEDA",
            cause="prometheus-adapter is not installed.",
            fix="Install KEDA, or prometheus-adapter with cluster/localcluster/data/adapter-rules.yaml.",
        )
    return ok(f"KEDA is there ({KEDA}); the lesson's HPA of type Pods needs prometheus-adapter beside it")


def _resource(seen: Survey) -> Finding:
    group = GROUPS["Resource"]
    return _api(seen, group) or broken(
        "no-resource-metrics",
        f"nothing serves {group}",
        cause="metrics-server is not installed.",
        fix="Install metrics-server: kubectl top and an HPA on CPU need it.",
    )


def _api(seen: Survey, group: str) -> Finding | None:
    """What is known about a metrics API; None if there is none."""
    mine = [service for service in seen.services if service.group == group]
    down = [service for service in mine if not service.available]
    if down and len(down) == len(mine):
        return broken(
            "api-unavailable",
            f"apiservice/{down[0].name} is not Available ({down[0].reason}): {down[0].message}",
            cause="The adapter behind it is down, or its Service leads nowhere.",
            fix=f"kubectl describe apiservice {down[0].name}",
        )
    if mine:
        return ok(f"{', '.join(service.name for service in mine if service.available)} Available")
    return ok(f"{group} is served") if group in seen.groups else None


def _gpu_metrics(seen: Survey) -> Finding:
    if not seen.prometheus.url or seen.prometheus.error:
        return unknown("Prometheus can't be queried")
    if seen.gpu_series:
        return ok(f"{seen.gpu_series} series of {GPU_METRIC}")
    return broken(
        "no-gpu-metrics",
        f"Prometheus holds no {GPU_METRIC}",
        cause="NVIDIA's DCGM exporter is not installed, or not scraped.",
        fix="Install the DCGM exporter (the GPU operator includes it) and let Prometheus scrape it.",
    )
