"""In whatever order pods come and go, a node gives each address, port and GPU to one pod at a time.

Random orders by hypothesis, on the agent's own books and real files; the seeds are fixed (tests/conftest.py).
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from localcluster.gpus.device import devices_of
from localcluster.gpus.inventory import Inventory, NoFreeGpu
from localcluster.gpus.sharing import WHOLE, Sharing
from localcluster.node.network.addresses import AddressBook
from localcluster.node.network.networks import Loopback
from localcluster.node.network.ports import PodIPs, Ports

HOSTS = 253  # 10.244.1.2 to .254
UIDS = st.uuids(version=4).map(str)


class Addresses(RuleBasedStateMachine):
    """Pods of one node, and agents one after the other; only `held` survives an agent, as records do."""

    holding = Bundle("holding")
    over = Bundle("over")

    def __init__(self) -> None:
        super().__init__()
        self.ips = PodIPs(1)
        self.held: dict[str, str] = {}  # address -> uid

    @rule(target=holding, uids=st.lists(UIDS, min_size=1, max_size=90, unique=True))
    def come(self, uids: list[str]) -> Any:
        return multiple(*(pod for uid in uids if (pod := self._come(uid))))

    def _come(self, uid: str) -> tuple[str, str] | None:
        if len(self.held) == HOSTS:
            with pytest.raises(OSError, match="no free address"):
                self.ips.take(uid)
            return None
        ip = self.ips.take(uid)
        assert ip not in self.held
        self.held[ip] = uid
        return ip, uid

    @rule(target=over, pod=consumes(holding))
    def go(self, pod: tuple[str, str]) -> tuple[str, str]:
        assert self.ips.release(*pod)
        del self.held[pod[0]]
        return pod

    @rule(pod=over)
    def go_again(self, pod: tuple[str, str]) -> None:
        """A finished pod is deleted: its address may be another's by now."""
        assert not self.ips.release(*pod)

    @rule()
    def agent_dies(self) -> None:
        self.ips = PodIPs(1)
        for ip, uid in self.held.items():
            self.ips.restore(ip, uid)


class Gpus(RuleBasedStateMachine):
    """Containers of one node with four GPUs, whole or shared, and agents one after the other."""

    holding = Bundle("holding")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.held: dict[str, tuple[str, ...]] = {}
        self.inventory = self._agent()

    def _agent(self) -> Inventory:
        made = Inventory(self.folder)
        made.add(devices_of(lab="lab", node="n", count=4, product="NVIDIA-L4", memory_mib=23034))
        made.recall("n")
        made.restore(self.held)
        return made

    def teardown(self) -> None:
        for holder in self.held:
            self.inventory.release(holder)
        ill = [d for d in self.inventory.devices("n") if self.inventory.illness(d.uuid)]
        assert len(self.inventory.free("n")) == 4 - len(ill)
        shutil.rmtree(self.folder)

    @rule(target=holding, uid=UIDS, count=st.integers(1, 5))
    def come(self, uid: str, count: int) -> Any:
        free = {d.uuid for d in self.inventory.free("n")}
        try:
            given = self.inventory.allocate(uid, node="n", count=count)
        except NoFreeGpu:
            assert len(free) < count
            assert self.inventory.held(uid) == ()
            return multiple()
        assert len(set(given)) == count
        assert free.issuperset(given)
        assert self.inventory.allocate(uid, node="n", count=count) == given  # asked again, the same
        self.held[uid] = given
        return uid

    @rule(uid=consumes(holding))
    def go(self, uid: str) -> None:
        self.inventory.release(uid)
        self.inventory.release(uid)
        del self.held[uid]

    @rule(replicas=st.sampled_from([1, 2, 3]))
    def share(self, replicas: int) -> None:
        before = self.inventory.sharing("n")
        wanted = Sharing(replicas=replicas) if replicas > 1 else WHOLE
        assert self.inventory.divide("n", wanted) == (not self.held or wanted == before)

    @rule(index=st.integers(0, 3), ill=st.booleans())
    def health(self, index: int, *, ill: bool) -> None:
        device = self.inventory.devices("n")[index].uuid
        if ill:
            self.inventory.fail(device, "Xid 79")
        else:
            self.inventory.heal(device)

    @rule()
    def agent_dies(self) -> None:
        self.inventory = self._agent()

    @invariant()
    def nothing_is_shared_that_is_whole(self) -> None:
        most = self.inventory.sharing("n").replicas
        assert max(Counter(gpu for gpus in self.held.values() for gpu in gpus).values(), default=0) <= most
        assert {uid: self.inventory.held(uid) for uid in self.held} == self.held


