"""An inference gateway in the what-if model: how often its picker looks, whom it prefers, what it holds.

Refuses plugins that the model has no notion of.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit import course
from labkit.errors import BadInput
from localcluster.gateway import read

LOOK = 0.05
"""Real seconds between two looks of the picker at all servers."""
SCORERS = ("queue-scorer", "running-requests-size-scorer")
DETECTOR = "utilization-detector"


@dataclass(frozen=True)
class Gateway:
    """A picker's settings. `look`: lab seconds between two looks; `depth`: queueDepthThreshold.

    Without `depth` nothing is held. `weights` are those of the queue's and of the running requests' scorer.
    """

    look: float
    depth: float | None = None
    weights: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def of(cls, file: str | Path, *, clock: float = 1.0) -> Gateway:
        """Read an EndpointPickerConfig; raises `BadInput` for what the model has no notion of."""
        config = read(course.path(file).read_text())
        plugins = {one.get("name", one["type"]): one for one in config.get("plugins", [])}
        profiles = config.get("schedulingProfiles", [])
        given = [one for profile in profiles for one in profile.get("plugins", [])]
        weights = {_type(plugins, one["pluginRef"]): float(one.get("weight", 1)) for one in given}
        if unknown := sorted(weights.keys() - set(SCORERS)):
            raise BadInput(
                f"The what-if model has no {', '.join(unknown)}.", fix=f"It knows {' and '.join(SCORERS)}."
            )
        queue, running = (weights.get(name, 0.0) for name in SCORERS)
        return cls(LOOK * clock, _depth(config, plugins), (queue, running))


def _depth(config: dict[str, Any], plugins: dict[str, dict[str, Any]]) -> float | None:
    if "flowControl" not in config.get("featureGates", []):
        return None
    name = config.get("saturationDetector", {}).get("pluginRef", "")
    if name and (kind := _type(plugins, name)) != DETECTOR:
        raise BadInput(f"The what-if model has no {kind}.", fix=f"It knows {DETECTOR}.")
    return float(plugins.get(name, {}).get("parameters", {}).get("queueDepthThreshold", 5))


def _type(plugins: dict[str, dict[str, Any]], name: str) -> str:
    if name not in plugins:
        raise BadInput(f"There is no plugin called {name!r}.", fix="List it under `plugins`, with its type.")
    return str(plugins[name]["type"])
