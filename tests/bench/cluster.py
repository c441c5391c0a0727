"""How long a cluster takes to come up, beside kwokctl with the same binaries; what it costs when idle."""

from __future__ import annotations

import base64
import os
import ssl
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from localcluster import polling, spawn
from localcluster.embedded.provider import Embedded
from localcluster.layout import Layout
from localcluster.provider import Spec
from tests.bench.figures import Figure, median

LABKIT = (sys.executable, "-m", "labkit.cli")
PROBE = "bench-probe"
ROUNDS = 3

NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "gpu-node-1", "annotations": {"kwok.x-k8s.io/node": "fake"}},
    "status": {
        "capacity": {"cpu": "64", "memory": "256Gi", "pods": "110", "nvidia.com/gpu": "4"},
        "allocatable": {"cpu": "64", "memory": "256Gi", "pods": "110", "nvidia.com/gpu": "4"},
    },
}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": PROBE, "namespace": "default"},
    "spec": {
        "containers": [
            {"name": "c", "image": "scratch.invalid/none:1", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
        ]
    },
}


def up_against_kwokctl(binaries: Path) -> list[Figure]:
    """Nodes Ready and a GPU pod bound: labkit over kwokctl, taken in turns; everything ready, too."""
    ours, everything, downs, theirs = [], [], [], []
    for _ in range(ROUNDS):
        bound, ready, down = _labkit_once()
        ours.append(bound)
        everything.append(ready)
        downs.append(down)
        theirs.append(_kwokctl_once(binaries))
    note = f"{median(ours):.1f} s against {median(theirs):.1f} s, in turns"
    return [
        Figure("up to a GPU pod bound, over kwokctl", median(ours) / median(theirs), "×", 0.9, ROUNDS, note),
        Figure("up to everything ready", median(everything), "s", 8.0, ROUNDS),
        Figure("labkit down", median(downs), "s", 3.0, ROUNDS),
    ]


def idle(seconds: float = 20.0) -> list[Figure]:
    """Memory (proportional set size) and CPU of a whole idle cluster."""
    lab = Embedded("bench-idle")
    lab.up(Spec(name="bench-idle"))
    try:
        polling.pause(10.0)  # what a start leaves to do is not idleness
        processes = [psutil.Process(p.pid) for p in spawn.marked(lab.layout.dir)]
        before = _cpu(processes)
        polling.pause(seconds)
        spent = (_cpu(processes) - before) / seconds
        memory = sum(p.memory_full_info().pss for p in processes) / 2**20
    finally:
        lab.down()
    return [
        Figure("memory of the idle cluster", memory, "MiB", 820, note=f"{len(processes)} processes, PSS"),
        Figure("CPU of the idle cluster", spent, "cores", 0.2, note=f"over {seconds:g} s"),
    ]


def _labkit_once() -> tuple[float, float, float]:
    began = time.monotonic()
    layout = Layout.of("bench-up")
    up = spawn.popen([*LABKIT, "up", "--name", "bench-up"])
    bound = _seconds_to_bound(layout.kubeconfig, began, node=None)
    assert up.wait() == 0
    ready = time.monotonic() - began
    began = time.monotonic()
    assert spawn.run([*LABKIT, "down", "--name", "bench-up"]).returncode == 0
    return bound, ready, time.monotonic() - began


def _kwokctl_once(binaries: Path) -> float:
    with tempfile.TemporaryDirectory(prefix="kwok-") as home:
        kubeconfig = Path(home) / "kubeconfig"
        env = {**os.environ, "KWOK_WORKDIR": home, "KUBECONFIG": str(kubeconfig)}
        names = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
        flags = [f"--{name}-binary={binaries / name}" for name in names]
        argv = [
            binaries / "kwokctl",
            "create",
            "cluster",
            "--name=bench",
            "--runtime=binary",
            "--wait=60s",
            f"--kwok-controller-binary={binaries / 'kwok'}",
            "--kube-authorization",
            *flags,
        ]
        began = time.monotonic()
        created = spawn.popen([str(a) for a in argv], env=env, log=Path(home) / "log")
        try:
            bound = _seconds_to_bound(kubeconfig, began, node=NODE)
            created.wait()
        finally:
            spawn.run([binaries / "kwokctl", "delete", "cluster", "--name=bench"], env=env)
        return bound


def _seconds_to_bound(kubeconfig: Path, began: float, *, node: dict[str, Any] | None) -> float:
    client = polling.until(lambda: _client(kubeconfig), "a kubeconfig", seconds=30)

    def bound() -> bool:
        if node is not None:
            client.post("/api/v1/nodes", json=node)
        answer = client.post("/api/v1/namespaces/default/pods", json=POD)
        if answer.status_code not in {httpx.codes.CREATED, httpx.codes.CONFLICT}:
            return False
        pod = client.get(f"/api/v1/namespaces/default/pods/{PROBE}")
        return bool(pod.json().get("spec", {}).get("nodeName"))

    def attempt() -> bool:
        try:
            return bound()
        except httpx.TransportError:
            return False

    # Seldom enough that asking does not slow down what is being measured.
    with client:
        polling.until(attempt, "a GPU pod to be bound", seconds=90, every=0.1)
    return time.monotonic() - began


def _client(kubeconfig: Path) -> httpx.Client | None:
    """A client for the current context; None while the kubeconfig is not there or half written."""
    try:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    except (OSError, TypeError, KeyError, IndexError, yaml.YAMLError):
        return None
    if "server" not in cluster:
        return None
    context = ssl.create_default_context(cadata=_pem(cluster, "certificate-authority"))
    context.check_hostname = False
    with tempfile.NamedTemporaryFile("w") as cert, tempfile.NamedTemporaryFile("w") as key:
        cert.write(_pem(user, "client-certificate"))
        key.write(_pem(user, "client-key"))
        cert.flush()
        key.flush()
        context.load_cert_chain(cert.name, key.name)
    return httpx.Client(base_url=cluster["server"], verify=context, trust_env=False, timeout=5)


def _pem(section: dict[str, str], name: str) -> str:
    if f"{name}-data" in section:
        return base64.b64decode(section[f"{name}-data"]).decode()
    return Path(section[name]).read_text()


def _cpu(processes: list[psutil.Process]) -> float:
    return sum(p.cpu_times().user + p.cpu_times().system for p in processes)
