"""The seconds in an HPA's `behavior` and in a ScaledObject, which no flag reaches, divided by CLOCK."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from localcluster.api.objects import KubeObject
from localcluster.clock import check

# https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#default-behavior
_DEFAULT_POLICIES = {
    "scaleUp": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
    "scaleDown": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}

# https://keda.sh/docs/latest/reference/scaledobject-spec/
_KEDA = {"pollingInterval": 30, "cooldownPeriod": 300, "initialCooldownPeriod": 0}
"""A ScaledObject's seconds, with KEDA's defaults."""


@dataclass(frozen=True)
class Change:
    """One duration of an applied object that was divided by CLOCK."""

    field: str
    lab_seconds: int
    real_seconds: int

    def __str__(self) -> str:
        return f"{self.field}: {self.lab_seconds} s → {self.real_seconds} s"


def compress(obj: dict[str, Any], *, clock: float) -> tuple[dict[str, Any], list[Change]]:
    """Divide the seconds in an HPA's `behavior` and in a ScaledObject by CLOCK; other kinds pass.

    They are whole seconds in the API (at least 1; 0 stays 0), so at CLOCK=15 a period of 15 s becomes 1 s and
    so does one of 10 s. What a `behavior` or a ScaledObject leaves out is written down first, or the API
    server and KEDA would take production's seconds. Returns a copy and what was changed in it.
    """
    check(clock)
    if clock == 1 or obj.get("kind") not in {"HorizontalPodAutoscaler", "ScaledObject"}:
        return obj, []
    result = copy.deepcopy(obj)
    spec = result.get("spec")
    if not isinstance(spec, dict):
        return obj, []
    if obj["kind"] == "HorizontalPodAutoscaler":
        return result, _behavior(spec, "spec", clock)
    changes = []
    for field, seconds in _KEDA.items():
        spec.setdefault(field, seconds)
        changes += _divide(spec, field, clock=clock, path="spec")
    made = KubeObject(spec).at("advanced.horizontalPodAutoscalerConfig")
    if isinstance(made, dict):
        changes += _behavior(made, "spec.advanced.horizontalPodAutoscalerConfig", clock)
    return result, changes


def _behavior(holder: dict[str, Any], path: str, clock: float) -> list[Change]:
    """Divide the seconds in the `behavior` of an HPA's spec, or of what KEDA makes one of."""
    behavior = holder.get("behavior") or {}
    if not isinstance(behavior, dict):
        return []
    _fill_in(behavior)
    changes = []
    for direction, rules in sorted(behavior.items()):
        place = f"{path}.behavior.{direction}"
        changes += _divide(rules, "stabilizationWindowSeconds", clock=clock, path=place)
        for i, policy in enumerate((rules or {}).get("policies") or []):
            changes += _divide(policy, "periodSeconds", clock=clock, path=f"{place}.policies[{i}]")
    return changes


def _fill_in(behavior: dict[str, Any]) -> None:
    """Write down the policies that the API server would put into a `behavior` that says something."""
    for direction, policies in _DEFAULT_POLICIES.items() if behavior else ():
        rules = behavior.setdefault(direction, {})
        if isinstance(rules, dict) and rules.get("policies") is None:
            rules["policies"] = copy.deepcopy(policies)


def _divide(rules: Any, field: str, *, clock: float, path: str) -> list[Change]:
    seconds = rules.get(field) if isinstance(rules, dict) else None
    if not isinstance(seconds, int) or isinstance(seconds, bool) or seconds <= 0:
        return []  # absent, zero, or wrong: the API server has better words for what is wrong
    real = max(1, round(seconds / clock))
    rules[field] = real
    if real == seconds:
        return []
    return [Change(f"{path}.{field}", seconds, real)]
