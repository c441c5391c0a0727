"""KEDA, an optional part of a lab: its operator and its metrics adapter, as released, as two processes.

Neither is patched. Both use the service account of KEDA's own roles, and find names as a pod does. They count
in real seconds, whatever CLOCK says: `durations` divides those of a ScaledObject that `lab.apply` applies.
https://keda.sh
"""

from __future__ import annotations

import base64
import os
import shutil
from pathlib import Path
from string import Template
from typing import Any

import yaml

from localcluster import polling
from localcluster.api.client import Api
from localcluster.data import DATA
from localcluster.embedded import admin, optional, pki
from localcluster.embedded.component import Component, Ready
from localcluster.embedded.control_plane import FRUGAL, answers
from localcluster.layout import Layout
from localcluster.netns import plan
from localcluster.toolchain import ladder, locate, objects

OPERATOR, ADAPTER = "keda-operator", "keda-adapter"
NAMESPACE = FOLDER = "keda"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"
NOT_HERE = ("Deployment", "Service", "APIService", "ValidatingWebhookConfiguration")
"""Kinds of its published objects that stand for its pods, which are processes here."""

METRICS, HEALTH, GRPC, SECURE, ADAPTER_METRICS = 18080, 18081, 9666, 16443, 18082
"""Ports of the lab's own network; all but the first on its loopback."""


def start(layout: Layout) -> None:
    """Apply its objects and run both; returns once the metrics API answers. Safe to repeat."""
    found = ladder.ensure([OPERATOR, ADAPTER])
    api = Api(layout.kubeconfig)
    folder = _folder(layout)
    published = _published(found[OPERATOR])
    polling.until(lambda: not ending(api), "the namespace keda of before to be gone", seconds=60)
    definitions = admin.kinds(published)
    admin.take_up(api, definitions)
    admin.apply_objects(api, (obj for obj in published if obj not in definitions))
    admin.apply(api, [_own_objects(layout)])
    optional.add(layout, [operator(layout, found[OPERATOR], folder), adapter(layout, found[ADAPTER], folder)])
    optional.scrape(layout, FOLDER, {OPERATOR: METRICS})
    polling.until(lambda: admin.get(api, EXTERNAL), "external.metrics.k8s.io to answer", seconds=60)


def stop(layout: Layout) -> None:
    """End both and remove their objects; safe to repeat. ScaledObjects must be gone before."""
    optional.remove(layout, [OPERATOR, ADAPTER])
    optional.scrape(layout, FOLDER, {})
    folder = layout.dir / FOLDER
    if not folder.is_dir() or not (binary := ladder.Ladder().look([OPERATOR]).get(OPERATOR)):
        return
    made = [*_published(binary), *yaml.safe_load_all(_own_objects(layout))]
    admin.take_back(Api(layout.kubeconfig), made[::-1])
    shutil.rmtree(folder, ignore_errors=True)


def operator(layout: Layout, binary: Path, folder: Path) -> Component:
    """The operator: makes an HPA of each ScaledObject, and moves workloads between 0 and 1 itself."""
    return Component(
        name=OPERATOR,
        argv=(
            *_with_the_labs_names(folder),
            str(binary),
            f"--kubeconfig={layout.kubeconfig_of('keda')}",
            "--leader-elect=false",
            "--enable-cert-rotation=false",
            f"--cert-dir={folder}",
            f"--metrics-bind-address={plan.GATEWAY}:{METRICS}",  # where Prometheus reaches it
            f"--health-probe-bind-address=127.0.0.1:{HEALTH}",
            f"--metrics-service-bind-address=127.0.0.1:{GRPC}",
            "--zap-log-level=info",
            "--zap-encoder=console",
            "--zap-time-encoding=rfc3339nano",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        ),
        needs=("kube-apiserver", "kube-controller-manager"),
        # In a pod the first two come from the pod itself. An empty third: all namespaces.
        env={
            "POD_NAMESPACE": NAMESPACE,
            "KEDA_CLUSTER_OBJECT_NAMESPACE": NAMESPACE,
            "WATCH_NAMESPACE": "",
            **FRUGAL,
        },
        ready=Ready(url=f"http://127.0.0.1:{HEALTH}/readyz"),
        why="KEDA: makes an HPA of each ScaledObject, and moves its workload between 0 and 1",
    )


