"""The simulated machines of a lab that runs, switched off and on.

A machine that is switched off goes silent, as one that lost its power: its containers end at once, its Node
object stays, and the control plane has to find out by itself. That takes 50 real seconds without a heartbeat
(`--node-monitor-grace-period`), whatever CLOCK says. Refuses names that the lab does not know.
"""

from __future__ import annotations

from dataclasses import replace

from labkit import _wait
from labkit.errors import BadInput
from labkit.node import leftovers
from labkit.node.config import TAKEN_UP, AgentConfig
from labkit.providers.embedded.api import Api
from labkit.providers.embedded.layout import Layout

SECONDS = 60.0
NODES = "/api/v1/nodes"


def stop(layout: Layout, name: str) -> None:
    """Cut a machine's power; returns once its containers are gone."""
    config = _config(layout)
    _known(config, name)
    tell(layout, replace(config, off=tuple(sorted({*config.off, name}))))
    _silent(layout, name)


def start(layout: Layout, name: str) -> None:
    """Give a machine its power back; returns once it is Ready."""
    config = _config(layout)
    _known(config, name)
    tell(layout, replace(config, off=tuple(node for node in config.off if node != name)))
    _ready(layout, name)


def restore(layout: Layout) -> list[str]:
    """Switch on whatever is off; the names of those that were."""
    config = _config(layout)
    tell(layout, replace(config, off=()))
    for name in config.off:
        _ready(layout, name)
    return list(config.off)


def _config(layout: Layout) -> AgentConfig:
    layout.load()  # says how to start a lab where there is none
    return AgentConfig.load(layout.dir / "node.json")


def _names(config: AgentConfig) -> list[str]:
    return [node.name for node in config.nodes]


def _known(config: AgentConfig, name: str) -> None:
    if name not in _names(config):
        raise BadInput(f"There is no node called {name!r}.", fix=f"There are: {', '.join(_names(config))}.")


def tell(layout: Layout, config: AgentConfig) -> None:
    """Hand the node agent its new orders; it ends, and the next one takes them up."""
    path = layout.dir / "node.json"
    if AgentConfig.load(path) == config:
        return
    config.save(path)
    taken = layout.dir / TAKEN_UP
    _wait.until(
        lambda: taken.exists() and AgentConfig.load(taken) == config,
        "the node agent to take up its new orders",
        seconds=SECONDS,
    )


def _silent(layout: Layout, name: str) -> None:
    def gone() -> bool:
        return not any(pod.node == name for pod in leftovers.found(layout.dir))

    _wait.until(gone, f"the containers of {name} to end", seconds=SECONDS)


def _ready(layout: Layout, name: str) -> None:
    with Api(layout, layout.load()[1]) as api:

        def ready() -> bool:
            node = api.get(f"{NODES}/{name}") or {}
            conditions = node.get("status", {}).get("conditions", [])
            return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

        _wait.until(ready, f"node {name} to be Ready", seconds=SECONDS, every=0.2)
