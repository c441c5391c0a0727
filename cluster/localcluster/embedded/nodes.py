"""Turns the simulated machines of a running lab off and on.

A machine that is turned off just stops reporting: its containers end at once, its Node object stays, and the
control plane has to notice by itself. That takes 50 real seconds without a heartbeat
(`--node-monitor-grace-period`), whatever CLOCK says. Refuses names that the lab does not know.
"""

from __future__ import annotations

from dataclasses import replace

from localcluster import polling
from localcluster.api.client import Api
from localcluster.api.objects import KubeObject
from localcluster.embedded import admin
from localcluster.errors import BadInput
from localcluster.layout import Layout
from localcluster.node import leftovers
from localcluster.node.config import TAKEN_UP, AgentConfig

SECONDS = 60.0
NODES = "/api/v1/nodes"


def stop(layout: Layout, name: str) -> None:
    """Turn a machine off; returns once its containers are gone."""
    config = _config(layout)
    _known(config, name)
    tell(layout, replace(config, off=tuple(sorted({*config.off, name}))))
    _silent(layout, name)


def start(layout: Layout, name: str) -> None:
    """Turn a machine on; returns once it is Ready."""
    config = _config(layout)
    _known(config, name)
    tell(layout, replace(config, off=tuple(node for node in config.off if node != name)))
    _ready(layout, name)


def restore(layout: Layout) -> list[str]:
    """Turn on all machines that are off; returns their names."""
    config = _config(layout)
    tell(layout, replace(config, off=()))
    for name in config.off:
        _ready(layout, name)
    return list(config.off)


def _config(layout: Layout) -> AgentConfig:
    layout.load()  # raises, with the fix, if there is no lab
    return AgentConfig.load(layout.dir / "node.json")


def _names(config: AgentConfig) -> list[str]:
    return [node.name for node in config.nodes]


def _known(config: AgentConfig, name: str) -> None:
    if name not in _names(config):
        raise BadInput(f"There is no node called {name!r}.", fix=f"There are: {', '.join(_names(config))}.")


def tell(layout: Layout, config: AgentConfig) -> None:
    """Write the node agent's new configuration; the agent ends, and the next one reads it."""
    path = layout.dir / "node.json"
    if AgentConfig.load(path) == config:
        return
    config.save(path)
    taken = layout.dir / TAKEN_UP
    polling.until(
        lambda: taken.exists() and AgentConfig.load(taken) == config,
        "the node agent to read its new configuration",
        seconds=SECONDS,
    )


def _silent(layout: Layout, name: str) -> None:
    def gone() -> bool:
        return not any(pod.node == name for pod in leftovers.found(layout.dir))

    polling.until(gone, f"the containers of {name} to end", seconds=SECONDS)


def _ready(layout: Layout, name: str) -> None:
    api = Api(layout.kubeconfig)

    def ready() -> bool:
        return KubeObject(admin.get(api, f"{NODES}/{name}") or {}).is_true("Ready")

    polling.until(ready, f"node {name} to be Ready", seconds=SECONDS, every=0.2)
