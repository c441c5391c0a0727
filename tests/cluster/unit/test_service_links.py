"""Which variables a container gets for the Services around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

from localcluster.api.asynchronous import Api, Change, Listed
from localcluster.node.network.service_links import Services, variables


def service(name: str, namespace: str = "ns", **spec: Any) -> dict[str, Any]:
    whole = {"clusterIP": "10.96.0.7", "ports": [{"name": "http", "port": 8000, "protocol": "TCP"}], **spec}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": whole}


def test_every_name_that_the_kubelet_and_docker_give() -> None:
    ports = [{"name": "grpc-web", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    assert variables(service("my-llm", ports=ports)) == {
        "MY_LLM_SERVICE_HOST": "10.96.0.7",
        "MY_LLM_SERVICE_PORT": "80",
        "MY_LLM_SERVICE_PORT_GRPC_WEB": "80",
        "MY_LLM_SERVICE_PORT_DNS": "53",
        "MY_LLM_PORT": "tcp://10.96.0.7:80",
        "MY_LLM_PORT_80_TCP": "tcp://10.96.0.7:80",
        "MY_LLM_PORT_80_TCP_PROTO": "tcp",
        "MY_LLM_PORT_80_TCP_PORT": "80",
        "MY_LLM_PORT_80_TCP_ADDR": "10.96.0.7",
        "MY_LLM_PORT_53_UDP": "udp://10.96.0.7:53",
        "MY_LLM_PORT_53_UDP_PROTO": "udp",
        "MY_LLM_PORT_53_UDP_PORT": "53",
        "MY_LLM_PORT_53_UDP_ADDR": "10.96.0.7",
    }


def test_a_port_without_a_name_and_an_address_of_version_6() -> None:
    found = variables(service("a", clusterIP="fd00::7", ports=[{"port": 1}]))
    assert "A_SERVICE_PORT_" not in " ".join(found)
    assert found["A_PORT"] == "tcp://[fd00::7]:1"


class Told:
    """An API whose watch tells what it is handed, then stays silent."""

    def __init__(self, *items: dict[str, Any], then: tuple[Change, ...] = ()) -> None:
        self._events: list[Listed | Change] = [Listed(items), *then]

    async def watch(self, _path: str) -> AsyncIterator[Listed | Change]:
        for event in self._events:
            yield event


def links(told: Told, *, enabled: bool | None = None) -> dict[str, str]:
    async def scenario() -> dict[str, str]:
        services = Services()
        await services.follow(cast("Api", told))
        spec = {} if enabled is None else {"enableServiceLinks": enabled}
        return await services.links({"metadata": {"namespace": "ns"}, "spec": spec})

    return asyncio.run(scenario())


KUBERNETES = service("kubernetes", "default", ports=[{"name": "https", "port": 443}])


def test_only_services_of_the_namespace_that_have_an_address() -> None:
    told = Told(
        KUBERNETES,
        service("here"),
        service("elsewhere", "other"),
        service("headless", clusterIP="None"),
        service("outside", clusterIP="", type="ExternalName", ports=[]),
        service("not-yet", clusterIP=""),
        service("default-other", "default"),
        then=(Change("DELETED", service("here")), Change("ADDED", service("later"))),
    )
    hosts = {name for name in links(told) if name.endswith("_SERVICE_HOST")}
    assert hosts == {"KUBERNETES_SERVICE_HOST", "LATER_SERVICE_HOST"}


def test_without_service_links_the_api_servers_own_stay() -> None:
    found = links(Told(KUBERNETES, service("here")), enabled=False)
    assert found["KUBERNETES_PORT_443_TCP_ADDR"] == "10.96.0.7"
    assert all(name.startswith("KUBERNETES_") for name in found)
