"""What an HPA asks for: bounds, targets, tolerances and scaling rules, as the controller sees them.

Reads the object as the API server stores it (or a manifest: the server's defaults are filled in here too).
Amounts are integers in thousandths, as the controller counts; utilization is in per cent. It does not
validate objects: the API server has better messages for that.
https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#configurable-scaling-behavior
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from localcluster import clock as cluster_clock
from localcluster.quantities import amount


@dataclass(frozen=True)
class Controller:
    """The controller manager's flags, in seconds; Kubernetes 1.37's defaults.

    https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/
    """

    sync: float = cluster_clock.HPA_SYNC
    tolerance: float = 0.1
    downscale_stabilization: float = cluster_clock.DOWNSCALE_STABILIZATION
    readiness_delay: float = cluster_clock.INITIAL_READINESS_DELAY
    cpu_initialization: float = cluster_clock.CPU_INITIALIZATION

    def compressed(self, clock: float) -> Controller:
        """The flags as a lab with this clock runs them: every duration in real seconds."""
        return Controller(
            sync=self.sync / clock,
            tolerance=self.tolerance,
            downscale_stabilization=self.downscale_stabilization / clock,
            readiness_delay=self.readiness_delay / clock,
            cpu_initialization=self.cpu_initialization / clock,
        )


@dataclass(frozen=True)
class Target:
    """One entry of `spec.metrics`. `kind` is Utilization (`amount` in per cent), AverageValue or Value.

    It is empty where the entry says nothing that the controller could use; the API server accepts that.
    """

    source: str
    name: str
    kind: str
    amount: int
    container: str = ""

    @property
    def per_pod(self) -> bool:
        """Whether every pod has a number of its own."""
        return self.source not in {"Object", "External"}


@dataclass(frozen=True)
class Step:
    """One policy of a scaling rule: at most this many `Pods` or `Percent` in `period` seconds."""

    kind: str
    value: int
    period: int


@dataclass(frozen=True)
class Rules:
    """One direction of `behavior`. A `window` of None means the controller manager's flag."""

    window: int | None
    select: str
    steps: tuple[Step, ...]
    tolerance: float | None = None

    def stretched(self, clock: float) -> Rules:
        """The same rules with every duration times the clock."""
        steps = tuple(replace(step, period=round(step.period * clock)) for step in self.steps)
        window = None if self.window is None else round(self.window * clock)
        return replace(self, steps=steps, window=window)

    @property
    def longest(self) -> int:
        """The longest period of its policies."""
        return max((step.period for step in self.steps), default=0)


@dataclass(frozen=True)
class Behavior:
    """Both directions, filled in: if either is given, the server completes the other."""

    up: Rules
    down: Rules


@dataclass(frozen=True)
class Policy:
    """Everything that decides; no `behavior` means different rules from a `behavior` with all defaults."""

    minimum: int
    maximum: int
    targets: tuple[Target, ...]
    behavior: Behavior | None = None

    @classmethod
    def of(cls, hpa: Mapping[str, Any]) -> Policy:
        """Read an `autoscaling/v2` object; omitted fields get the API server's defaults."""
        spec = hpa["spec"]
        behavior = spec.get("behavior")
        return cls(
            minimum=spec.get("minReplicas", 1),
            maximum=spec["maxReplicas"],
            targets=tuple(_target(metric) for metric in spec.get("metrics") or ()) or (CPU_DEFAULT,),
            behavior=None if behavior is None else _behavior(behavior),
        )

    def tolerances(self, controller: Controller) -> tuple[float, float]:
        """How far the ratio can be (under, over) 1 before anything changes."""
        if self.behavior is None:
            return controller.tolerance, controller.tolerance
        down, up = self.behavior.down.tolerance, self.behavior.up.tolerance
        fallback = controller.tolerance
        return fallback if down is None else down, fallback if up is None else up

    def with_target(self, amount: float) -> Policy:
        """The same HPA with another target for its (only) metric: requests per pod, or % of the request."""
        (target,) = self.targets
        scale = 1 if target.kind == "Utilization" else 1000
        return replace(self, targets=(replace(target, amount=round(amount * scale)),))

    def stretched(self, clock: float) -> Policy:
        """The same rules in lab seconds, if `behavior` was applied in a lab's real seconds."""
        if self.behavior is None:
            return self
        up, down = self.behavior.up.stretched(clock), self.behavior.down.stretched(clock)
        return replace(self, behavior=Behavior(up, down))

    @property
    def reads_from_outside(self) -> bool:
        """Whether a metric exists without any pod: only then can it scale a Deployment up from zero."""
        return any(not target.per_pod for target in self.targets)


CPU_DEFAULT = Target("Resource", "cpu", "Utilization", 80)
UP = Rules(window=0, select="Max", steps=(Step("Pods", 4, 15), Step("Percent", 100, 15)))
"""What the server fills in for scaling up, as soon as there is any `behavior`."""
DOWN = Rules(window=None, select="Max", steps=(Step("Percent", 100, 15),))


def thousandths(text: str | float) -> int:
    """A Kubernetes quantity in thousandths, rounded up as the API does: `12500m` is 12500, `5` is 5000."""
    return math.ceil(amount(text) * 1000)


def _target(metric: Mapping[str, Any]) -> Target:
    source = metric["type"]
    field = metric[source[0].lower() + source[1:]]
    name = field["name"] if "name" in field else field["metric"]["name"]
    kind = _kind(source, field["target"])
    given = field["target"].get(_FIELDS[kind]) if kind else None
    wanted = int(given or 0) if kind == "Utilization" else thousandths(given or 0)
    return Target(source, name, kind, wanted, field.get("container", ""))


_FIELDS = {"Utilization": "averageUtilization", "AverageValue": "averageValue", "Value": "value"}


def _kind(source: str, target: Mapping[str, Any]) -> str:
    """By the field that is set, as the controller does: only for an Object does `type` have to agree."""
    if source == "Object":
        kind = target.get("type", "")
        return kind if kind in {"Value", "AverageValue"} and target.get(_FIELDS[kind]) is not None else ""
    possible = {"External": ("AverageValue", "Value"), "Pods": ("AverageValue",)}
    order = possible.get(source, ("AverageValue", "Utilization"))
    return next((kind for kind in order if target.get(_FIELDS[kind]) is not None), "")


def _behavior(written: Mapping[str, Any]) -> Behavior:
    return Behavior(
        up=_rules(written.get("scaleUp") or {}, UP), down=_rules(written.get("scaleDown") or {}, DOWN)
    )


def _rules(written: Mapping[str, Any], default: Rules) -> Rules:
    policies = written.get("policies")
    steps = tuple(Step(p["type"], p["value"], p["periodSeconds"]) for p in policies or ())
    tolerance = written.get("tolerance")
    return Rules(
        window=written.get("stabilizationWindowSeconds", default.window),
        select=written.get("selectPolicy", default.select),
        steps=default.steps if policies is None else steps,
        tolerance=None if tolerance is None else thousandths(tolerance) / 1000,
    )
