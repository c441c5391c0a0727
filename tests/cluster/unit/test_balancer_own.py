"""The balancer in a lab's own network, without nf_tables: it listens on the Services' addresses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from localcluster.netns import furnish
from localcluster.netns.rtnl import Netlink
from localcluster.node.network.balancer import Balancer
from localcluster.node.network.service_table import Frontend
from tests.cluster.unit.netns_world import REFUSED, Fresh, usable

pytestmark = pytest.mark.skipif(not usable(), reason=REFUSED)
WEB, DB = "shop/web:80", "shop/db:5432"
IP, OTHER, POD = "10.96.0.7", "10.96.200.1", "10.244.1.2"
Scenario = Callable[[Balancer], Coroutine[Any, Any, list[str]]]


@pytest.fixture(scope="module")
def fresh() -> Iterator[Fresh]:
    with Fresh() as worker:
        yield worker


def balanced(folder: Path, scenario: Scenario) -> tuple[list[str], list[str]]:
    """What clients of a balancer were told, in a network with one pod; and the files that it wrote."""

    async def run() -> list[str]:
        pod = await asyncio.start_server(answer, POD, 8000)
        with Balancer(folder, clock=15, own=True) as balancer:
            said = await scenario(balancer)
        pod.close()
        return said

    furnish.links(furnish.OWN)
    with Netlink() as net:
        net.address("lo", POD)
    return asyncio.run(run()), [path.name for path in folder.iterdir()]


async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(f"{writer.get_extra_info('sockname')[0]}".encode())
    writer.close()


async def ask(ip: str, port: int) -> str:
    try:
        reader, writer = await asyncio.open_connection(ip, port)
    except OSError as error:
        return type(error).__name__
    try:
        return (await reader.read()).decode()
    except OSError as error:
        return type(error).__name__
    finally:
        writer.close()


def web(*endpoints: tuple[str, int], ip: str = IP) -> dict[str, Frontend]:
    return {WEB: Frontend(endpoints, ip, 80)}


async def _services(balancer: Balancer) -> list[str]:
    balancer.sync(web((POD, 8000)) | {DB: Frontend(((POD, 8001),), OTHER, 5432)})
    said = [await ask(IP, 80), await ask(OTHER, 80), await ask(OTHER, 5432)]
    balancer.sync(web())
    said += [await ask(IP, 80)]
    balancer.sync(web((POD, 8000)))
    said += [await ask(IP, 80)]
    balancer.sync({})
    return [*said, await ask(IP, 80)]


def test_it_listens_on_a_services_own_address_while_it_has_endpoints(fresh: Fresh, tmp_path: Path) -> None:
    refused = "ConnectionRefusedError"
    said, written = fresh.call(balanced, tmp_path, _services)
    assert said == [POD, refused, "ConnectionResetError", refused, POD, refused]
    assert written == []  # its addresses are in the API


async def _moved(balancer: Balancer) -> list[str]:
    balancer.sync(web((POD, 8000)))
    balancer.sync(web((POD, 8000), ip=OTHER))
    return [await ask(IP, 80), await ask(OTHER, 80)]


def test_a_service_that_was_made_again_answers_at_its_new_address(fresh: Fresh, tmp_path: Path) -> None:
    assert fresh.call(balanced, tmp_path, _moved)[0] == ["ConnectionRefusedError", POD]
