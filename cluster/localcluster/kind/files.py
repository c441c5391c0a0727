"""Everything that must be in a kind lab's folder: certificates, the cluster's configuration, manifests.

The manifests are those of data/kind and data/bootstrap, filled in; a person can read them there and
apply them again. Starts nothing.
"""

from __future__ import annotations

import base64
import copy
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import yaml

from localcluster.clock import Flags, flags
from localcluster.data import DATA
from localcluster.embedded import pki
from localcluster.embedded.files import REGISTRY_HOST, REGISTRY_USER
from localcluster.embedded.files import nodes as simulated_nodes
from localcluster.embedded.pki import LOOPBACK, Identity
from localcluster.errors import BadInput
from localcluster.images.distribution import config as registry_config
from localcluster.images.distribution import htpasswd_line
from localcluster.kind import nvidia
from localcluster.kind.nvidia import Plan
from localcluster.kind.settings import FIRST_NODE_PORT, Settings
from localcluster.layout import Layout
from localcluster.provider import Spec
from localcluster.stored import write_atomically

NODE_STATUS = 10.0
"""Lab seconds: how often a kubelet writes what changed about its node; at least one real second."""

POD_SYNC = 60.0
"""Lab seconds: how often a kubelet looks after each pod, whatever happens."""

CPU_SCALE = "0.025"
"""The share of a CPU request that data/kind/laptop.yaml keeps; the simulated CPU is scaled with it."""

OWN_PODS = 0.025
"""CPUs that pods of the node's own ask for: network, GPU plugin."""

CADVISOR_WINDOW = 30.0
"""Real seconds: three of the kubelet's own measurements, which CLOCK does not speed up."""

SHARED = {
    "10-namespaces.yaml": "namespaces.yaml",
    "25-metrics-apis.yaml": "metrics-apis.yaml",
    "30-rbac.yaml": "rbac.yaml",
}
"""Files of data/bootstrap that both providers apply, and what they are called in the lab's folder."""


class _Readable(yaml.SafeDumper):
    """Writes texts of several lines as they are, not as one line with escapes."""


_Readable.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def identities(settings: Settings) -> list[Identity]:
    """Certificates of the servers that labkit adds; the cluster's own are kubeadm's."""
    return [
        Identity("admin", "labkit-admin"),
        Identity("registry", "registry", hosts=(*LOOPBACK, "registry.lab", settings.registry)),
        Identity("prometheus", "prometheus", hosts=(*LOOPBACK, "prometheus.monitoring.svc")),
        Identity("adapter", "adapter", hosts=("adapter.monitoring.svc",)),
        Identity("metrics-reader", "metrics-reader"),
        Identity("epp", "epp", hosts=LOOPBACK),
    ]


