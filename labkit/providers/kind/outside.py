"""How this machine reaches a Service or a pod of a kind cluster: through a node port that is mapped to it.

Beside what is to be reached it puts a Service of its own, `NAME-outside`, with the same selector (or, for a
pod, that pod's address), so that the learner's YAML stays as it is and kube-proxy does the balancing. Such a
Service belongs to what it stands for and goes with it. Refuses where all mapped ports are in use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import httpx

from labkit import _wait
from labkit.errors import ProviderError, Refused, WaitTimeout
from labkit.kube.api import Api, Request
from labkit.kube.objects import KubeObject

LABEL = "labkit.dev/outside"
REACHED = 10.0
"""Real seconds: kube-proxy takes in a new Service within one or two."""

Json = dict[str, Any]


def service_port(api: Api, service: KubeObject, port: int) -> int:
    """The node port that leads to a port of a Service; makes the Service beside it if need be."""
    spec = service["spec"]
    wanted = [p for p in spec.get("ports", []) if p["port"] == port]
    if not wanted:
        known = ", ".join(str(p["port"]) for p in spec.get("ports", [])) or "none"
        raise ProviderError(f"Service {service.name} has no port {port}.", fix=f"It has: {known}.")
    ports = [
        {"name": p.get("name", f"port-{p['port']}"), **{k: p[k] for k in ("port", "targetPort")}}
        for p in wanted
    ]
    body = _beside(service, {"selector": spec.get("selector"), "ports": ports})
    made = _ensure(api, body)
    return int(made.at("spec.ports.0.nodePort"))


def pod_port(api: Api, pod: KubeObject, port: int) -> int:
    """The node port that leads to a port of one pod, ready or not."""
    body = _beside(pod, {"ports": [{"name": "pod", "port": port, "targetPort": port}]})
    made = _ensure(api, body)
    _point(api, made, pod, port)
    return int(made.at("spec.ports.0.nodePort"))


def reachable(url: str, *, path: str = "/") -> None:
    """Wait until a server behind a new node port answers, whatever it says."""

    def answers() -> bool:
        try:
            httpx.get(url + path, trust_env=False, timeout=2)
        except httpx.HTTPError:
            return False
        return True

    try:
        _wait.until(answers, f"an answer from {url}", seconds=REACHED, every=0.1)
    except WaitTimeout as error:
        raise ProviderError(
            f"Nothing answers at {url}.",
            cause="The server in the pod does not listen on its port, or kube-proxy is behind.",
            fix="Look at the pod's log (labkit kubectl logs POD), then try again.",
        ) from error


def name_beside(name: str) -> str:
    """`NAME-outside`; shortened, with a digest, where that is too long for a Service."""
    whole = f"{name}-outside"
    if len(whole) <= 63:
        return whole
    return f"{name[:45]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}-outside"


def _beside(owner: KubeObject, spec: Json) -> Json:
    """A Service that leads to another object, and goes when that goes."""
    reference = {
        "apiVersion": "v1",
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.at("metadata.uid"),
    }
    meta = {
        "name": name_beside(owner.name),
        "namespace": owner.namespace,
        "labels": {LABEL: owner.kind.lower()},
        "ownerReferences": [reference],
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"type": "NodePort", **spec}}


def _ensure(api: Api, body: Json) -> KubeObject:
    meta = body["metadata"]
    folder = f"/api/v1/namespaces/{meta['namespace']}/services"
    there = _found(api, f"{folder}/{meta['name']}")
    if there and there.at("metadata.ownerReferences.0.uid") != meta["ownerReferences"][0]["uid"]:
        api.send(Request(f"{folder}/{meta['name']}", "DELETE"))  # it stood for one of the same name, now gone
        there = None
    if there:
        return there
    try:
        return KubeObject(api.send(Request(folder, "POST", body=body)).json)
    except Refused as error:
        if "provided port is already allocated" in error.what or "range is full" in error.what:
            raise ProviderError(
                "All ports between this machine and the cluster are in use.",
                cause=f"Each Service and pod that was asked for by `lab.url` keeps one (label {LABEL}).",
                fix="`lab.reset()` frees them; or delete Services of that label.",
            ) from error
        raise


def _point(api: Api, service: KubeObject, pod: KubeObject, port: int) -> None:
    """The EndpointSlice of a Service without a selector: one pod, which need not be ready."""
    folder = f"/apis/discovery.k8s.io/v1/namespaces/{service.namespace}/endpointslices"
    if _found(api, f"{folder}/{service.name}"):
        return
    owner = {"apiVersion": "v1", "kind": "Service", "name": service.name, "uid": service.at("metadata.uid")}
    meta = {
        "name": service.name,
        "labels": {"kubernetes.io/service-name": service.name, LABEL: "pod"},
        "ownerReferences": [owner],
    }
    body = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta,
        "addressType": "IPv4",
        "endpoints": [{"addresses": [pod.at("status.podIP")], "conditions": {"ready": True}}],
        "ports": [{"name": "pod", "port": port}],
    }
    api.send(Request(folder, "POST", body=body))


def _found(api: Api, path: str) -> KubeObject | None:
    try:
        found: Mapping[str, Any] = api.get(path)
    except Refused as error:
        if error.reason == "NotFound":
            return None
        raise
    return KubeObject(found)
