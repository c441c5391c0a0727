"""Everything that must be in a lab's folder before its first process starts."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable, Sequence
from string import Template

from localcluster import stored
from localcluster.clock import Flags
from localcluster.data import DATA
from localcluster.embedded import kubeconfigs, pki
from localcluster.embedded.network import Network
from localcluster.images.distribution import config as registry_config
from localcluster.images.distribution import htpasswd_line
from localcluster.layout import Layout, Ports
from localcluster.netns import doors, furnish, plan
from localcluster.node.config import AgentConfig, NodeSpec, Registry
from localcluster.provider import Spec
from localcluster.stored import write_atomically
from localcluster.toolchain.versions import cache_root

REGISTRY_HOST = "registry.lab:5000"
REGISTRY_USER = "learner"


def nodes(spec: Spec) -> tuple[NodeSpec, ...]:
    """The simulated machines that a spec asks for: GPU nodes first, then CPU-only ones."""
    gpu = [
        NodeSpec(
            name=f"gpu-node-{i}",
            index=i,
            gpus=spec.gpus_per_node,
            gpu_product=spec.gpu_product,
            gpu_memory_mib=spec.gpu_memory_mib,
        )
        for i in range(1, spec.gpu_nodes + 1)
    ]
    cpu = [
        NodeSpec(name=f"cpu-node-{i}", index=spec.gpu_nodes + i, cpu=32, memory="128Gi")
        for i in range(1, spec.cpu_nodes + 1)
    ]
    return (*gpu, *cpu)


def added(layout: Layout, spec: Spec) -> tuple[NodeSpec, ...]:
    """The machines that were added later: they also survive a crash of the lab."""
    path, own = layout.dir / "node.json", {node.name for node in nodes(spec)}
    return tuple(n for n in AgentConfig.load(path).nodes if n.name not in own) if path.exists() else ()


def write_all(layout: Layout, spec: Spec, ports: Ports, flags: Flags, net: Network) -> None:
    """Certificates, kubeconfigs and configurations; existing ones that still fit are kept."""
    machines = (*nodes(spec), *added(layout, spec))
    names = [n.name for n in machines]
    for folder in ("run", "logs", "pki", "kubeconfigs", "audit"):
        (layout.dir / folder).mkdir(exist_ok=True, mode=0o700)
    pki.ensure(layout.dir / "pki", pki.identities({n.name: plan.node_ip(n.index) for n in machines}))
    kubeconfigs.write(layout, ports, names, prometheus=plan.GATEWAY if net.own else "127.0.0.1")
    _registry(layout, ports)
    _scheduler(layout)
    _monitoring(layout, flags)
    write_atomically(layout.dir / "audit" / "policy.yaml", (DATA / "audit-policy.yaml").read_text())
    _agent(layout, spec, ports, machines, net)
    _doors(layout, ports)
    _services(layout, names, net)
    layout.save(spec, ports)


def bootstrap_documents(layout: Layout, ports: Ports) -> Iterable[str]:
    """The YAML of data/bootstrap with this lab's ports and authority filled in, in order."""
    bundle = base64.b64encode(layout.pki("ca.crt").read_bytes()).decode()
    without_dns = not layout.load()[0].isolated
    for path in sorted((DATA / "bootstrap").glob("*.yaml")):
        if without_dns and path.name == "05-dns.yaml":
            continue
        yield Template(path.read_text()).substitute(ADAPTER_PORT=ports.adapter, CA_BUNDLE=bundle)


def _services(layout: Layout, names: Sequence[str], net: Network) -> None:
    """The configuration of kube-proxy and CoreDNS."""
    proxy = {"KUBECONFIG": str(layout.kubeconfig_of("kube-proxy")), "NODE": names[0] if names else ""}
    address = plan.COREDNS if net.services == furnish.FORWARD else plan.DNS
    kubeconfig = layout.kubeconfig_of("coredns").relative_to(layout.dir)
    dns = {"KUBECONFIG": str(kubeconfig), "ADDRESS": address}
    for name, values in (("kube-proxy.yaml", proxy), ("Corefile", dns)):
        write_atomically(layout.dir / name, Template((DATA / name).read_text()).substitute(values))


def _doors(layout: Layout, ports: Ports) -> None:
    """What the edge opens on this machine from the start; ports are the same inside and outside."""
    path = layout.dir / doors.REMEMBERED
    known = stored.find(path, dict[str, int]) or {}
    own = {f"127.0.0.1:{port}": port for port in (ports.api, ports.registry)}
    own[f"{plan.PROMETHEUS}:{ports.prometheus}"] = ports.prometheus
    servers = ("127.0.0.1:", f"{plan.PROMETHEUS}:")
    others = {target: port for target, port in known.items() if not target.startswith(servers)}
    write_atomically(path, json.dumps(own | others, indent=1))


def _registry(layout: Layout, ports: Ports) -> None:
    folder = layout.dir / "registry"
    (folder / "data").mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (folder / "htpasswd").exists():
        password = secrets.token_urlsafe(12)
        write_atomically(folder / "password", password)
        write_atomically(folder / "htpasswd", htpasswd_line(REGISTRY_USER, password))
    text = registry_config(
        root=folder / "data",
        address=f"127.0.0.1:{ports.registry}",
        cert=layout.pki("registry.crt"),
        key=layout.pki("registry.key"),
        htpasswd=folder / "htpasswd",
    )
    write_atomically(folder / "config.yml", text)


def _scheduler(layout: Layout) -> None:
    text = Template((DATA / "scheduler.yaml").read_text())
    kubeconfig = str(layout.kubeconfig_of("kube-scheduler"))
    write_atomically(layout.dir / "scheduler.yaml", text.substitute(KUBECONFIG=kubeconfig))


def _monitoring(layout: Layout, flags: Flags) -> None:
    values = {
        "SCRAPE": flags.scrape,
        "WINDOW": flags.window,
        "CPU_WINDOW": flags.window,
        "KUBECONFIG": str(layout.kubeconfig_of("prometheus")),
        "CA_FILE": str(layout.pki("ca.crt")),
        "CERT_FILE": str(layout.pki("prometheus.crt")),
        "KEY_FILE": str(layout.pki("prometheus.key")),
        "TARGETS": str(layout.dir / "prometheus" / "targets"),
    }
    (layout.dir / "prometheus" / "targets").mkdir(parents=True, exist_ok=True)  # watched from the start
    for template, target in (
        ("prometheus.yml", "prometheus.yml"),
        ("prometheus-web.yml", "web.yml"),
        ("adapter-rules.yaml", "adapter-rules.yaml"),
    ):
        text = Template((DATA / template).read_text()).substitute(values)
        write_atomically(layout.dir / "prometheus" / target, text)


def _agent(layout: Layout, spec: Spec, ports: Ports, machines: tuple[NodeSpec, ...], net: Network) -> None:
    registry = Registry(REGISTRY_HOST, f"https://127.0.0.1:{ports.registry}", str(layout.pki("ca.crt")))
    AgentConfig(
        lab_dir=str(layout.dir),
        clock=spec.clock,
        nodes=machines,
        registries=(registry,),
        cache_dir=str(cache_root()),
        isolation=spec.isolation,
        memory_mib=spec.memory_mib,
        nft=net.nft if net.services == furnish.FORWARD else "",
    ).save(layout.dir / "node.json")