def adapter(layout: Layout, binary: Path, folder: Path) -> Component:
    """The metrics adapter: serves external.metrics.k8s.io, with what the operator reads."""
    kubeconfig = layout.kubeconfig_of("keda")
    return Component(
        name=ADAPTER,
        argv=(
            *_with_the_labs_names(folder),
            str(binary),
            f"--kubeconfig={kubeconfig}",
            f"--lister-kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--bind-address=127.0.0.1",
            f"--secure-port={SECURE}",
            f"--port={ADAPTER_METRICS}",
            f"--metrics-service-address=localhost:{GRPC}",
            f"--client-ca-file={folder / 'ca.crt'}",
            f"--tls-cert-file={folder / 'tls.crt'}",
            f"--tls-private-key-file={folder / 'tls.key'}",
            f"--cert-dir={folder}",
            "--zap-log-level=info",
        ),
        needs=("kube-apiserver", OPERATOR),
        env={"POD_NAMESPACE": NAMESPACE, "WATCH_NAMESPACE": "", **FRUGAL},
        ready=answers(layout, SECURE, "/readyz"),
        why="KEDA: serves external.metrics.k8s.io out of what its operator reads",
    )


def _folder(layout: Layout) -> Path:
    """Its certificates under the names that it looks for, and the resolv.conf of a pod."""
    folder = layout.dir / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    pki.copy(layout.dir / "pki", "keda", folder)
    shutil.copy(layout.pki("ca.crt"), folder)
    searched = f"{NAMESPACE}.svc.cluster.local svc.cluster.local cluster.local"
    (folder / "resolv.conf").write_text(f"search {searched}\nnameserver {plan.DNS}\noptions ndots:5\n")
    return folder


def _published(operator: Path) -> list[dict[str, Any]]:
    """Its own objects, as they came with the program, but for those of its pods; its namespace first."""
    return [obj for obj in objects.beside(operator) if obj["kind"] not in NOT_HERE]


def _with_the_labs_names(folder: Path) -> tuple[str, ...]:
    """The words before a program that is to find names by the lab's DNS."""
    there = Path(os.path.realpath("/etc/resolv.conf"))
    if not there.exists():
        return ()
    bind = ("--dev-bind", "/", "/", "--ro-bind", str(folder / "resolv.conf"), str(there))
    return (str(locate.bwrap()), *bind, "--die-with-parent", "--")


def _own_objects(layout: Layout) -> str:
    own = Template((DATA / "keda" / "objects.yaml").read_text()).substitute(
        ADAPTER_PORT=SECURE,
        PROMETHEUS=plan.PROMETHEUS,
        PROMETHEUS_PORT=layout.load()[1].prometheus,
        CA_BUNDLE=_encoded(layout, "ca.crt"),
    )
    return f"{own}---\n{trigger(layout)}"


def trigger(layout: Layout) -> str:
    """How KEDA asks the lab's Prometheus: a ClusterTriggerAuthentication with a certificate of the lab."""
    return Template((DATA / "keda" / "trigger.yaml").read_text()).substitute(
        CA_BUNDLE=_encoded(layout, "ca.crt"),
        CERT=_encoded(layout, "metrics-reader.crt"),
        KEY=_encoded(layout, "metrics-reader.key"),
    )


def _encoded(layout: Layout, name: str) -> str:
    return base64.b64encode(layout.pki(name).read_bytes()).decode()


def ending(api: Api) -> bool:
    """Whether its namespace of before is still on its way out."""
    found = admin.get(api, f"/api/v1/namespaces/{NAMESPACE}")
    return bool(found and found["metadata"].get("deletionTimestamp"))
