"""Which network a lab gets on this machine: tried once, before anything of it is created.

`forward` has the real kube-proxy. Without nf_tables it is `own`: ClusterIPs are local addresses, and our own
balancer listens on each. Without isolation the lab has no network of its own: `loopback`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from localcluster import spawn, stored
from localcluster.errors import ProviderError
from localcluster.layout import Layout
from localcluster.netns import furnish, holder, plan
from localcluster.netns.probe import Answer
from localcluster.provider import Report
from localcluster.toolchain import namespaces
from localcluster.toolchain.locate import bwrap

LOOPBACK = "loopback"
OLDEST = (1, 0, 1)
"""The oldest nft that kube-proxy takes."""

FILE = "network.json"


@dataclass(frozen=True)
class Network:
    """The kind, the programs that write its rules and make its namespace, and what is lacking, in words."""

    services: str = furnish.FORWARD
    nft: str = "nft"
    bwrap: str = "bwrap"
    lacks: str = ""

    @property
    def own(self) -> bool:
        """Whether the lab has a namespace."""
        return self.services != LOOPBACK

    @property
    def prometheus(self) -> str:
        """Where Prometheus listens in the lab."""
        return plan.PROMETHEUS if self.own else "127.0.0.1"


def choose(isolation: str, ours: Path) -> Network:
    """The best that this machine can carry; raises `ProviderError` if it can't carry a lab's own network.

    `ours` is the nft that was built with the control plane; one on PATH is preferred if it works.
    """
    if isolation == "none":
        return Network(LOOPBACK)
    found = shutil.which("nft")
    known = [found] if found and _recent(found) else []
    for nft in (*known, str(ours)):
        answer = _asked(nft)
        if not answer.rules:
            break
    if answer.network:
        raise _refusal(answer.network)
    if answer.rules:
        lacks = f"nf_tables does not work here ({answer.rules}): Services are TCP only, no policy is enforced"
        return Network(furnish.OWN, nft, str(bwrap()), lacks)
    lacks = f"a pod can't reach itself through its Service ({answer.hairpin})" if answer.hairpin else ""
    return Network(furnish.FORWARD, nft, str(bwrap()), lacks)


def _refusal(lacks: str) -> ProviderError:
    if low := namespaces.low_limits():
        cause = f"Its limits are too low: {', '.join(f'{name} is {value}' for name, value in low.items())}."
        fix = f"Raise them, until the next boot: {namespaces.raised(low)}\n  {namespaces.OPEN}"
    elif said := namespaces.refused():
        cause, fix = namespaces.explained(said)
    else:
        cause = "The kernel lacks it, or this container may not use it."
        fix = (
            "Load the module (sudo modprobe veth), or use a virtual machine or a container that may do this."
        )
        fix += f"\n  {namespaces.OPEN}"
    return ProviderError(
        f"A lab can't have a network of its own on this machine: {lacks}.", cause=cause, fix=fix
    )


def save(layout: Layout, network: Network, report: Report) -> None:
    """Remember it for `status`, and say what is lacking."""
    stored.save(layout.dir / FILE, network)
    if network.lacks:
        report(f"network: {network.lacks}")


def load(layout: Layout) -> Network | None:
    """What `save` wrote; None before the first start."""
    return stored.find(layout.dir / FILE, Network)


def _recent(nft: str) -> bool:
    """Whether it is new enough for kube-proxy (https://kubernetes.io/docs/reference/networking/virtual-ips)."""
    said = re.search(r"nftables v(\d+)\.(\d+)\.(\d+)", spawn.run([nft, "--version"], seconds=20).stdout)
    return said is not None and tuple(map(int, said.groups())) >= OLDEST


def _asked(nft: str) -> Answer:
    argv = holder.new(str(bwrap()), "localcluster.netns.probe", nft)
    done = spawn.run(argv, seconds=60, env=dict(os.environ))
    try:
        return Answer(**json.loads(done.stdout))
    except (ValueError, TypeError):
        words = (done.stderr.strip().splitlines() or [f"the probe ended with status {done.returncode}"])[-1]
        return Answer(network=re.sub("^bwrap:", "user namespaces:", words))
