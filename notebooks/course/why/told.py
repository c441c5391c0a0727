"""What the HPA's controller says of its last sync: the status of the HPA, as a record.

Reads objects that anybody may have written: what is missing or of the wrong type is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from course.hpa.audit import mapping
from course.hpa.policy import Policy, Target, thousandths
from course.why.snapshot import listed, moment
from labkit.doctor.facts import Condition

BOUNDS = {"TooManyReplicas", "TooFewReplicas"}
RATES = {"ScaleUpLimit", "ScaleDownLimit"}
WINDOWS = {"ScaleUpStabilized", "ScaleDownStabilized"}
NONE = Condition("", "")


@dataclass(frozen=True)
class Told:
    """`usages` are those of the policy's targets (thousandths, or per cent), None where it says none.

    `desired` is what a sync left behind, `current` what it found. `digest` differs if the status does.
    """

    current: int
    desired: int
    able: Condition = NONE
    active: Condition = NONE
    limited: Condition = NONE
    zero: bool = False
    usages: tuple[int | None, ...] = ()
    scaled: float | None = None
    digest: str = ""

    @property
    def looked(self) -> bool:
        """Whether the controller has looked at the HPA at all."""
        return bool(self.able.type or self.active.type)

    @property
    def unable(self) -> bool:
        """Whether it could not read or write the target's scale."""
        return self.able.status == "False"

    @property
    def inactive(self) -> bool:
        """Whether it could not, or would not, compute a number."""
        return self.active.status == "False"

    @property
    def rescaled(self) -> bool:
        """Whether this sync changed the replicas."""
        return self.able.reason == "SucceededRescale"

    @property
    def computed(self) -> bool:
        """Whether this sync computed a number from metrics: only then are the conditions about it."""
        return any(usage is not None for usage in self.usages)

    @property
    def window(self) -> str:
        """The stabilization that it names; empty if none, or if another message took its place."""
        return self.able.reason if self.able.reason in WINDOWS else ""

    @property
    def limit(self) -> str:
        """The limit that it names: a rate or a bound; empty if there was none."""
        reason = self.limited.reason
        return reason if self.limited.status == "True" and reason in BOUNDS | RATES else ""


def told(hpa: Mapping[str, Any], policy: Policy) -> Told:
    """The status of an HPA."""
    status = mapping(hpa.get("status"))
    found = {c.type: c for c in (_condition(raw) for raw in listed(status.get("conditions")))}
    return Told(
        current=_whole(status.get("currentReplicas")),
        desired=_whole(status.get("desiredReplicas")),
        able=found.get("AbleToScale", NONE),
        active=found.get("ScalingActive", NONE),
        limited=found.get("ScalingLimited", NONE),
        zero=found.get("ScaledToZero", NONE).status == "True",
        usages=_usages(policy, listed(status.get("currentMetrics"))),
        scaled=moment(status.get("lastScaleTime")),
        digest=json.dumps(status, sort_keys=True, default=str),
    )


def _condition(raw: Any) -> Condition:
    texts = {key: str(mapping(raw).get(key) or "") for key in ("type", "status", "reason", "message")}
    return Condition(**texts)


def _usages(policy: Policy, found: list[Any]) -> tuple[int | None, ...]:
    """One for each target: the controller keeps the order of the spec, and leaves failed ones empty."""
    if len(found) != len(policy.targets):
        return tuple(None for _ in policy.targets)
    return tuple(_usage(target, mapping(raw)) for target, raw in zip(policy.targets, found, strict=True))


def _usage(target: Target, raw: Mapping[str, Any]) -> int | None:
    source = target.source[0].lower() + target.source[1:]
    current = mapping(mapping(raw.get(source)).get("current"))
    field = {"Utilization": "averageUtilization", "AverageValue": "averageValue", "Value": "value"}
    value = current.get(field.get(target.kind, ""))
    if value is None or raw.get("type") != target.source:
        return None
    try:
        return int(value) if target.kind == "Utilization" else thousandths(value)
    except (ValueError, TypeError):
        return None


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
