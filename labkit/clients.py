"""Clients of a provider's cluster, Kubernetes and PromQL, with its addresses and the lab's clock."""

from __future__ import annotations

from labkit.errors import BadInput
from labkit.kube.client import Kube
from labkit.metrics.client import Metrics
from localcluster.provider import Provider


def kube(provider: Provider, *, namespace: str) -> Kube:
    """Kubernetes; raises `ProviderError` where no lab runs."""
    return Kube(provider.kubeconfig(), namespace=namespace, clock=provider.spec().clock)


def prometheus(provider: Provider) -> Metrics:
    """PromQL; raises `ProviderError` where the address of Prometheus is not known."""
    at = provider.prometheus()
    metrics = Metrics(at.url, ca=at.ca, cert=at.cert, key=at.key, clock=provider.spec().clock)
    return metrics.authorize(at.authorization)


def url(provider: Provider, kube: Kube, name: str, *, port: int = 80) -> str:
    """Where an object answers on this machine: `service/NAME`, its short forms, `NAME` alone, `pod/NAME`."""
    kind, slash, rest = name.partition("/")
    plural = kube.resources.named(kind).plural if slash else "services"
    if plural == "services":
        return provider.address(kube.namespace, rest if slash else name, port)
    if plural != "pods":
        raise BadInput(
            f"{name} has no address.",
            cause="Only Services and pods have one.",
            fix="Use service/NAME or pod/NAME.",
        )
    address = provider.pod_address(kube.object(name))
    if not address:
        raise BadInput(
            f"{name} has no address.",
            cause="It declares no containerPort, or is not running on a node yet.",
            fix=f"`labkit kubectl describe {name}` shows both.",
        )
    return f"http://{address}"
