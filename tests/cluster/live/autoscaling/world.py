"""A Deployment whose demand a test sets, its HPA, and what the HPA decided; times in lab seconds.

The demand is the queue of one pod, the oldest; the HPA sees its average over all. Like Kubernetes' own tests,
it is that of half a replica less than what is wanted, since the HPA rounds up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from labkit import pull_secret, reset
from labkit.kube import Kube
from localcluster import polling
from localcluster.durations import compress
from localcluster.embedded.provider import Embedded
from tests.cluster.live.test_network import SERVER, apply, pod_spec

TARGET = 10
PATIENCE = 120.0
"""Real seconds until a test gives up waiting for what must come."""

LOOK = 0.1
NAME = "consumer"
FIRST = "controller.kubernetes.io/pod-deletion-cost"
METRIC = {
    "metric": {"name": "vllm_request_queue_size"},
    "target": {"type": "AverageValue", "averageValue": TARGET},
}


def windows(up: int, down: int) -> dict[str, Any]:
    """Stabilization windows of both directions."""
    return {
        "scaleUp": {"stabilizationWindowSeconds": up},
        "scaleDown": {"stabilizationWindowSeconds": down},
    }


def limited(direction: str, kind: str, value: int, period: int = 60) -> dict[str, Any]:
    """So many pods, or per cent, in each period; without a stabilization window."""
    policy = {"type": kind, "value": value, "periodSeconds": period}
    return {direction: {"policies": [policy], "stabilizationWindowSeconds": 0}}


@dataclass
class Consumer:
    """The Deployment and its HPA."""

    cluster: Embedded
    kube: Kube
    changes: list[tuple[float, int]] = field(default_factory=list)
    """When the number of replicas was seen to change (lab seconds), and to what."""

    @classmethod
    def new(cls, cluster: Embedded, namespace: str) -> Consumer:
        """In a namespace of its own."""
        kube = Kube(cluster.kubeconfig(), namespace=namespace, clock=cluster.spec().clock)
        kube.ensure_namespace()
        pull_secret.make(kube, cluster.registry(), name=reset.PULL_SECRET)
        return cls(cluster, kube)

    def start(self, replicas: int) -> None:
        """The Deployment; returns when all replicas are ready and the demand is theirs."""
        labels = {"app": NAME}
        container = {**SERVER, "resources": {"requests": {"cpu": "50m"}}}
        spec = pod_spec({**container, "readinessProbe": {"httpGet": {"port": 8000}, "periodSeconds": 1}})
        about = {"labels": labels, "annotations": {"prometheus.io/scrape": "true"}}
        template = {"metadata": about, "spec": spec}
        made = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        apply(self.kube, _object("apps/v1", "Deployment", made))
        self.kube.until(f"pods app={NAME} ready={replicas}", seconds=PATIENCE)
        first = self.kube.objects("pods")[0].name
        self.kube.patch(f"pod/{first}", {"metadata": {"annotations": {FIRST: "1000"}}})  # the last to go
        self._first = first
        self.demand(replicas)
        self._changed(replicas)

    def autoscale(self, least: int, most: int, behavior: dict[str, Any], **metric: Any) -> None:
        """The HPA, with `behavior` in production's seconds; returns when it scales."""
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME}
        metrics = [metric or {"type": "Pods", "pods": METRIC}]
        spec = {"scaleTargetRef": target, "minReplicas": least, "maxReplicas": most, "metrics": metrics}
        hpa, _ = compress(
            _object("autoscaling/v2", "HorizontalPodAutoscaler", spec | {"behavior": behavior}),
            clock=self.kube.clock,
        )
        apply(self.kube, hpa)
        self.kube.until(f"hpa/{NAME} scalingactive", seconds=PATIENCE)

    def demand(self, replicas: float) -> None:
        """What so many replicas can serve."""
        value = TARGET * (replicas - 0.5)
        address = self.cluster.pod_address(self.kube.object(f"pod/{self._first}"))
        httpx.put(f"http://{address}/queue/{value}", trust_env=False).raise_for_status()

    def now(self) -> float:
        """In lab seconds."""
        return time.monotonic() * self.kube.clock

    def reaches(self, replicas: int) -> float:
        """Wait until the HPA wants so many, through any others; how long that took, in lab seconds."""
        began = self.now()
        self._until(lambda number: number == replicas, f"{replicas} replicas")
        return self.now() - began

    def stays(self, low: int, high: int, seconds: float) -> None:
        """For so long, the HPA wants no other number of replicas."""
        until = self.now() + seconds
        while self.now() < until:
            number = self._look()
            assert low <= number <= high, f"{number} replicas, not {low} to {high}: {self.changes}"
            polling.pause(LOOK)

    def _until(self, holds: Callable[[int], bool], what: str) -> None:
        polling.until(
            lambda: holds(self._look()),
            what,
            seconds=PATIENCE,
            every=LOOK,
            last_seen=lambda: repr(self.changes),
        )

    def _look(self) -> int:
        number = int(self.kube.object(f"deployment/{NAME}").at("spec.replicas"))
        if number != self.changes[-1][1]:
            self._changed(number)
        return number

    def _changed(self, number: int) -> None:
        self.changes.append((self.now(), number))


def _object(version: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": NAME}, "spec": spec}
