"""How this machine reaches servers inside a cluster that labkit did not make.

Prometheus is reached through the API server, with the user's own rights. A Service under load is not: neither
the API server's proxy nor `kubectl port-forward` balances. Both stay with one pod, and the other pods of a
scale-out would never get a request. So `address` needs a load balancer or a NodePort, and refuses the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from labkit.errors import ProviderError, Refused
from labkit.kube.client import Kube, Which
from localcluster.api.objects import KubeObject
from localcluster.provider import Endpoint

MONITORING = "monitoring"
NAMES = (
    "prometheus",
    "prometheus-server",
    "prometheus-k8s",
    "prometheus-operated",
    "kube-prometheus-stack-prometheus",
)
"""Services by which the usual ways to install Prometheus call it, in the order in which they are tried."""

LABEL = "app.kubernetes.io/name"
NODE_ADDRESSES = ("ExternalIP", "InternalIP")


def prometheus(kube: Kube) -> Endpoint:
    """Prometheus' Service in namespace monitoring, through the API server's proxy."""
    found = _service(kube)
    port = _port(found)
    scheme = "https:" if port.get("name") == "https" else ""
    path = f"/api/v1/namespaces/{MONITORING}/services/{scheme}{found.name}:{port['port']}/proxy"
    ca, cert, key = kube.api.files
    return Endpoint(f"{kube.api.host}{path}", ca, cert, key, kube.api.authorization)


def _service(kube: Kube) -> KubeObject:
    try:
        services = {s.name: s for s in kube.objects("services", which=Which(namespace=MONITORING))}
    except Refused as error:
        raise _unknown(error.what) from error
    named = [services[name] for name in NAMES if name in services]
    labelled = [s for s in services.values() if s.labels.get(LABEL) == "prometheus"]
    for service in (*named, *labelled):
        if service.at("spec.ports"):
            return service
    there = ", ".join(services) or "none"
    raise _unknown(
        f"No Service in namespace {MONITORING} has one of its usual names. Services there: {there}."
    )


def _unknown(cause: str) -> ProviderError:
    return ProviderError(
        "Where Prometheus answers is not known.",
        cause=cause,
        fix="Set LABKIT_PROMETHEUS to a URL that this machine reaches, for example after "
        f"`kubectl port-forward -n {MONITORING} svc/prometheus 9090` (queries are little traffic).",
    )


def _port(service: KubeObject) -> dict[str, object]:
    ports: Sequence[dict[str, object]] = service["spec"]["ports"]
    usual = [p for p in ports if p.get("port") == 9090 or p.get("name") in {"web", "http", "http-web"}]
    return (usual or ports)[0]


def address(kube: Kube, namespace: str, service: str, port: int) -> str:
    """The base URL of a Service outside the cluster; `ProviderError` if it has none."""
    kind = kube.resources.named("services")
    found = KubeObject(kube.api.get(kind.path(namespace, service)))
    ingress = found.at("status.loadBalancer.ingress.0")
    if ingress:
        return f"http://{ingress.get('ip') or ingress['hostname']}:{port}"
    ports = {p["port"]: p.get("nodePort") for p in found["spec"]["ports"]}
    if ports.get(port):
        return f"http://{_node(kube)}:{ports[port]}"
    raise ProviderError(
        f"Service {service} has no address outside the cluster.",
        cause=f"Its type is {found['spec']['type']}.",
        fix=f'kubectl patch service {service} -n {namespace} -p \'{{"spec": {{"type": "NodePort"}}}}\' (or '
        "LoadBalancer). `kubectl port-forward` is no help: it stays with one pod, and a load needs all.",
    )


def _node(kube: Kube) -> str:
    addresses = [a for node in kube.objects("nodes") for a in node.at("status.addresses", ())]
    for wanted in NODE_ADDRESSES:
        for found in addresses:
            if found["type"] == wanted:
                return str(found["address"])
    raise ProviderError("No node of the cluster shows an address.", fix="Use a Service of type LoadBalancer.")
