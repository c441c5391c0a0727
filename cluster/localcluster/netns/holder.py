"""`python -m localcluster.netns.holder LAB_DIR SERVICES NFT`: makes the lab's network, and holds it.

If it was killed, the next one joins the namespace in which the lab's other processes still are. A lab whose
processes are all gone gets a new one.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from localcluster import setns
from localcluster.netns.plan import COREDNS, GATEWAY, SERVICES
from localcluster.netns.rtnl import Netlink
from localcluster.netns.rules import HAIRPIN, apply
from localcluster.spawn import Proc
from localcluster.stored import write_atomically

COMPONENT = "network"
READY = "network.ready"
"""In the lab's folder: exists once the namespace can be joined."""

FORWARD, OWN = "forward", "own"
"""What becomes of packets to ClusterIPs: kube-proxy's rules forward them, or a process listens on each."""


def pid_of(lab_dir: Path) -> int:
    """A process in the lab's namespace, by which others join it; raises `ProcessLookupError`."""
    proc = Proc.load(lab_dir / "run" / f"{COMPONENT}.json")
    if proc is None or not proc.alive():
        raise ProcessLookupError(f"the network of {lab_dir} is not held by any process")
    return proc.pid


def furnish(services: str) -> None:
    """The lab's own links, in a new network namespace."""
    with Netlink() as net:
        net.up("lo")
        net.address("lo", GATEWAY)
        net.address("lo", COREDNS)
        if services == OWN:
            net.own(SERVICES, "lo")
            return
        # On `lo` the lab's own processes would not hear that a Service without endpoints refuses.
        net.veth("svc0", "svc1")
        net.up("svc0")
        net.up("svc1")
        net.route(SERVICES, "svc0", source=GATEWAY)


def _others(lab_dir: Path) -> Iterator[int]:
    """Processes of this lab that are in another user namespace than we: in its network."""
    here = Path("/proc/self/ns/user").stat().st_ino
    for path in sorted((lab_dir / "run").glob("*.json")):
        proc = Proc.load(path)
        if proc is None or not proc.alive():
            continue
        with contextlib.suppress(OSError, psutil.Error):
            for pid in (proc.pid, *(child.pid for child in psutil.Process(proc.pid).children())):
                if Path(f"/proc/{pid}/ns/user").stat().st_ino != here:
                    yield pid


def main(arguments: list[str]) -> int:
    """Make or join the namespace, then become a process that sleeps."""
    lab_dir, services, nft = Path(arguments[0]), *arguments[1:]
    for pid in _others(lab_dir):
        with contextlib.suppress(OSError), setns.namespaces_of(pid) as (user, net):
            setns.join(user, net)
            break
    else:
        setns.new_user()
        setns.unshare(setns.NEW_NET)
        furnish(services)
        if services == FORWARD and (said := apply(nft, HAIRPIN)):
            sys.stderr.write(f"hairpin rule: {said}\n")
    write_atomically(lab_dir / READY, "")
    os.execvp("sleep", ["sleep", "infinity"])  # noqa: S606 - there is no shell


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
