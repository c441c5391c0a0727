"""What no pod can have on these nodes: refused at admission, or said once in an event. Pure.

A container runs as one ordinary user in a user namespace of its own, without capabilities. Most of what a
security context can add to that is out of reach; what it can take away is mostly gone already.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from localcluster.api import Json
from localcluster.node.fitting import Rejection
from localcluster.node.network import host_ports
from localcluster.node.process.environment import groups

EVENT = "UnsupportedField"
"""Reason of the Warning event for a field that is not honoured."""
SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_notsent_lowat",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_slow_start_after_idle",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
"""The kubelet's: https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/#safe-and-unsafe-sysctls"""
_HAS_ALREADY = {"NET_BIND_SERVICE"}  # every port of a pod is open to every user


@dataclass(frozen=True)
class Unsupported:
    """A field that a pod sets, and what it gets instead."""

    field: str
    instead: str
    container: str = ""

    @property
    def message(self) -> str:
        """For the event."""
        return f"{self.field} is not honoured on this node: {self.instead}"


def check(pod: Json) -> None:
    """Raise `Rejection` for what the kubelet admits on no node like these, in its words."""
    spec = pod["spec"]
    for name in sysctls(spec):
        if name not in SAFE_SYSCTLS:
            raise Rejection("SysctlForbidden", f'forbidden sysctl: "{name}" not allowlisted')
    if any(_confined_by_app_armor(context) for _, context in _contexts(spec)):
        said = "Cannot enforce AppArmor: AppArmor is not enabled on the host"
        raise Rejection("AppArmor", said)


def sysctls(spec: Json) -> dict[str, str]:
    """What a pod sets, by names with dots: in the other notation slashes and dots change places."""
    found = (spec.get("securityContext") or {}).get("sysctls") or ()
    return {_dotted(s["name"]): str(s["value"]) for s in found}


def _dotted(name: str) -> str:
    first = next((c for c in name if c in "./"), ".")
    return name.translate(str.maketrans("./", "/.")) if first == "/" else name


def _confined_by_app_armor(context: Json) -> bool:
    return (context.get("appArmorProfile") or {}).get("type") in {"RuntimeDefault", "Localhost"}


def unsupported(pod: Json, *, node: str) -> Iterator[Unsupported]:
    """Each field that the pod sets and that its containers start without.

    `node` is the address of the node whose ports can lead to pods; empty where they can't.
    """
    spec = pod["spec"]
    for name in ("hostPID", "hostIPC"):
        if spec.get(name):
            yield Unsupported(f"spec.{name}", "the pod gets a namespace of its own")
    if spec.get("hostUsers"):
        yield Unsupported("spec.hostUsers", "each container gets a user namespace of its own")
    for name, context in _contexts(spec):
        yield from _of_a_context(name, context)
    for container in _containers(spec):
        yield from _of_groups(container, spec)
    for name, port in host_ports.declared(spec):
        if not node or not host_ports.can_lead(port, node):
            where = f"{port.get('hostIP') or 'the node'}:{port['hostPort']}"
            yield Unsupported("ports.hostPort", f"nothing leads from {where} to the pod", name)


def _of_a_context(container: str, context: Json) -> Iterator[Unsupported]:
    place = "spec.securityContext" if not container else "securityContext"
    if context.get("privileged"):
        said = "the container has no capabilities, and no devices but its GPUs"
        yield Unsupported(f"{place}.privileged", said, container)
    added = [c for c in (context.get("capabilities") or {}).get("add") or () if _bare(c) not in _HAS_ALREADY]
    if added:
        said = f"the container has no capabilities, so not {', '.join(added)}"
        yield Unsupported(f"{place}.capabilities.add", said, container)
    if context.get("allowPrivilegeEscalation"):
        said = "set-uid programs run as the container's user"
        yield Unsupported(f"{place}.allowPrivilegeEscalation", said, container)
    if context.get("procMount") == "Unmasked":
        yield Unsupported(f"{place}.procMount", "parts of /proc stay hidden or read-only", container)


def _bare(capability: str) -> str:
    return capability.upper().removeprefix("CAP_")


def _of_groups(container: Json, spec: Json) -> Iterator[Unsupported]:
    """An ordinary user can map only one group into a container."""
    wanted = groups(container, spec)
    if len(wanted) > 1:
        name = str(container["name"])
        said = f"a process has one group here, {wanted[0]}, so not {', '.join(map(str, wanted[1:]))}"
        yield Unsupported("spec.securityContext.fsGroup or supplementalGroups", said, name)


def _contexts(spec: Json) -> Iterator[tuple[str, Json]]:
    yield "", spec.get("securityContext") or {}
    for container in _containers(spec):
        yield str(container["name"]), container.get("securityContext") or {}


def _containers(spec: Json) -> list[Json]:
    return [*(spec.get("initContainers") or ()), *spec["containers"]]