def write_first(layout: Layout, settings: Settings) -> None:
    """What the nodes and the registry need to start: certificates, a login, addresses, the audit policy."""
    for folder in ("logs", "pki", "registry"):
        (layout.dir / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    pki.ensure(layout.dir / "pki", identities(settings))
    registry = layout.dir / "registry"
    if not (registry / "password").exists():
        write_atomically(registry / "password", secrets.token_urlsafe(12))
    password = (registry / "password").read_text()
    write_atomically(registry / "htpasswd", htpasswd_line(REGISTRY_USER, password))
    write_atomically(registry / "config.yml", _registry_config())
    login = {"auths": {REGISTRY_HOST: {"username": REGISTRY_USER, "password": password}}}
    write_atomically(layout.dir / "registry-login.json", json.dumps(login))
    _audit(layout.dir / "audit")
    scheduler = _filled("scheduler.yaml", {"KUBECONFIG": "/etc/kubernetes/scheduler.conf"})
    write_atomically(layout.dir / "scheduler" / "scheduler.yaml", scheduler, mode=0o644)
    certs = layout.dir / "certs.d" / REGISTRY_HOST
    write_atomically(certs / "ca.crt", layout.pki("ca.crt").read_text(), mode=0o644)
    hosts = _filled("kind/registry-hosts.toml", {"REGISTRY": settings.registry})
    write_atomically(certs / "hosts.toml", hosts, mode=0o644)


def _audit(folder: Path) -> None:
    """A folder for audit logs. The adapter is not root; the lab's own folder keeps other users out."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    write_atomically(folder / "policy.yaml", (DATA / "audit-policy.yaml").read_text(), mode=0o644)


def _registry_config() -> str:
    """As the registry's container sees its files: all of them in one mounted folder, its data in it."""
    here = Path("/lab")
    return registry_config(
        root=here / "data",
        address=":5000",
        cert=here / "registry.crt",
        key=here / "registry.key",
        htpasswd=here / "htpasswd",
    )


def write_manifests(
    layout: Layout, settings: Settings, tags: Mapping[str, str], *, real: Plan | None = None
) -> None:
    """What `kubectl apply -k` takes; `tags` name the images of Prometheus, its adapter and the GPU plugin."""
    clock = flags(settings.spec.clock)
    bundle = base64.b64encode(layout.pki("ca.crt").read_bytes()).decode()
    values = {
        **tags,
        **_monitoring(clock),
        "ADAPTER_PORT": "443",
        "CA_BUNDLE": bundle,
        "NODE_PORT": str(FIRST_NODE_PORT),
        "PROMETHEUS_ARGS": _listed(clock.prometheus, indent=12),
        "ADAPTER_ARGS": _listed(clock.prometheus_adapter, indent=12),
        "LAB": settings.spec.name,
        "CLOCK": str(float(settings.spec.clock)),
        "GPUS": str(settings.spec.gpus_per_node),
        "PRODUCT": settings.spec.gpu_product,
        "MEMORY_MIB": str(settings.spec.gpu_memory_mib),
        "CPU_SCALE": CPU_SCALE,
    }
    for source, target in SHARED.items():
        write_atomically(layout.dir / target, _filled(f"bootstrap/{source}", values))
    for path in sorted((DATA / "kind").glob("*.y*ml")):
        write_atomically(layout.dir / path.name, _filled(f"kind/{path.name}", values))
    write_atomically(layout.dir / "web.yml", _filled("prometheus-web.yml", values))
    write_atomically(layout.dir / "adapter-rules.yaml", _filled("adapter-rules.yaml", values))
    if real:
        _with_real_gpus(layout.dir / "kustomization.yaml", real)


def _with_real_gpus(kustomization: Path, real: Plan) -> None:
    """NVIDIA's manifests instead of the simulated ones."""
    config = yaml.safe_load(kustomization.read_text())
    kept = [name for name in config["resources"] if name not in nvidia.LEFT_OUT]
    config["resources"] = kept + [manifest.name for manifest in real.manifests]
    for manifest in real.manifests:
        write_atomically(kustomization.parent / manifest.name, manifest.read_text())
    write_atomically(kustomization, yaml.safe_dump(config, sort_keys=False))


def _monitoring(clock: Flags) -> dict[str, str]:
    return {
        "SCRAPE": clock.scrape,
        "WINDOW": clock.window,
        "CPU_WINDOW": f"{CADVISOR_WINDOW:.0f}s",
        "CA_FILE": "/tls/ca.crt",
        "CERT_FILE": "/tls/prometheus.crt",
        "KEY_FILE": "/tls/prometheus.key",
    }


def cluster_config(layout: Layout, settings: Settings, *, cpus: int = 0, real: Plan | None = None) -> str:
    """What `kind create cluster --config` takes: data/kind.yaml, filled in, its workers repeated.

    `cpus` are those of the engine's machine, which every node takes for its own; 0: not known.
    """
    spec, clock = settings.spec, flags(settings.spec.clock)
    last = FIRST_NODE_PORT + len(settings.host_ports) - 1
    text = _filled(
        "kind.yaml",
        {
            "NODE_PORTS": f"{FIRST_NODE_PORT}-{last}",
            "APISERVER_ARGS": _kubeadm(clock.kube_apiserver, indent=8),
            "CONTROLLER_ARGS": _kubeadm(clock.kube_controller_manager, indent=8),
            "NODE_STATUS": f"{max(1, round(NODE_STATUS / spec.clock))}s",
            "POD_SYNC": f"{max(1, round(POD_SYNC / spec.clock))}s",
            "CERTS": str(layout.dir / "certs.d"),
            "AUDIT": str(layout.dir / "audit"),
            "SCHEDULER": str(layout.dir / "scheduler"),
        },
    )
    config = yaml.safe_load(text)
    head, gpu, cpu = config["nodes"]
    head["extraPortMappings"] = [
        {"listenAddress": "127.0.0.1", "hostPort": host, "containerPort": node, "protocol": "TCP"}
        for node, host in settings.node_ports.items()
    ]
    patterns = [head, *[gpu] * spec.gpu_nodes, *[cpu] * spec.cpu_nodes]
    config["nodes"] = [copy.deepcopy(node) for node in patterns]  # one object twice would be an alias in YAML
    if not real:
        for node, like in zip(config["nodes"][1:], simulated_nodes(spec), strict=True):
            node["kubeadmConfigPatches"] = [_reserved(cpus, like.cpu)]
    config["kubeadmConfigPatches"] += _patches(spec)
    if spec.node_image:
        for node in config["nodes"]:
            node["image"] = spec.node_image
    if real:
        config = nvidia.patch(config, real)
    return yaml.dump(config, Dumper=_Readable, sort_keys=False, allow_unicode=True)


def _patches(spec: Spec) -> list[str]:
    """The user's own kubeadm patches: what this machine's nodes need besides ours, one document each."""
    if not spec.node_patches:
        return []
    path = Path(spec.node_patches)
    try:
        found = [doc for doc in yaml.safe_load_all(path.read_text()) if doc is not None]
    except (OSError, yaml.YAMLError) as error:
        raise BadInput(
            f"Can't read the kubeadm patches in {path}: {error}.",
            cause="The file is missing, or not YAML.",
            fix="It must contain documents such as `kind: KubeletConfiguration`, as in kind's "
            "kubeadmConfigPatches.",
        ) from error
    if not all(isinstance(doc, dict) and doc.get("kind") for doc in found):
        raise BadInput(
            f"{path} contains something that is not a kubeadm patch.",
            cause="Each document must be a mapping with a `kind`.",
            fix="For example: `kind: KubeletConfiguration`, followed by the fields to set.",
        )
    return [yaml.safe_dump(doc) for doc in found]


def _reserved(cpus: int, cores: int) -> str:
    """A kubeadm patch that leaves to pods what an embedded node of so many cores has, scaled."""
    left = cores * float(CPU_SCALE) + OWN_PODS
    value = f"cpu={max(0, round(1000 * (cpus - left)))}m"
    arguments = [{"name": "system-reserved", "value": value}]
    patch = {"kind": "JoinConfiguration", "nodeRegistration": {"kubeletExtraArgs": arguments}}
    return yaml.safe_dump(patch)


def _kubeadm(arguments: tuple[str, ...], *, indent: int) -> str:
    """`--name=value` as kubeadm's list of name and value has it."""
    pairs: list[dict[str, Any]] = []
    for argument in arguments:
        name, _, value = argument.removeprefix("--").partition("=")
        pairs.append({"name": name, "value": value})
    return f"\n{' ' * indent}".join(f"- {json.dumps(pair)}" for pair in pairs)


def _listed(arguments: tuple[str, ...], *, indent: int) -> str:
    return f"\n{' ' * indent}".join(f"- {argument}" for argument in arguments)


def _filled(template: str, values: Mapping[str, str]) -> str:
    return Template((DATA / template).read_text()).substitute(values)
