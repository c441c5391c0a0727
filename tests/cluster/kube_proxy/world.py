"""An API server and kube-proxy in a network namespace, and an nft that keeps what it is told.

For a process of its own: it moves into new namespaces, which takes a single thread.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from localcluster import polling, setns, spawn
from localcluster.netns.rtnl import Netlink
from localcluster.toolchain import ladder
from tests.cluster.kube_proxy.steps import NAMESPACE, NODE, NODE_IP, Object, Step

API = "https://127.0.0.1:6443"
TOKEN = "recorder"
_KINDS = {"Service": "api/v1", "EndpointSlice": "apis/discovery.k8s.io/v1", "Node": "api/v1"}
_RECORDER = """#!/bin/sh
# Passes everything on, and keeps a copy of each transaction that was taken.
[ "$*" = "-f -" ] || exec {nft} "$@"
file={folder}/$(date +%s%N)
cat > "$file.part"
{nft} -f - < "$file.part" && mv "$file.part" "$file.nft"
"""
_PROXY: Object = {
    "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
    "kind": "KubeProxyConfiguration",
    "mode": "nftables",
    "hostnameOverride": NODE,
    "clusterCIDR": "10.244.0.0/16",
    "detectLocalMode": "ClusterCIDR",
    "nodePortAddresses": [f"{NODE_IP}/32"],
    "healthzBindAddress": "127.0.0.1:10256",
    "metricsBindAddress": "127.0.0.1:10249",
    "nftables": {"minSyncPeriod": "50ms", "syncPeriod": "1h"},
    "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
}


def enter_namespaces() -> None:
    """A network of our own, with nothing in it but a loopback interface and the node's address."""
    setns.new_user()
    setns.unshare(setns.NEW_NET)
    with Netlink() as net:
        net.up("lo")
        net.address("lo", NODE_IP)


@dataclass(frozen=True)
class Server:
    """An API server where everything is allowed."""

    client: httpx.Client

    def apply(self, item: Object) -> None:
        """Server-side apply; an object with a status and no ports changes the status only."""
        meta = item["metadata"]
        kind = f"{item['kind'].lower()}s"
        place = f"namespaces/{meta['namespace']}/{kind}" if "namespace" in meta else kind
        path = f"{_KINDS[item['kind']]}/{place}/{meta['name']}"
        if "status" in item:
            path, item = f"{path}/status", {k: v for k, v in item.items() if k != "spec"}
        done = self.client.patch(
            path,
            params={"fieldManager": "recorder", "force": "true"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            content=json.dumps(item),
        )
        assert done.is_success, done.text

    def delete(self, name: str) -> None:
        """Delete `services/NAME` or `endpointslices/NAME`."""
        group = _KINDS["Service" if name.startswith("services/") else "EndpointSlice"]
        done = self.client.delete(f"{group}/namespaces/{NAMESPACE}/{name}")
        assert done.is_success, done.text

    def ready(self) -> bool:
        """Whether it serves."""
        try:
            return self.client.get("readyz").is_success
        except httpx.TransportError:
            return False


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    """etcd and the API server; their output is in `folder`."""
    programs = ladder.ensure(["etcd", "kube-apiserver"])
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "sa.key").write_bytes(private)
    (folder / "tokens.csv").write_text(f"{TOKEN},admin,1,system:masters\n")
    with ExitStack() as stack:
        etcd = [str(programs["etcd"]), f"--data-dir={folder}/etcd", "--unsafe-no-fsync", "--log-level=error"]
        stack.enter_context(_running(etcd, folder / "etcd.log"))
        arguments = [
            "--etcd-servers=http://127.0.0.1:2379",
            f"--cert-dir={folder}/certificates",
            "--bind-address=127.0.0.1",
            f"--advertise-address={NODE_IP}",
            "--secure-port=6443",
            f"--token-auth-file={folder}/tokens.csv",
            "--authorization-mode=AlwaysAllow",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={folder}/sa.key",
            f"--service-account-signing-key-file={folder}/sa.key",
        ]
        stack.enter_context(_running([programs["kube-apiserver"], *arguments], folder / "apiserver.log"))
        head = {"Authorization": f"Bearer {TOKEN}"}
        client = stack.enter_context(httpx.Client(base_url=API, headers=head, verify=False))  # noqa: S501 - it makes one now
        made = Server(client)
        polling.until(made.ready, "the API server to be ready", seconds=60)
        yield made


@dataclass(frozen=True)
class Proxy:
    """A kube-proxy: what it said to nft, and what it logged."""

    said: Path
    log: Path

    def transactions(self) -> list[str]:
        """What nft was told and took, in order."""
        return [path.read_text() for path in sorted(self.said.glob("*.nft"))]

    def complaints(self) -> list[str]:
        """The lines of its log that are errors or warnings."""
        return [line for line in self.log.read_text().splitlines() if line[:1] in {"E", "W", "F"}]

    def take(self, step: Step, to: Server) -> None:
        """Change the cluster, and wait until kube-proxy has said what it has to."""
        before = len(self.transactions())
        for item in step.apply:
            to.apply(item)
        for name in step.delete:
            to.delete(name)
        polling.until(
            lambda: step.said in "".join(self.transactions()[before:]),
            f"kube-proxy to say {step.said!r} after {step.name!r}",
            seconds=30,
            last_seen=lambda: self.log.read_text()[-2000:],
        )


@contextmanager
def proxy(folder: Path, nft: Path, changed: Object | None = None) -> Iterator[Proxy]:
    """kube-proxy on top of an nft, with some settings `changed`; both leave their words in `folder`."""
    said, tools = folder / "said", folder / "bin"
    said.mkdir(parents=True)
    tools.mkdir()
    (tools / "nft").write_text(_RECORDER.format(nft=quote(str(nft)), folder=quote(str(said))))
    (tools / "nft").chmod(0o755)
    kubeconfig: Object = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": API, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "it", "user": {"token": TOKEN}}],
    }
    (folder / "kubeconfig").write_text(json.dumps(kubeconfig))
    config = {**_PROXY, **(changed or {}), "clientConnection": {"kubeconfig": str(folder / "kubeconfig")}}
    (folder / "config.yaml").write_text(json.dumps(config))
    labnet = ladder.ensure(["labnet"])["labnet"]
    env = {**os.environ, "PATH": f"{tools}:/usr/bin:/bin"}
    made = Proxy(said, folder / "kube-proxy.log")
    with _running([labnet, "kube-proxy", f"--config={folder}/config.yaml"], made.log, env):
        yield made


@contextmanager
def _running(argv: Sequence[str | Path], log: Path, env: dict[str, str] | None = None) -> Iterator[None]:
    child = spawn.popen(argv, log=log, env=env)
    try:
        yield
    finally:
        child.kill()
        child.wait(60)
