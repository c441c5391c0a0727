"""A thousand simulated nodes: their Node objects, and KWOK as the kubelet of all.

The control plane is real. Refuses to leave anything behind: `remove` deletes nodes,
leases, stray pods and the process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import yaml

from localcluster import polling
from localcluster.api.client import Api, Request
from localcluster.api.objects import KubeObject
from localcluster.data import DATA
from localcluster.errors import Refused
from localcluster.provider import Provider, RunsKwok, only_embedded

Report = Callable[[str], None]

LABEL = "type=kwok"
PREFIX = "kwok-"
NODES = "/api/v1/nodes"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
AT_ONCE = 8
"""Requests in flight while nodes are made: more only wait in the API server."""


def runner(provider: Provider) -> RunsKwok:
    """The provider, if it can run KWOK; raises `BadInput` if it can't."""
    if not isinstance(provider, RunsKwok):
        raise only_embedded(
            f"The provider {provider.name} can't run KWOK.",
            cause="Run a thousand simulated nodes only on a control plane that no one else uses.",
        )
    return provider


def scale(api: Api, provider: Provider, *, nodes: int, report: Report) -> None:
    """Add this many Ready nodes; 0 removes KWOK and its nodes. Reports how long that took."""
    began = time.monotonic()
    runner(provider)
    if nodes:
        add(api, provider, nodes=nodes, report=report)
        report(f"{nodes:,} nodes are Ready after {time.monotonic() - began:.1f} s")
    else:
        remove(api, provider, report=report)
        report(f"all nodes of KWOK are gone after {time.monotonic() - began:.1f} s")


def add(api: Api, provider: Provider, *, nodes: int, report: Report) -> None:
    """Create this many Node objects from kwok/node.yaml of the data, and wait until all are Ready."""
    run = runner(provider)
    report("starting kwok (the first time it is fetched or built, which takes minutes)")
    run.start_kwok()
    text = (DATA / "kwok" / "node.yaml").read_text()
    report(f"making {nodes:,} nodes")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda number: _make(api, text, number), range(nodes)))
    report(f"waiting for {nodes:,} nodes to be Ready")
    polling.until(
        lambda: sum(node.is_true("Ready") for node in found(api)) >= nodes,
        f"{nodes} nodes to be Ready",
        seconds=300,
        every=0.5,
        last_seen=lambda: f"{len(found(api))} nodes",
    )


def found(api: Api) -> list[KubeObject]:
    """The nodes that KWOK simulates."""
    return [KubeObject(node) for node in api.get(NODES, labelSelector=LABEL)["items"]]


def remove(api: Api, provider: Provider, *, report: Report) -> None:
    """Remove everything: nodes, pods that are left on them, leases, the process. Safe to repeat."""
    if not isinstance(provider, RunsKwok):
        return
    there = len(found(api))
    if there:
        report(f"removing {there} nodes of KWOK")
        params = {"labelSelector": LABEL}
        api.send(Request(NODES, "DELETE", params=params, seconds=120))
        _each(api, _strays(api), body={"gracePeriodSeconds": 0})
        polling.until(lambda: not _leases(api), "the leases of these nodes to go", seconds=120, every=0.5)
    provider.stop_kwok()


def _make(api: Api, text: str, number: int) -> None:
    body: dict[str, Any] = yaml.safe_load(text.replace("NUMBER", str(number)))
    try:
        api.send(Request(NODES, "POST", body=body))
    except Refused as error:
        if error.reason != "AlreadyExists":
            raise


def _strays(api: Api) -> list[str]:
    """Paths of the pods on these nodes, which have no kubelet left to end them."""
    pods = [KubeObject(pod) for pod in api.get("/api/v1/pods")["items"]]
    there = [pod for pod in pods if str(pod.at("spec.nodeName", "")).startswith(PREFIX)]
    return [f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}" for pod in there]


def _leases(api: Api) -> list[str]:
    """Their leases. The garbage collector takes them once their node is gone."""
    names = [item["metadata"]["name"] for item in api.get(LEASES)["items"]]
    return [name for name in names if name.startswith(PREFIX)]


def _each(api: Api, paths: list[str], *, body: Any) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(partial(api.delete, body=body), paths))
