"""KWOK, an optional part of a lab: acts as the kubelets of simulated nodes.

Started for a thousand nodes, supervised like every other part, stopped with the lab. It can only change nodes
with the label `type=kwok`, and their pods; see data/kwok/rbac.yaml for its permissions.
https://kwok.sigs.k8s.io
"""

from __future__ import annotations

from pathlib import Path

from localcluster.api.client import Api
from localcluster.data import DATA
from localcluster.embedded import admin, optional
from localcluster.embedded.component import Component
from localcluster.layout import Layout
from localcluster.toolchain import ladder

NAME = "kwok"
LEASE_SECONDS = 120
"""Renewed four times in that time: 33 requests a second for 1,000 nodes, and sooner than any grace ends."""


def component(layout: Layout, binary: Path) -> Component:
    """The process as a record."""
    return Component(
        name=NAME,
        argv=(
            str(binary),
            f"--config={DATA / 'kwok' / 'stages.yaml'}",
            f"--kubeconfig={layout.kubeconfig_of(NAME)}",
            "--manage-nodes-with-label-selector=type=kwok",
            f"--node-lease-duration-seconds={LEASE_SECONDS}",
            "--v=WARN",
        ),
        needs=("kube-apiserver",),
        # It would read the user's own configuration from there.
        env={"KWOK_WORKDIR": str(layout.dir / NAME), "GOGC": "100"},
        why="simulates the kubelets of nodes that don't exist (simulated: those nodes and their pods)",
    )


def start(layout: Layout) -> None:
    """Add it to what the supervisor runs; safe to repeat."""
    binary = ladder.ensure([NAME])[NAME]
    admin.apply(Api(layout.kubeconfig), [(DATA / "kwok" / "rbac.yaml").read_text()])
    optional.add(layout, [component(layout, binary)])


def stop(layout: Layout) -> None:
    """Remove it, and wait until it is gone; safe to repeat."""
    optional.remove(layout, [NAME])