class LoopbackPorts(RuleBasedStateMachine):
    """Containers of a lab without isolation, whose ports are ports of this machine, and its agents."""

    holding = Bundle("holding")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.networks = Loopback(self.folder)
        self.held: list[dict[str, str]] = []

    def teardown(self) -> None:
        for taken in self.held:
            self.networks.release(taken.values())
        assert self.networks._ports._taken == set()
        shutil.rmtree(self.folder)

    @rule(target=holding, declared=st.lists(st.integers(1, 65535) | st.just(80), max_size=4))
    def come(self, declared: list[int]) -> dict[str, str]:
        taken = self.networks.ports("10.244.1.2", declared)
        assert taken.keys() == {str(port) for port in declared}
        self.held.append(taken)
        return taken

    @rule(taken=consumes(holding))
    def go(self, taken: dict[str, str]) -> None:
        self.networks.release(taken.values())
        self.held = [each for each in self.held if each is not taken]

    @rule()
    def agent_dies(self) -> None:
        self.networks = Loopback(self.folder)
        for taken in self.held:
            self.networks.adopt("uid", "10.244.1.2", {"main": taken}, [])

    @invariant()
    def no_port_is_given_twice(self) -> None:
        given = [address for taken in self.held for address in taken.values()]
        assert len(set(given)) == len(given)


class Book(RuleBasedStateMachine):
    """What the agent publishes is what a balancer with a book of its own finds, at every moment."""

    IPS = st.sampled_from(["10.244.1.2", "10.244.1.3"])
    PORTS = st.dictionaries(st.integers(1, 3), st.integers(22000, 22004).map("127.0.0.1:{}".format))

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.agent, self.balancer = AddressBook(self.folder), AddressBook(self.folder)
        self.published: dict[str, dict[int, str]] = {}

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(ip=IPS, ports=PORTS)
    def publish(self, ip: str, ports: dict[int, str]) -> None:
        self.agent.publish(ip, ports)
        self.published[ip] = ports

    @rule(ip=IPS)
    def withdraw(self, ip: str) -> None:
        self.agent.withdraw(ip)
        self.published.pop(ip, None)

    @rule(ips=st.sets(IPS))
    def agent_dies(self, ips: set[str]) -> None:
        self.agent = AddressBook(self.folder)
        self.agent.retain(ips)
        self.published = {ip: ports for ip, ports in self.published.items() if ip in ips}

    @rule(ip=IPS, port=st.integers(1, 3))
    def look_up(self, ip: str, port: int) -> None:
        wanted = self.published.get(ip, {}).get(port)
        found = self.balancer.lookup(ip, port)
        assert (found and f"{found[0]}:{found[1]}") == wanted


MANY = settings(max_examples=30, stateful_step_count=25)
TestAddresses, TestGpus = Addresses.TestCase, Gpus.TestCase
TestLoopbackPorts, TestBook = LoopbackPorts.TestCase, Book.TestCase
TestAddresses.settings = TestGpus.settings = TestLoopbackPorts.settings = TestBook.settings = MANY


def test_where_ports_run_out_none_stays_taken() -> None:
    ports = Ports(range(22_000, 22_003))
    taken = ports.take(1)
    with pytest.raises(OSError, match=r"between 22000 and 22003 on .*: 2 of 3"):
        ports.take(3)
    assert sorted(taken + ports.take(2)) == [22_000, 22_001, 22_002]
