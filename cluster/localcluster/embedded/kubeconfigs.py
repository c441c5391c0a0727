"""kubeconfig files: one for people, one for each of the lab's own identities."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from localcluster.layout import Layout, Ports
from localcluster.stored import write_atomically

COMPONENTS = (
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "prometheus",
    "adapter",
    "kwok",
    "keda",
    "epp",
    "coredns",
    "network-policies",
)


def write(layout: Layout, ports: Ports, nodes: Iterable[str], *, prometheus: str) -> None:
    """Write all of them at each start: the API server's port may have changed.

    `prometheus` is the address at which Prometheus finds it: it has a network of its own.
    """
    server = f"https://127.0.0.1:{ports.api}"
    _write(layout.kubeconfig, _kubeconfig(layout, server, identity="admin", namespace="llm-lab"))
    for identity in (*COMPONENTS, *(f"node-{name}" for name in nodes)):
        write_one(layout, ports, identity, host=prometheus if identity == "prometheus" else "127.0.0.1")


def write_one(layout: Layout, ports: Ports, identity: str, *, host: str = "127.0.0.1") -> None:
    """That of one identity, which finds the API server at `host`."""
    server = f"https://{host}:{ports.api}"
    _write(layout.kubeconfig_of(identity), _kubeconfig(layout, server, identity=identity))


def _kubeconfig(layout: Layout, server: str, *, identity: str, namespace: str = "") -> dict[str, Any]:
    name = f"labkit-{layout.dir.name}"
    context = {"cluster": name, "user": identity} | ({"namespace": namespace} if namespace else {})
    cluster = {"server": server, "certificate-authority": str(layout.pki("ca.crt"))}
    user = {
        "client-certificate": str(layout.pki(f"{identity}.crt")),
        "client-key": str(layout.pki(f"{identity}.key")),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": context}],
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": identity, "user": user}],
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    write_atomically(path, yaml.safe_dump(content, sort_keys=False))
