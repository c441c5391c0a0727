"""What runs next to the control plane: registry, node agent, balancer, Prometheus and its adapter."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from localcluster.clock import Flags
from localcluster.embedded.component import Component, Ready
from localcluster.embedded.control_plane import FRUGAL, Binaries, answers, audit, serving
from localcluster.embedded.network import Network
from localcluster.layout import Layout, Ports
from localcluster.netns import doors, furnish, holder

PYTHON = (sys.executable, "-P", "-m")


def network(layout: Layout, net: Network) -> Component:
    """Makes the lab's namespace and holds it."""
    return Component(
        name=holder.COMPONENT,
        argv=(*PYTHON, "localcluster.netns.holder", str(layout.dir), net.services, net.nft, net.bwrap),
        ready=Ready(file=layout.dir / furnish.READY),
        why="holds the lab's own network, in which everything below lives" + (net.lacks and f"; {net.lacks}"),
    )


def edge(layout: Layout) -> Component:
    """The lab's only process that listens on this machine."""
    return Component(
        name="edge",
        argv=(*PYTHON, "localcluster.netns.edge", str(layout.dir)),
        needs=(holder.COMPONENT,),
        ready=Ready(file=layout.dir / doors.INSIDE),
        why="the way in: doors on 127.0.0.1 to the API server, registry, Prometheus and Services",
    )


def inside(layout: Layout, part: Component) -> Component:
    """The same part in the lab's namespace."""
    ready = part.ready
    if ready and ready.url:
        ready = replace(ready, through=layout.dir / doors.INSIDE)
    return replace(part, inside=True, needs=(holder.COMPONENT, *part.needs), ready=ready)


def registry(layout: Layout, ports: Ports, binaries: Binaries) -> Component:
    """A real OCI registry with a login."""
    return Component(
        name="registry",
        argv=(str(binaries["registry"]), "serve", str(layout.dir / "registry" / "config.yml")),
        env={"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"},
        ready=answers(layout, ports.registry, "/"),
        why="keeps images; asks for a login before it hands one out",
    )


def node_agent(layout: Layout) -> Component:
    """Runs the pods of all simulated nodes as processes of this machine."""
    return Component(
        name="node-agent",
        argv=(*PYTHON, "localcluster.node", str(layout.dir)),
        why="the kubelet of every node: pods become processes (simulated: the nodes and their GPUs)",
    )


def services(layout: Layout, binaries: Binaries, net: Network, *, nodes: bool) -> list[Component]:
    """What makes the addresses and names of Services work; `nodes`: whether the lab starts with any."""
    if not net.own:
        return [balancer(layout, "loopback")]
    first = kube_proxy(layout, binaries, net) if net.services == furnish.FORWARD else balancer(layout, "own")
    if not nodes:  # kube-proxy gives its node half a minute to appear; until one joins nobody needs it
        first = replace(first, ready=None)
    return [first, dns(layout, binaries)]


def kube_proxy(layout: Layout, binaries: Binaries, net: Network) -> Component:
    """The real one, with the kernel's nf_tables; it needs `nft` on its PATH."""
    return Component(
        name="kube-proxy",
        argv=(str(binaries["labnet"]), "kube-proxy", f"--config={layout.dir / 'kube-proxy.yaml'}"),
        # It would come up with the API server; but what gives pods a node comes first.
        needs=("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
        env=FRUGAL | {"PATH": f"{Path(net.nft).parent}{os.pathsep}{os.defpath}"},
        # Not /healthz: that is 503 while the node whose name it bears is missing or leaves.
        ready=Ready(url="http://127.0.0.1:10256/livez"),
        why="writes the kernel's rules that spread connections to a Service over its ready pods",
    )


def dns(layout: Layout, binaries: Binaries) -> Component:
    """CoreDNS, as kubeadm configures it."""
    return Component(
        name="coredns",
        argv=(str(binaries["labnet"]), "coredns", "-conf", str(layout.dir / "Corefile")),
        # Its first list would be refused before its permissions are there, and it would back off for seconds.
        needs=("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
        env=FRUGAL,
        cwd=layout.dir,
        ready=Ready(url="http://127.0.0.1:10154/ready"),
        why="answers for the names of Services, such as llm-inference-service.llm-lab",
    )


def balancer(layout: Layout, listens: str) -> Component:
    """Where there is no kube-proxy: spreads new connections over the ready pods of each Service.

    It `listens` on each Service's own address, or on `loopback`.
    """
    return Component(
        name="kube-proxy",
        argv=(*PYTHON, "localcluster.node.network.balancer", str(layout.dir), listens),
        why="gives each Service an address and spreads new connections over its ready pods",
    )


def prometheus(layout: Layout, ports: Ports, binaries: Binaries, flags: Flags, net: Network) -> Component:
    """Scrapes the pods and the nodes; only clients with a certificate of the lab can query it."""
    folder, host = layout.dir / "prometheus", net.prometheus
    beside = (*PYTHON, "localcluster.netns.beside", host) if net.own else ()
    return Component(
        name="prometheus",
        argv=(
            *beside,
            str(binaries["prometheus"]),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--web.config.file={folder / 'web.yml'}",
            f"--web.listen-address={host}:{ports.prometheus}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--storage.tsdb.retention.time=1d",
            "--storage.tsdb.retention.size=512MB",
            "--log.level=warn",
            *flags.prometheus,
        ),
        # Its discovery backs off for seconds if the API server does not answer yet; besides, pods come first.
        needs=("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
        env=FRUGAL,
        cwd=folder,
        ready=answers(layout, ports.prometheus, "/-/ready", host),
        why="collects the metrics of every pod from /metrics",
    )


def adapter(layout: Layout, ports: Ports, binaries: Binaries, flags: Flags, net: Network) -> Component:
    """Serves custom.metrics.k8s.io and metrics.k8s.io out of Prometheus."""
    kubeconfig = layout.kubeconfig_of("adapter")
    return Component(
        name="prometheus-adapter",
        argv=(
            str(binaries["prometheus-adapter"]),
            "--bind-address=127.0.0.1",
            f"--secure-port={ports.adapter}",
            *serving(layout, "adapter"),
            f"--lister-kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            f"--prometheus-url=https://{net.prometheus}:{ports.prometheus}/",
            f"--prometheus-ca-file={layout.pki('ca.crt')}",
            f"--prometheus-client-tls-cert-file={layout.pki('adapter.crt')}",
            f"--prometheus-client-tls-key-file={layout.pki('adapter.key')}",
            f"--config={layout.dir / 'prometheus' / 'adapter-rules.yaml'}",
            *audit(layout, "prometheus-adapter"),
            *flags.prometheus_adapter,
        ),
        # It exits if it can't read the API server's authentication configuration; besides, pods come first.
        needs=("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
        env=FRUGAL,
        ready=answers(layout, ports.adapter, "/healthz"),
        why="turns series into Kubernetes metrics: here vllm_request_queue_size gets its name",
    )
