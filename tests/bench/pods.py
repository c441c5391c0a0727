"""How fast pods start and how fast the HPA answers a queue, on a running lab with the real model server."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from labkit import reset
from labkit.kube.client import Kube, Which
from localcluster import polling
from localcluster.api.client import Request
from localcluster.embedded.provider import Embedded
from localcluster.provider import Provider, Spec
from tests.bench import resets
from tests.bench.figures import Figure, median, percentile

NAMESPACE = "llm-lab"
LONE_PODS = 25
AT_ONCE = 20
BURSTS = 15
QUEUE_HPA = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: llm-hpa}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: llm-inference-service}
  minReplicas: 2
  maxReplicas: 10
  metrics:
    - type: Pods
      pods:
        metric: {name: vllm_request_queue_size}
        target: {type: AverageValue, averageValue: "5"}
  behavior:
    scaleDown: {stabilizationWindowSeconds: 0}
"""


def run(folder: Path) -> list[Figure]:
    """All of it on one lab of its own."""
    lab = Embedded("bench-pods")
    lab.up(Spec(name="bench-pods"))
    try:
        kube = Kube(lab.kubeconfig(), namespace=NAMESPACE, clock=15)
        reset.run(kube, lab, lambda _line: None)
        figures = [*starts(kube), *reaction(lab, kube, folder, targets=(1.2, 2.2))]
        return [*figures, *resets.run(kube, lab)]
    finally:
        lab.down()


def starts(kube: Kube) -> list[Figure]:
    """Pod bound → process started, image cached: pods on their own, then many at once."""
    pods = [_pod(f"start-{i}") for i in range(LONE_PODS)]
    with _watching(kube) as seen:
        for pod in pods:
            _create(kube, pod)
            polling.until(lambda p=pod: "started" in seen.get(p["metadata"]["name"], {}), "a pod", seconds=30)  # type: ignore[misc]
        alone = [seen[p["metadata"]["name"]] for p in pods[1:]]  # the first one unpacks the image
    for pod in pods:
        kube.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")
    crowd = [_pod(f"crowd-{i}") for i in range(AT_ONCE)]
    with _watching(kube) as seen:
        for pod in crowd:
            _create(kube, pod)
        polling.until(lambda: sum("started" in s for s in seen.values()) >= AT_ONCE, "the crowd", seconds=60)
        first = min(s["bound"] for s in seen.values() if "bound" in s)
        last = max(s["started"] for s in seen.values() if "started" in s)
    for pod in crowd:
        kube.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")
    took = [s["started"] - s["bound"] for s in alone]
    note = f"median {median(took):.2f} s"
    return [
        Figure("pod bound to process started, p99", percentile(took, 0.99), "s", 0.5, len(took), note),
        Figure(f"{AT_ONCE} pods at once: all started", last - first, "s", 3.0),
    ]


def reaction(lab: Provider, kube: Kube, folder: Path, *, targets: tuple[float, float]) -> list[Figure]:
    """Queue crosses the target → the HPA has written the new count; the queue is read at the servers."""
    hpa = folder / "bench-hpa.yaml"
    hpa.parent.mkdir(parents=True, exist_ok=True)
    hpa.write_text(QUEUE_HPA)
    kube.apply(f"manifests/overlays/{lab.name}/server")
    kube.until("deployment/llm-inference-service available", seconds=120)
    kube.apply(hpa)
    kube.until("hpa/llm-hpa ScalingActive", seconds=60)
    took = [burst(lab, kube, service(lab)) for _ in range(BURSTS)]
    note = f"CLOCK=15, median {median(took):.2f} s, max {max(took):.2f} s"
    what = f"{lab.name}: queue over target to HPA's new count"
    return [
        Figure(f"{what}, p50", percentile(took, 0.5), "s", targets[0], BURSTS, note),
        Figure(f"{what}, p99", percentile(took, 0.99), "s", targets[1], BURSTS),
    ]


def burst(lab: Provider, kube: Kube, url: str) -> float:
    """Real seconds from a queue over the target, as the servers say, to the new number of replicas."""
    kube.until("deployment/llm-inference-service replicas=2", seconds=120)
    kube.until("deployment/llm-inference-service available", seconds=120)
    pods = [p for p in kube.objects("pods", which=Which("app=llm-model")) if p.is_true("Ready")]
    return asyncio.run(_crowd(kube, url, [lab.pod_address(pod) for pod in pods]))


async def _crowd(kube: Kube, url: str, addresses: list[str]) -> float:
    """Sixty long requests at once for two servers with eight places each; then all of them go away."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        requests = [asyncio.create_task(_ask(session, url)) for _ in range(60)]
        try:
            while await _queue(session, addresses) <= 5 * len(addresses):
                await asyncio.sleep(0.02)
            crossed = time.monotonic()
            while await asyncio.to_thread(_replicas, kube) <= 2:
                await asyncio.sleep(0.02)
            return time.monotonic() - crossed
        finally:
            for request in requests:
                request.cancel()
            await asyncio.gather(*requests, return_exceptions=True)


async def _ask(session: aiohttp.ClientSession, url: str) -> None:
    body = {"model": "meta-llama/Llama-3.1-8B-Instruct", "prompt": [1] * 64, "max_tokens": 2000}
    async with session.post(f"{url}/v1/completions", json=body) as answer:
        await answer.read()


async def _queue(session: aiohttp.ClientSession, addresses: list[str]) -> float:
    total = 0.0
    for address in addresses:
        async with session.get(f"http://{address}/metrics") as answer:
            for line in (await answer.text()).splitlines():
                if line.startswith("vllm:num_requests_waiting{"):
                    total += float(line.rsplit(" ", 1)[1])
    return total


def _replicas(kube: Kube) -> int:
    return int(kube.object("deployment/llm-inference-service").at("spec.replicas"))


def service(lab: Provider) -> str:
    """The URL of the model servers."""
    return polling.until(
        lambda: lab.address(NAMESPACE, "llm-inference-service", 80), "the Service", seconds=10
    )


def _create(kube: Kube, pod: dict[str, Any]) -> None:
    kube.api.send(Request(f"/api/v1/namespaces/{NAMESPACE}/pods", method="POST", body=pod))


def _pod(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "imagePullSecrets": [{"name": "registry-login"}],
            "containers": [
                {
                    "name": "c",
                    "image": "registry.lab:5000/llm-inference:1.0",
                    "command": ["python", "-c", "import time; time.sleep(3600)"],
                }
            ],
        },
    }


@contextmanager
def _watching(kube: Kube) -> Iterator[dict[str, dict[str, float]]]:
    """When each pod was bound and when its container started, as a watch tells it."""
    seen: dict[str, dict[str, float]] = {}
    done = threading.Event()

    def follow() -> None:
        for change in kube.watch("pods", seconds=300):
            times = seen.setdefault(change.obj.name, {})
            now = time.monotonic()
            if change.obj.at("spec.nodeName"):
                times.setdefault("bound", now)
            statuses = change.obj.at("status.containerStatuses") or []
            if any("running" in s.get("state", {}) for s in statuses):
                times.setdefault("started", now)
            if done.is_set():
                return

    threading.Thread(target=follow, daemon=True).start()
    yield seen
    done.set()
