"""What policies see of a pod: its labels, its address, and the names of its ports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from localcluster.api import Json, JsonLike


class NamedPort(NamedTuple):
    """A container's port that has a name; `protocol` is tcp, udp or sctp."""

    name: str
    protocol: str
    number: int


@dataclass(frozen=True)
class Pod:
    """One pod on the pod network."""

    namespace: str
    labels: Mapping[str, str]
    ip: str  # "" until it has one
    ports: tuple[NamedPort, ...] = ()
    peer_only: bool = False
    """Others' rules can mean it, but no policy selects it: a program of the lab that stands in for a pod."""


def read(pod: JsonLike) -> Pod | None:
    """Read one pod; None if it will never have an IPv4 address of its own, or has ended.

    Policies don't apply to pods on the host's network: the API leaves open what becomes of these, and here no
    policy selects or means them.
    """
    spec, status = pod["spec"], pod.get("status") or {}
    ip = status.get("podIP") or ""
    if spec.get("hostNetwork") or status.get("phase") in {"Succeeded", "Failed"} or ":" in ip:
        return None
    meta = pod["metadata"]
    return Pod(meta["namespace"], meta.get("labels") or {}, ip, tuple(_ports(spec)))


def _ports(spec: Json) -> Iterator[NamedPort]:
    """The first container with a name has it, as for a Service; init containers that end have none."""
    seen: set[tuple[str, str]] = set()
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in (*spec["containers"], *sidecars):
        for port in container.get("ports") or ():
            name, protocol = port.get("name"), (port.get("protocol") or "TCP").lower()
            if name and (name, protocol) not in seen:
                seen.add((name, protocol))
                yield NamedPort(name, protocol, port["containerPort"])
