"""The seconds in an HPA's `behavior`, which no flag of the control plane reaches, divided by CLOCK."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from localcluster.clock import check

# https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#default-behavior
_DEFAULT_POLICIES = {
    "scaleUp": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
    "scaleDown": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}


@dataclass(frozen=True)
class Change:
    """One duration of an applied object that was divided by CLOCK."""

    field: str
    lab_seconds: int
    real_seconds: int

    def __str__(self) -> str:
        return f"{self.field}: {self.lab_seconds} s → {self.real_seconds} s"


def compress(obj: dict[str, Any], *, clock: float) -> tuple[dict[str, Any], list[Change]]:
    """Divide the seconds in an HPA's `behavior` by CLOCK (at least 1 s; 0 stays 0); other kinds pass.

    `periodSeconds` and `stabilizationWindowSeconds` are whole seconds in the API, so at CLOCK=15 a period of
    15 s becomes 1 s and so does one of 10 s. Policies that a `behavior` leaves out are written down first, or
    the API server would fill them in with periods of production. Returns a copy and what was changed in it.
    """
    check(clock)
    if obj.get("kind") != "HorizontalPodAutoscaler" or clock == 1:
        return obj, []
    result, changes = copy.deepcopy(obj), []
    behavior = (result.get("spec") or {}).get("behavior") or {}
    if isinstance(behavior, dict):
        _fill_in(behavior)
    for direction, rules in sorted(behavior.items() if isinstance(behavior, dict) else ()):
        path = f"spec.behavior.{direction}"
        changes += _divide(rules, "stabilizationWindowSeconds", clock=clock, path=path)
        for i, policy in enumerate((rules or {}).get("policies") or []):
            changes += _divide(policy, "periodSeconds", clock=clock, path=f"{path}.policies[{i}]")
    return result, changes


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
    return [Change(f"{path}.{field}", seconds, real)]
