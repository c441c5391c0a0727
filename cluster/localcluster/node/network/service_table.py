"""Which pods are behind which Service: Services and EndpointSlices in, endpoints for each port out.

Pure bookkeeping, no sockets. The rules are kube-proxy's: ready endpoints; if there are none, those that still
serve while terminating. Headless and ExternalName Services have no address of their own and are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from localcluster.api import Json

Endpoint = tuple[str, int]  # pod IP, port of the container

_OWNER = "kubernetes.io/service-name"
_AFFINITY_SECONDS = 10800.0  # the API's default for ClientIP
API_SERVER = "default/kubernetes"


@dataclass(frozen=True)
class Frontend:
    """One port of one Service: where new connections may go."""

    endpoints: tuple[Endpoint, ...]
    ip: str = ""
    port: int = 0
    affinity_seconds: float = 0.0  # of lab time; 0: each connection is on its own


def key(item: Json) -> str:
    """`namespace/name` of an object."""
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"


class ServiceTable:
    """What the two watches have reported so far."""

    def __init__(self) -> None:
        self._services: dict[str, Json] = {}
        self._slices: dict[str, Json] = {}

    def set_services(self, items: Iterable[Json]) -> None:
        """Replace all Services (the start of a watch)."""
        self._services = {key(i): i for i in items}

    def set_slices(self, items: Iterable[Json]) -> None:
        """Replace all EndpointSlices (the start of a watch)."""
        self._slices = {key(i): i for i in items}

    def put(self, item: Json) -> None:
        """Add or replace one object."""
        self._of(item)[key(item)] = item

    def drop(self, item: Json) -> None:
        """Remove one object."""
        self._of(item).pop(key(item), None)

    def services(self) -> tuple[Json, ...]:
        """All Services, whatever their type."""
        return tuple(self._services.values())

    def frontends(self) -> dict[str, Frontend]:
        """`{"namespace/service:port": Frontend}` for all Services that have an address."""
        slices: dict[str, list[Json]] = {}
        for item in self._slices.values():
            owner = (item["metadata"].get("labels") or {}).get(_OWNER, "")
            slices.setdefault(f"{item['metadata']['namespace']}/{owner}", []).append(item)
        return {
            f"{name}:{port['port']}": Frontend(
                _endpoints(slices.get(name, []), port.get("name", "")),
                service["spec"]["clusterIP"],
                int(port["port"]),
                _affinity(service["spec"]),
            )
            for name, service in self._services.items()
            if has_address(service["spec"])
            for port in service["spec"].get("ports") or []
            if port.get("protocol", "TCP") == "TCP"
        }

    def _of(self, item: Json) -> dict[str, Json]:
        return self._services if item.get("kind") == "Service" else self._slices


def has_address(spec: Json) -> bool:
    """Whether a Service has an IP of its own: one that is headless or ExternalName has none."""
    return spec.get("type") != "ExternalName" and spec.get("clusterIP") not in {None, "", "None"}


def _affinity(spec: Json) -> float:
    if spec.get("sessionAffinity") != "ClientIP":
        return 0.0
    client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return float(client.get("timeoutSeconds") or _AFFINITY_SECONDS)


def _endpoints(slices: Iterable[Json], port_name: str) -> tuple[Endpoint, ...]:
    ready: dict[Endpoint, None] = {}
    ending: dict[Endpoint, None] = {}
    for item in slices:
        ports = [p["port"] for p in item.get("ports") or [] if (p.get("name") or "") == port_name]
        for endpoint in item.get("endpoints") or []:
            state = endpoint.get("conditions") or {}
            found = dict.fromkeys((endpoint["addresses"][0], int(p)) for p in ports if p)
            if state.get("ready", True):
                ready |= found
            elif state.get("serving") and state.get("terminating"):
                ending |= found
    return tuple(ready or ending)
