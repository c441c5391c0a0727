"""How this machine reaches a Service or a pod of a kind cluster: through a node port that is mapped to it.

It creates its own Service, `NAME-outside`, with the same selector (or, for a pod, that pod's address), so
that the learner's YAML stays unchanged and kube-proxy does the balancing. Such a Service is owned by its
target and deleted with it. Refuses if all mapped ports are in use.
"""

from __future__ import annotations

import hashlib

import httpx

from localcluster import polling
from localcluster.api import Json
from localcluster.api.client import Api, Request
from localcluster.api.objects import KubeObject
from localcluster.errors import ProviderError, Refused, WaitTimeout

LABEL = "labkit.dev/outside"
REACHED = 10.0
"""Real seconds: kube-proxy applies a new Service within one or two."""


def service_port(api: Api, service: KubeObject, port: int) -> int:
    """The node port that leads to a port of a Service; creates the extra Service if needed."""
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
    if not service.at("spec.selector"):  # somebody wrote down where it leads
        _copy_slices(api, service, made)
    return int(made.at("spec.ports.0.nodePort"))


def pod_port(api: Api, pod: KubeObject, port: int) -> int:
    """The node port that leads to a port of one pod, ready or not."""
    body = _beside(pod, {"ports": [{"name": "pod", "port": port, "targetPort": port}]})
    made = _ensure(api, body)
    _point(api, made, pod, port)
    return int(made.at("spec.ports.0.nodePort"))


def reachable(url: str, *, path: str = "/", seconds: float = REACHED) -> None:
    """Wait until a server behind a new node port answers, whatever it says."""

    def answers() -> bool:
        try:
            httpx.get(url + path, trust_env=False, timeout=2)
        except httpx.HTTPError:
            return False
        return True

    try:
        polling.until(answers, f"an answer from {url}", seconds=seconds, every=0.1)
    except WaitTimeout as error:
        raise ProviderError(
            f"Nothing answers at {url}.",
            cause="The server in the pod does not listen on its port, or kube-proxy has not caught up.",
            fix="See the pod's log (localcluster kubectl logs POD), then try again.",
        ) from error


def name_beside(name: str) -> str:
    """`NAME-outside`; shortened, with a digest, if that is too long for a Service."""
    whole = f"{name}-outside"
    if len(whole) <= 63:
        return whole
    return f"{name[:45]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}-outside"


def _beside(owner: KubeObject, spec: Json) -> Json:
    """A Service that leads to another object, and is deleted with it."""
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
        api.send(Request(f"{folder}/{meta['name']}", "DELETE"))  # of a deleted object with this name
        there = None
    if there:
        return there
    try:
        return KubeObject(api.send(Request(folder, "POST", body=body)).json)
    except Refused as error:
        if "provided port is already allocated" in error.what or "range is full" in error.what:
            raise ProviderError(
                "All ports between this machine and the cluster are in use.",
                cause=f"Each Service and pod that `lab.url` was called for keeps one (label {LABEL}).",
                fix="`lab.reset()` frees them; or delete the Services with that label.",
            ) from error
        raise


def _point(api: Api, service: KubeObject, pod: KubeObject, port: int) -> None:
    """The EndpointSlice of a Service without a selector: one pod, which need not be ready."""
    folder = f"/apis/discovery.k8s.io/v1/namespaces/{service.namespace}/endpointslices"
    if not _found(api, f"{folder}/{service.name}"):
        endpoints = [{"addresses": [pod.at("status.podIP")], "conditions": {"ready": True}}]
        body = _slice(service, {"endpoints": endpoints, "ports": [{"name": "pod", "port": port}]})
        api.send(Request(folder, "POST", body=body))


def _copy_slices(api: Api, service: KubeObject, beside: KubeObject) -> None:
    """The endpoints of a Service without a selector, for the Service beside it."""
    folder = f"/apis/discovery.k8s.io/v1/namespaces/{service.namespace}/endpointslices"
    if _found(api, f"{folder}/{beside.name}"):
        return
    own = api.get(folder, labelSelector=f"kubernetes.io/service-name={service.name}")["items"]
    for one in own[:1]:
        body = _slice(beside, {"endpoints": one["endpoints"], "ports": one["ports"]})
        api.send(Request(folder, "POST", body=body))


def _slice(service: KubeObject, leads: Json) -> Json:
    """An EndpointSlice that is deleted with its Service."""
    owner = {"apiVersion": "v1", "kind": "Service", "name": service.name, "uid": service.at("metadata.uid")}
    labels = {"kubernetes.io/service-name": service.name, LABEL: "written"}
    meta = {"name": service.name, "labels": labels, "ownerReferences": [owner]}
    kind = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4"}
    return {**kind, "metadata": meta, **leads}


def _found(api: Api, path: str) -> KubeObject | None:
    found = api.find(path)
    return None if found is None else KubeObject(found)
