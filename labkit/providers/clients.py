"""Clients of a provider's cluster, Kubernetes and PromQL, with its addresses and the lab's clock."""

from __future__ import annotations

from labkit.kube.client import Kube
from labkit.metrics.client import Metrics
from labkit.providers.base import Provider


def kube(provider: Provider, *, namespace: str) -> Kube:
    """Kubernetes; raises `ProviderError` where no lab runs."""
    return Kube(provider.kubeconfig(), namespace=namespace, clock=provider.spec().clock)


def prometheus(provider: Provider) -> Metrics:
    """PromQL; raises `ProviderError` where nobody knows where Prometheus is."""
    at = provider.prometheus()
    metrics = Metrics(at.url, ca=at.ca, cert=at.cert, key=at.key, clock=provider.spec().clock)
    return metrics.authorize(at.authorization)
