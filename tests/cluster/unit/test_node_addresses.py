"""What a node gives to its pods and takes back: each thing once, and only from its owner."""

from __future__ import annotations

from localcluster.node.network.ports import PodIPs


def test_an_address_is_given_back_by_its_owner_alone() -> None:
    ips = PodIPs(1)
    ip = ips.take("a")
    assert ips.release(ip, "a")
    for _ in range(252):
        ips.take("others")
    assert ips.take("b") == ip  # the turn has come round
    assert not ips.release(ip, "a")  # its first owner is deleted only now
    assert ips.release(ip, "b")


def test_addresses_are_given_in_turn() -> None:
    ips = PodIPs(4)
    first = ips.take("a")
    ips.release(first, "a")
    assert ips.take("b") != first  # it may still stand in an EndpointSlice


def test_what_pods_show_already_is_given_to_nobody() -> None:
    ips = PodIPs(2)
    ips.restore("10.244.2.2", "old")
    ips.restore("10.244.2.3", "older")
    assert ips.take("new") == "10.244.2.4"
    assert not ips.release("10.244.2.2", "new")
