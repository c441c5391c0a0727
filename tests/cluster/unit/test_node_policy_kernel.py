"""The rules in a real kernel: pods in network namespaces of their own, in one user namespace, with nft.

pytest starts this file as a program in the new namespaces: it makes the pods, applies each text that it gets,
and tries the connections. Needs nft, ip and unshare.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import shutil
import socket
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from localcluster import spawn
from localcluster.node.policy.compile import ruleset
from localcluster.node.policy.pods import NamedPort, Pod
from localcluster.node.policy.reading import read
from tests.cluster.unit.policy_world import NAMESPACES, NODE, Policy, pod, policy

DB = pod(2, "shop", ports=(NamedPort("http", "tcp", 8000),), app="db")
WEB, LOAD = pod(3, "shop", app="web"), pod(4, "bench", app="load")
PODS = (DB, WEB, LOAD)
SERVICE = "10.96.0.9"
TO_DB = f"""
table ip services {{
  chain there {{
    type nat hook prerouting priority dstnat;
    ip daddr {SERVICE} tcp dport 80 dnat to {DB.ip}:8000
  }}
  chain back {{
    type nat hook postrouting priority srcnat;
    ip saddr {DB.ip} ip daddr {DB.ip} masquerade
  }}
}}
"""
PORTS = (8000, 9000)
TRIES = [
    (one, other, port)
    for one, other, port in (
        (WEB.ip, DB.ip, 8000),
        (WEB.ip, DB.ip, 9000),
        (WEB.ip, SERVICE, 80),
        (WEB.ip, LOAD.ip, 8000),
        (LOAD.ip, DB.ip, 8000),
        (LOAD.ip, SERVICE, 80),
        (LOAD.ip, WEB.ip, 8000),
        (LOAD.ip, NODE, 8000),
        (DB.ip, SERVICE, 80),
        (NODE, DB.ip, 9000),
    )
]
INSIDE = ["unshare", "--user", "--map-root-user", "--net", "--fork", "--kill-child"]


def missing() -> str:
    programs = [name for name in ("nft", "ip", "unshare") if not shutil.which(name)]
    if programs:
        return f"needs {' and '.join(programs)} on PATH"
    probe = [
        *INSIDE,
        "sh",
        "-c",
        "echo 1 >/proc/sys/net/ipv4/ip_forward && ip link add probe type veth && nft list tables",
    ]
    done = spawn.run(probe)
    return f"no network of our own here: {done.stderr.strip()}" if done.returncode else ""


LACKS = missing()


@pytest.mark.skipif(bool(LACKS), reason=LACKS)
def test_the_kernel_lets_through_what_the_policies_allow() -> None:
    on_db = {"podSelector": {"matchLabels": {"app": "db"}}}
    allow = policy({**on_db, "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": "http"}]}]})
    silent = policy({"podSelector": {}, "policyTypes": ["Egress"]}, namespace="bench")
    texts = [text([]), text([allow]), text([allow, silent]), "table ip labkit-policy { nonsense }", text([])]
    done = spawn.run(
        [*INSIDE, sys.executable, "-m", "tests.cluster.unit.test_node_policy_kernel"],
        stdin=json.dumps([TO_DB, *texts]),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        seconds=100,
    )
    assert done.returncode == 0, done.stderr
    _, *found = [(not failed, denied(tried)) for failed, tried in json.loads(done.stdout)]
    ingress = {(WEB.ip, DB.ip, 9000), (LOAD.ip, DB.ip, 8000), (LOAD.ip, SERVICE, 80)}
    egress = {(LOAD.ip, WEB.ip, 8000), (LOAD.ip, NODE, 8000)}
    assert found == [
        (True, set()),
        (True, ingress),
        (True, ingress | egress),
        (False, ingress | egress),
        (True, set()),
    ]


def text(policies: Iterable[Policy]) -> str:
    return ruleset([read(p) for p in policies], PODS, NAMESPACES)


def denied(tried: list[str]) -> set[tuple[str, str, int]]:
    """The connections that timed out; the others must have been made."""
    assert set(tried) <= {"connected", "timed out"}, list(zip(TRIES, tried, strict=True))
    return {ends for ends, outcome in zip(TRIES, tried, strict=True) if outcome == "timed out"}


def lab() -> list[tuple[str, list[str]]]:
    """Make the pods; then for each text what nft said, and which connections came about."""
    ip("link set lo up", f"addr add {NODE}/32 dev lo")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    listeners = [listen(port) for port in PORTS]
    inside = {one.ip: start(one) for one in PODS}
    outcomes = []
    for rules in json.load(sys.stdin):
        said = spawn.run(["nft", "-f", "-"], stdin=rules).stderr
        for source, pipe in inside.items():  # all at once: they wait for their timeouts together
            pipe.send([to for one, *to in TRIES if one == source])
        of = {source: iter(pipe.recv()) for source, pipe in inside.items()}
        of[NODE] = iter([connect(to) for one, *to in TRIES if one == NODE])
        tried = [next(of[source]) for source, *_ in TRIES]
        outcomes.append((said, tried))
    for listener in listeners:
        listener.close()
    return outcomes


def start(one: Pod) -> Connection:
    """Fork a pod and give it its network; its end of the pipe takes addresses and ports to try."""
    ours, its = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=live, args=(its, one.ip), daemon=True)
    child.start()
    ours.recv()  # it has its namespace
    link = f"veth{one.ip.rpartition('.')[2]}"
    ip(f"link add {link} mtu 1500 type veth peer name eth0 netns {child.pid}", f"link set {link} up")
    ip(f"route add {one.ip}/32 dev {link} src {NODE}")
    ours.send(None)
    ours.recv()  # it listens
    return ours


def live(pipe: Connection, address: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x40000000):  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "unshare")
    pipe.send(None)
    pipe.recv()
    ip("link set lo up", f"addr add {address}/32 dev eth0", "link set eth0 up")
    ip(f"route add {NODE}/32 dev eth0", f"route add default via {NODE}")
    listeners = [listen(port) for port in PORTS]
    pipe.send(None)
    with ThreadPoolExecutor() as pool:
        while listeners:
            pipe.send(list(pool.map(connect, pipe.recv())))


def listen(port: int) -> socket.socket:
    return socket.create_server(("", port), backlog=100)  # the kernel accepts; nobody has to read


def connect(to: Sequence[Any]) -> str:
    address, port = to
    try:
        socket.create_connection((address, port), timeout=1.5).close()
    except TimeoutError:
        return "timed out"
    except OSError as error:
        return str(error)
    return "connected"


def ip(*commands: str) -> None:
    for command in commands:
        done = spawn.run(["ip", *command.split()])
        if done.returncode:
            raise OSError(f"ip {command}: {done.stderr}")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(lab()))
