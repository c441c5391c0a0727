"""etcd, API server, controller manager and scheduler, each as a record.

All listen on 127.0.0.1 only, except the API server, which pods reach as well. Sources: the programs' own
`--help` at the versions of data/versions.toml.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from localcluster.clock import Flags
from localcluster.embedded.component import Component, Ready
from localcluster.layout import Layout, Ports
from localcluster.netns.plan import GATEWAY

Binaries = Mapping[str, Path]

# Controllers that the course never meets cost memory and start-up time.
UNUSED_CONTROLLERS = (
    "bootstrap-signer-controller",
    "certificatesigningrequest-approving-controller",
    "certificatesigningrequest-cleaner-controller",
    "certificatesigningrequest-signing-controller",
    "node-ipam-controller",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-expander-controller",
    "token-cleaner-controller",
    "ttl-controller",
    "volumeattributesclass-protection-controller",
)

FRUGAL = {"GOGC": "60"}
"""Collect garbage sooner than Go would. No GOMEMLIMIT: a lab that runs for hours outgrows it; its API server
then does little but collect (https://go.dev/doc/gc-guide#Memory_limit)."""


def etcd(layout: Layout, binaries: Binaries) -> Component:
    """The store. Its sockets are in a 0700 folder, so no other user of the machine can open them."""
    return Component(
        name="etcd",
        argv=(
            str(binaries["etcd"]),
            "--name=lab",
            "--data-dir=data",
            "--listen-client-urls=unix://localhost:2379",
            "--advertise-client-urls=unix://localhost:2379",
            "--listen-peer-urls=unix://localhost:2380",
            "--initial-advertise-peer-urls=unix://localhost:2380",
            "--initial-cluster=lab=unix://localhost:2380",
            # A lab may lose its last second in a power cut; it must not wait for a laptop's disk.
            "--unsafe-no-fsync",
            "--log-level=warn",
        ),
        cwd=layout.dir / "etcd",
        ready=Ready(file=layout.dir / "etcd" / "localhost:2379"),
        why="the cluster's memory: every object that you apply lives here",
    )


def apiserver(
    layout: Layout, ports: Ports, binaries: Binaries, flags: Flags, bind: str = "127.0.0.1"
) -> Component:
    """The API server; anonymous requests are refused, nodes are restricted to their own objects.

    Pods reach it at the address that it advertises, where they have a network of their own.
    """
    pki = layout.pki
    return Component(
        name="kube-apiserver",
        argv=(
            str(binaries["kube-apiserver"]),
            "--etcd-servers=unix://localhost:2379",
            f"--bind-address={bind}",
            f"--secure-port={ports.api}",
            f"--advertise-address={GATEWAY}",
            f"--tls-cert-file={pki('apiserver.crt')}",
            f"--tls-private-key-file={pki('apiserver.key')}",
            f"--client-ca-file={pki('ca.crt')}",
            "--anonymous-auth=false",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged",  # as other clusters do; its node gives no rights, and says so
            f"--kubelet-certificate-authority={pki('ca.crt')}",
            f"--kubelet-client-certificate={pki('apiserver-kubelet-client.crt')}",
            f"--kubelet-client-key={pki('apiserver-kubelet-client.key')}",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={pki('sa.pub')}",
            f"--service-account-signing-key-file={pki('sa.key')}",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--requestheader-client-ca-file={pki('front-proxy-ca.crt')}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--proxy-client-cert-file={pki('front-proxy-client.crt')}",
            f"--proxy-client-key-file={pki('front-proxy-client.key')}",
            "--profiling=false",
            *audit(layout, "kube-apiserver"),
            *flags.kube_apiserver,
        ),
        # The server waits for etcd itself, but its etcd client backs off for seconds after a failed
        # connection.
        needs=("etcd",),
        cwd=layout.dir / "etcd",
        env=FRUGAL,
        ready=answers(layout, ports.api, "/readyz"),
        why="the only entry to the cluster: checks who you are, what you may do, and what is valid",
    )


def controller_manager(layout: Layout, ports: Ports, binaries: Binaries, flags: Flags) -> Component:
    """The controllers, including the HorizontalPodAutoscaler; `flags` apply the lab clock."""
    kubeconfig = layout.kubeconfig_of("kube-controller-manager")
    disabled = ",".join(f"-{name}" for name in UNUSED_CONTROLLERS)
    return Component(
        name="kube-controller-manager",
        argv=(
            str(binaries["kube-controller-manager"]),
            f"--kubeconfig={kubeconfig}",
            "--bind-address=127.0.0.1",
            f"--secure-port={ports.controller_manager}",
            *serving(layout, "kube-controller-manager"),
            f"--client-ca-file={layout.pki('ca.crt')}",
            f"--root-ca-file={layout.pki('ca.crt')}",
            f"--service-account-private-key-file={layout.pki('sa.key')}",
            "--use-service-account-credentials",
            f"--controllers=*,{disabled}",
            "--leader-elect=false",
            # Its own client would throttle it for the first five seconds.
            "--kube-api-qps=2000",
            "--kube-api-burst=4000",
            "--profiling=false",
            *flags.kube_controller_manager,
        ),
        # If started earlier, it would only check once a second for the API server.
        needs=("kube-apiserver",),
        env=FRUGAL,
        ready=answers(layout, ports.controller_manager, "/healthz"),
        why="Deployments, ReplicaSets, endpoints and the HorizontalPodAutoscaler: loops that compare and act",
    )


def scheduler(layout: Layout, ports: Ports, binaries: Binaries) -> Component:
    """The scheduler: gives each pod a node with a free GPU."""
    return Component(
        name="kube-scheduler",
        argv=(
            str(binaries["kube-scheduler"]),
            # Two profiles: the default one, and one that pods choose with `schedulerName: bin-packing`.
            f"--config={layout.dir / 'scheduler.yaml'}",
            "--bind-address=127.0.0.1",
            f"--secure-port={ports.scheduler}",
            *serving(layout, "kube-scheduler"),
            f"--client-ca-file={layout.pki('ca.crt')}",
        ),
        # If started earlier, its watches would be refused (the API server has not written its first rules
        # yet), and
        # it would back off for seconds.
        needs=("kube-apiserver",),
        env=FRUGAL,
        ready=answers(layout, ports.scheduler, "/healthz"),
        why="finds a node for each pod; counts GPUs as whole numbers",
    )


def serving(layout: Layout, identity: str) -> tuple[str, str]:
    """The two flags for a Kubernetes server's certificate."""
    pki = layout.pki
    return f"--tls-cert-file={pki(f'{identity}.crt')}", f"--tls-private-key-file={pki(f'{identity}.key')}"


def audit(layout: Layout, server: str) -> tuple[str, ...]:
    """The audit flags of a server: the ledger of the HPA's decisions is made from this log."""
    return (
        f"--audit-policy-file={layout.dir / 'audit' / 'policy.yaml'}",
        f"--audit-log-path={layout.dir / 'audit' / f'{server}.log'}",
        "--audit-log-maxsize=64",
        "--audit-log-maxbackup=1",
    )


def answers(layout: Layout, port: int, path: str, host: str = "127.0.0.1") -> Ready:
    """Ready when `path` on a TLS port answers 200 to the lab's admin."""
    certs = (layout.pki("ca.crt"), layout.pki("admin.crt"), layout.pki("admin.key"))
    return Ready(url=f"https://{host}:{port}{path}", certs=certs)
