"""A thousand nodes that nobody has: their Node objects, and KWOK as the kubelet of all of them.

The control plane that they meet is the real one. Refuses to leave anything behind: `remove` takes away nodes,
leases, stray pods and the process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import yaml

from labkit import _wait, course
from labkit.errors import Refused
from labkit.kube.api import Request
from labkit.kube.client import Kube, Which
from labkit.kube.objects import KubeObject
from labkit.providers.base import Provider, RunsKwok, only_embedded

Report = Callable[[str], None]

LABEL = "type=kwok"
PREFIX = "kwok-"
NODES = "/api/v1/nodes"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
AT_ONCE = 8
"""Requests in flight while nodes are made: more only wait in the API server."""


def runner(provider: Provider) -> RunsKwok:
    """The provider, where it can run KWOK; raises `BadInput` where it can't."""
    if not isinstance(provider, RunsKwok):
        raise only_embedded(
            f"The provider {provider.name} can't run KWOK.",
            cause="A thousand made-up nodes belong into a control plane that is yours alone.",
        )
    return provider


def scale(kube: Kube, provider: Provider, *, nodes: int, report: Report) -> None:
    """So many nodes, Ready; or, with 0, none of it any more. Says how long that took."""
    began = time.monotonic()
    runner(provider)
    if nodes:
        add(kube, provider, nodes=nodes, report=report)
        report(f"{nodes:,} nodes are Ready after {time.monotonic() - began:.1f} s")
    else:
        remove(kube, provider, report=report)
        report(f"no node of KWOK is left, after {time.monotonic() - began:.1f} s")


def add(kube: Kube, provider: Provider, *, nodes: int, report: Report) -> None:
    """Make `nodes` Node objects from cluster/kwok/node.yaml, and wait until all of them are Ready."""
    run = runner(provider)
    report("starting kwok (the first time it is fetched or built, which takes minutes)")
    run.start_kwok()
    text = (course.root() / "cluster" / "kwok" / "node.yaml").read_text()
    report(f"making {nodes:,} nodes")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda number: _make(kube, text, number), range(nodes)))
    report(f"waiting for {nodes:,} nodes to be Ready")
    _wait.until(
        lambda: sum(node.is_true("Ready") for node in found(kube)) >= nodes,
        f"{nodes} nodes to be Ready",
        seconds=120,
        every=0.5,
        last_seen=lambda: f"{len(found(kube))} nodes",
    )


def found(kube: Kube) -> list[KubeObject]:
    """The nodes that KWOK plays."""
    return kube.objects("nodes", which=Which(LABEL))


def remove(kube: Kube, provider: Provider, *, report: Report) -> None:
    """Take away all of it: nodes, pods that are left on them, leases, the process. Safe to repeat."""
    if not isinstance(provider, RunsKwok):
        return
    there = len(found(kube))
    if there:
        report(f"taking away {there} nodes of KWOK")
        params = {"labelSelector": LABEL}
        kube.api.send(Request(NODES, "DELETE", params=params, seconds=120))
        _each(kube, _strays(kube), body={"gracePeriodSeconds": 0})
        _wait.until(lambda: not _leases(kube), "the leases of these nodes to go", seconds=120, every=0.5)
    provider.stop_kwok()


def _make(kube: Kube, text: str, number: int) -> None:
    body: dict[str, Any] = yaml.safe_load(text.replace("NUMBER", str(number)))
    try:
        kube.api.send(Request(NODES, "POST", body=body))
    except Refused as error:
        if error.reason != "AlreadyExists":
            raise


def _strays(kube: Kube) -> list[str]:
    """Paths of the pods on these nodes: nobody is left to say that they have ended."""
    pods = kube.objects("pods", which=Which(namespace=""))
    there = [pod for pod in pods if str(pod.at("spec.nodeName", "")).startswith(PREFIX)]
    return [f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}" for pod in there]


def _leases(kube: Kube) -> list[str]:
    """Their leases. The garbage collector takes them once their node is gone."""
    names = [item["metadata"]["name"] for item in kube.api.get(LEASES)["items"]]
    return [name for name in names if name.startswith(PREFIX)]


def _each(kube: Kube, paths: list[str], *, body: Any) -> None:
    def delete(path: str) -> None:
        try:
            kube.api.send(Request(path, "DELETE", body=body))
        except Refused as error:
            if error.reason != "NotFound":
                raise

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(delete, paths))
