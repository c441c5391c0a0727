"""What one rung showed of the scenario: plain values, so that they can be kept, compared and printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcluster import stored
from localcluster.api.objects import KubeObject

CLOSE = 0.05
"""Policies whose attainment lies closer together than this share one rank: the seed alone moves it as far."""


@dataclass(frozen=True)
class Observed:
    """One policy on one rung. Times are lab seconds; None where the thing did not happen."""

    policy: str
    steps: tuple[int, ...]
    """The replica counts on the way up, the first one included."""
    attainment: float
    """Share of the requests whose first token came within the promise."""
    figures: Mapping[str, float | None]
    """Numbers by name, such as `ttft p95`: see `scenario.figures`."""
    failures: Mapping[str, int] = field(default_factory=dict)
    events: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """All policies on one rung."""

    provider: str
    stamp: str
    seed: int
    policies: tuple[Observed, ...]

    def save(self, path: Path) -> Path:
        """Write it as JSON."""
        stored.save(path, self, indent=1, mode=0o644)
        return path

    @classmethod
    def load(cls, path: Path) -> Run:
        """Read what `save` wrote."""
        return stored.load(path, cls)

    @property
    def ranks(self) -> str:
        """The policies, best first; those that share a rank in alphabetical order: `queue > cpu = static`."""
        ordered = sorted(self.policies, key=lambda p: -p.attainment)
        groups: list[list[Observed]] = []
        for one in ordered:
            if groups and groups[-1][0].attainment - one.attainment < CLOSE:
                groups[-1].append(one)
            else:
                groups.append([one])
        return " > ".join(" = ".join(sorted(p.policy for p in group)) for group in groups)


def events_of(items: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Which reasons appeared on which kind of object: `Pod Warning Unhealthy`."""
    return tuple(sorted({f"{i['involvedObject']['kind']} {i['type']} {i['reason']}" for i in items}))


def conditions_of(objects: Iterable[KubeObject]) -> tuple[str, ...]:
    """How the conditions of each kind of object stand: `HorizontalPodAutoscaler ScalingLimited=True …`."""
    found = set()
    for one in objects:
        for condition in one.at("status.conditions") or []:
            reason = condition.get("reason") or ""
            found.add(f"{one.kind} {condition['type']}={condition['status']} {reason}".rstrip())
    return tuple(sorted(found))
