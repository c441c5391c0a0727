"""Links, addresses and routes, made by the kernel of this host in a namespace of the test."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from localcluster.netns.rtnl import MTU, Netlink
from tests.cluster.unit.netns_world import REFUSED, Fresh, descriptors, usable

pytestmark = pytest.mark.skipif(not usable(), reason=REFUSED)


@pytest.fixture(scope="module")
def fresh() -> Iterator[Fresh]:
    with Fresh() as worker:
        yield worker


def _pair() -> dict[str, tuple[bool, int, list[str]]]:
    """Each link: whether it is up, its MTU, its IPv4 addresses."""
    with Netlink() as net:
        net.veth("one", "other")
        net.address("one", "10.1.2.3")
        net.address("one", "10.1.2.3")  # as often as you like
        net.address("one", "10.1.2.4")
        net.up("one")
        net.up("other")
    stats, addresses = psutil.net_if_stats(), psutil.net_if_addrs()
    return {
        name: ("up" in stats[name].flags, stats[name].mtu, _ipv4(addresses.get(name, [])))
        for name in ("one", "other")
    }


def _ipv4(found: list[Any]) -> list[str]:
    return [f"{a.address}/{a.netmask}" for a in found if a.family == socket.AF_INET]


def test_a_pair_of_links_has_addresses_and_the_largest_packets(fresh: Fresh) -> None:
    both = ["10.1.2.3/255.255.255.255", "10.1.2.4/255.255.255.255"]
    assert fresh.call(_pair) == {"one": (True, MTU, both), "other": (True, MTU, [])}


def _routes() -> list[str]:
    with Netlink() as net:
        net.up("lo")
        net.veth("one", "other")
        net.up("one")
        net.up("other")
        net.address("lo", "10.1.0.1")
        net.route("10.2.0.0/16", "one", source="10.1.0.1")
        net.route("10.3.0.7", "lo")
        net.route("10.3.0.7", "other")  # takes its place
        net.route("10.9.0.1", "one")
        net.route("0.0.0.0/0", "one", via="10.9.0.1")
    lines = [line.split() for line in Path("/proc/thread-self/net/route").read_text().splitlines()[1:]]
    return sorted(f"{_ip(to)}/{_ip(mask)} {_ip(via)} {name}" for name, to, via, _, _, _, _, mask, *_ in lines)


def _ip(text: str) -> str:
    return socket.inet_ntoa(bytes.fromhex(text)[::-1])


def test_routes_lead_to_a_link_or_through_a_neighbour(fresh: Fresh) -> None:
    assert fresh.call(_routes) == [
        "0.0.0.0/0.0.0.0 10.9.0.1 one",
        "10.2.0.0/255.255.0.0 0.0.0.0 one",
        "10.3.0.7/255.255.255.255 0.0.0.0 other",
        "10.9.0.1/255.255.255.255 0.0.0.0 one",
    ]


def _bound() -> tuple[str, str]:
    """An address of the network that is our own, and one next to it."""
    with Netlink() as net:
        net.up("lo")
        net.own("10.96.0.0/16", "lo")
    with socket.create_server(("10.96.200.7", 80)) as server, socket.create_connection(("10.96.200.7", 80)):
        client, _ = server.accept()
        client.close()
    with socket.socket() as sock, pytest.raises(OSError, match="Cannot assign") as refused:
        sock.bind(("10.97.0.1", 80))
    return server.family.name, str(refused.value)


def test_every_address_of_an_own_network_can_be_listened_on(fresh: Fresh) -> None:
    family, refused = fresh.call(_bound)
    assert family == "AF_INET"
    assert "Cannot assign requested address" in refused


def _refused() -> list[str]:
    said, before = [], descriptors()
    with Netlink() as net:
        net.veth("one", "other")
        calls: tuple[Callable[[], None], ...] = (
            lambda: net.veth("one", "third"),
            lambda: net.veth("a-name-of-sixteen", "third"),
            lambda: net.up("nowhere"),
            lambda: net.address("nowhere", "10.1.1.1"),
            lambda: net.address("one", "10.1.1.300"),
            lambda: net.route("0.0.0.0/0", "one", via="10.77.0.1"),
            lambda: net.veth("two", "third", 0),
        )
        for refused in calls:
            try:
                refused()
            except OSError as error:
                said.append(str(error.strerror or error))
    assert descriptors() == before
    return said


def test_what_the_kernel_refuses_is_an_error_with_its_reason(fresh: Fresh) -> None:
    assert fresh.call(_refused) == [
        "File exists",
        "Numerical result out of range",
        "no interface with this name",
        "no interface with this name",
        "illegal IP address string passed to inet_aton",
        "Network is unreachable",
        "Invalid argument",  # standard input is no network namespace
    ]
