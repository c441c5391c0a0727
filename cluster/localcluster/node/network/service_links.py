"""The environment variables for the Services that existed when a container started.

The kubelet's and Docker's names, for every Service of the namespace that has a cluster IP, and always for
`default/kubernetes`. They show the API's addresses; nowadays programs use a Service's name instead.
https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from localcluster.api import Json
from localcluster.api.asynchronous import Api, Listed
from localcluster.node.network.service_table import API_SERVER, ServiceTable, has_address, key

SERVICES = "/api/v1/services"


class Services:
    """The Services of the cluster, from one watch for all nodes of an agent."""

    def __init__(self) -> None:
        self._table = ServiceTable()
        self._listed = asyncio.Event()

    async def follow(self, api: Api) -> None:
        """Keep up to date; never returns."""
        async for event in api.watch(SERVICES):
            if isinstance(event, Listed):
                self._table.set_services(event.items)
                self._listed.set()
            elif event.type == "DELETED":
                self._table.drop({"kind": "Service", **event.object})
            else:
                self._table.put({"kind": "Service", **event.object})

    async def links(self, pod: Json) -> dict[str, str]:
        """The variables for a container that starts now; waits for the first list."""
        await self._listed.wait()
        enabled = pod["spec"].get("enableServiceLinks", True)
        namespace = pod["metadata"]["namespace"]
        found: dict[str, str] = {}
        for service in self._table.services():
            own = enabled and service["metadata"]["namespace"] == namespace
            if has_address(service["spec"]) and (own or key(service) == API_SERVER):
                found |= variables(service)
        return found


def variables(service: Json) -> dict[str, str]:
    """The variables of one Service.

    >>> port = {"name": "http", "port": 8000}
    >>> spec = {"clusterIP": "10.96.0.7", "ports": [port]}
    >>> found = variables({"metadata": {"name": "my-llm"}, "spec": spec})
    >>> found["MY_LLM_SERVICE_PORT_HTTP"], found["MY_LLM_PORT"]
    ('8000', 'tcp://10.96.0.7:8000')
    """
    prefix, ports = _upper(service["metadata"]["name"]), service["spec"].get("ports") or []
    if not ports:
        return {}
    ip = service["spec"]["clusterIP"]
    found = {f"{prefix}_SERVICE_HOST": ip, f"{prefix}_SERVICE_PORT": str(ports[0]["port"])}
    for port in ports:
        if port.get("name"):
            found[f"{prefix}_SERVICE_PORT_{_upper(port['name'])}"] = str(port["port"])
    found[f"{prefix}_PORT"] = _url(ip, ports[0])
    for port in ports:
        found |= dict(_as_docker(prefix, ip, port))
    return found


def _as_docker(prefix: str, ip: str, port: Json) -> Iterator[tuple[str, str]]:
    protocol = port.get("protocol") or "TCP"
    name = f"{prefix}_PORT_{port['port']}_{protocol.upper()}"
    yield name, _url(ip, port)
    yield f"{name}_PROTO", protocol.lower()
    yield f"{name}_PORT", str(port["port"])
    yield f"{name}_ADDR", ip


def _url(ip: str, port: Json) -> str:
    host = f"[{ip}]" if ":" in ip else ip
    return f"{(port.get('protocol') or 'TCP').lower()}://{host}:{port['port']}"


def _upper(name: str) -> str:
    return name.replace("-", "_").upper()
