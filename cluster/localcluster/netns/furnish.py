"""`python -P -m localcluster.netns.furnish LAB_DIR SERVICES NFT`: a lab's own links and rules.

Started by `holder.py` in a new namespace. Then it becomes a process that sleeps, which holds the namespace.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from localcluster.netns import sysctls
from localcluster.netns.plan import COREDNS, GATEWAY, SERVICES
from localcluster.netns.rtnl import Netlink
from localcluster.netns.rules import HAIRPIN, apply

READY = "network.ready"
"""In the lab's folder, once the namespace can be joined: the holder's pid, and when it was born."""

FORWARD, OWN = "forward", "own"
"""What becomes of packets to ClusterIPs: kube-proxy's rules forward them, or a process listens on each."""


def links(services: str) -> None:
    """Make them, in a new network namespace."""
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


def born(pid: int) -> str:
    """When a process started, in the kernel's ticks; raises `OSError` if it does not run."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    if fields[0] in "ZX":
        raise ProcessLookupError(f"{pid} has ended")
    return fields[19]


def hold(lab_dir: Path) -> NoReturn:
    """Say who holds the namespace, and sleep."""
    fresh = lab_dir / f"{READY}.new"
    fresh.write_text(f"{os.getpid()} {born(os.getpid())}")
    fresh.replace(lab_dir / READY)
    os.execvp("sleep", ["sleep", "infinity"])  # noqa: S606 - there is no shell


def main(arguments: list[str]) -> NoReturn:
    """All of it."""
    lab_dir, services, nft = arguments
    links(services)
    sysctls.as_in_pods()  # for pods on their node's network, whose root binds port 80 elsewhere
    if services == FORWARD and (said := apply(nft, HAIRPIN)):
        sys.stderr.write(f"hairpin rule: {said}\n")
    hold(Path(lab_dir))


if __name__ == "__main__":
    main(sys.argv[1:])
