"""A ScaledObject: what KEDA's operator does between 0 and 1, what holds it back, and when the HPA decides.

Read as JSON, without KEDA's own types; written against KEDA 2.21. Pure.
https://keda.sh/docs/latest/reference/scaledobject-spec/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from course.hpa.audit import mapping
from course.why import keda_wrong
from course.why.explain import STATUS, Explanation
from course.why.snapshot import listed, moment
from localcluster.api.objects import KubeObject

COOLDOWN, POLLING, MOST = 300, 30, 100
"""KEDA's defaults: seconds, seconds, replicas."""
_PAUSE, FORCED = "autoscaling.keda.sh/paused", "autoscaling.keda.sh/force-activation"
_FALSE = {"false", "0", "f", "F", "FALSE", "False"}  # what Go takes for false; anything else pauses

_ASLEEP = frozenset({"NotActive", "Deactivated"})
_NOT_NOW = frozenset({"BeingDeleted", "NotLookedYet", "TriggerError"})
"""Where what its triggers say is not the matter."""


@dataclass(frozen=True)
class Scaled:
    """A ScaledObject with KEDA's defaults filled in; times are Unix times, periods seconds."""

    raw: KubeObject

    def number(self, path: str, default: int) -> int:
        """A whole number at a path of the object."""
        found = self.raw.at(path)
        return found if isinstance(found, int) and not isinstance(found, bool) else default

    @property
    def minimum(self) -> int:
        """MinReplicaCount."""
        return self.number("spec.minReplicaCount", 0)

    @property
    def idle(self) -> int | None:
        """idleReplicaCount; None if that mode is off."""
        found = self.number("spec.idleReplicaCount", -1)
        return None if found < 0 else found

    @property
    def hpa(self) -> str:
        """The name of the HPA that KEDA makes."""
        named = self.raw.at("spec.advanced.horizontalPodAutoscalerConfig.name")
        return str(self.raw.at("status.hpaName") or named or f"keda-hpa-{self.raw.name}")

    @property
    def triggers(self) -> str:
        """Its triggers, with what activates them; nothing else of them, which may be secret."""
        said = []
        for raw in listed(self.raw.at("spec.triggers")):
            trigger = mapping(raw)
            above = {k: v for k, v in mapping(trigger.get("metadata")).items() if k.startswith("activation")}
            limit = "".join(f", {key} {value}" for key, value in sorted(above.items()))
            said.append(f"{trigger.get('type', 'a trigger')}{limit}")
        return "; ".join(said) or "none"

    def paused(self, way: str = "") -> bool:
        """Whether the annotation `paused`, or `paused-` and a direction, is set and not false."""
        return self.annotated(f"{_PAUSE}-{way}" if way else _PAUSE)

    def annotated(self, name: str) -> bool:
        """Whether an annotation is set to something that KEDA takes for true."""
        value = self.raw.annotations.get(name)
        return value is not None and value not in _FALSE

    def condition(self, kind: str) -> Mapping[str, Any]:
        """A condition of that type; empty if there is none."""
        return self.raw.condition(kind) or {}


class Said(NamedTuple):
    """A reason, its sentence, and what mends it."""

    reason: str
    why: str
    fix: str = ""


def explain(raw: Mapping[str, Any], *, current: int | None, now: float) -> Explanation:
    """Why KEDA does, or does not, change the target at this moment; `current` is its number of replicas."""
    so = Scaled(KubeObject(raw))
    said = _stopped(so, current) or _broken(so) or _own(so, current, now) or _hpa_decides(so, current)
    if (wrong := keda_wrong.trigger(so.raw, asleep=said.reason in _ASLEEP)) and said.reason not in _NOT_NOW:
        said = Said(said.reason, f"{said.why} {wrong.cause}", said.fix or wrong.fix)
    unknown = [] if current is not None else ["the target's number of replicas"]
    if said.reason not in {"HpaDecides", "Paused", "PausedReplicas", "BeingDeleted"}:
        unknown.append("the values that the triggers returned: KEDA keeps only whether one was active")
        unknown.append(
            f"when KEDA asked last: it does so every {so.number('spec.pollingInterval', POLLING)} s"
        )
    about = f"scaledobject/{so.raw.name}"
    return Explanation(now, about, current, current, said.reason, said.why, STATUS, tuple(unknown), said.fix)


def _stopped(so: Scaled, current: int | None) -> Said | None:
    """Paused, or on its way out."""
    if so.raw.at("metadata.deletionTimestamp"):
        return Said(
            "BeingDeleted",
            "It is being deleted: KEDA's operator deletes its HPA, then takes its finalizer off.",
            "if it does not end, see whether keda-operator runs: only it can finish this",
        )
    replicas = so.raw.annotations.get(f"{_PAUSE}-replicas")
    off = f"kubectl annotate scaledobject {so.raw.name} {_PAUSE}"
    if replicas is not None:
        at = "" if str(current) == replicas else f", which it has not reached yet (it has {current})"
        return Said(
            "PausedReplicas", f"Paused at {replicas} replicas by an annotation{at}.", f"{off}-replicas-"
        )
    if so.paused():
        stays = "its replicas" if current is None else f"{current} replicas"
        why = f"Paused by an annotation: the target keeps {stays}, and KEDA takes the HPA away."
        return Said("Paused", why, f"{off}-")
    return None


def _broken(so: Scaled) -> Said | None:
    """The operator could not look, or a trigger could not answer."""
    ready = so.condition("Ready")
    if ready.get("status") not in {"True", "False"}:
        why = "Nothing is decided yet: KEDA's operator has not looked at this ScaledObject."
        return Said(
            "NotLookedYet", why, "see whether keda-operator runs, and whether it watches this namespace"
        )
    failing = "; ".join(
        f"{name} failed {mapping(health).get('numberOfFailures', '?')} times"
        for name, health in sorted(mapping(so.raw.at("status.health")).items())
        if mapping(health).get("status") == "Failing"
    )
    if so.condition("Fallback").get("status") == "True":
        count, limit = (so.number(f"spec.fallback.{key}", 0) for key in ("replicas", "failureThreshold"))
        how = so.raw.at("spec.fallback.behavior") or "static"
        why = (
            f"Falls back to {count} replicas (behavior {how}): {failing or 'a trigger failed'}, "
            f"more than the threshold of {limit}."
        )
        return Said(
            "Fallback", why, "mend the trigger: its error is in the events and in keda-operator's log"
        )
    if ready.get("status") == "True":
        return None
    message = str(ready.get("message") or ready.get("reason"))
    why = f"KEDA does nothing: {message}{failing and f' ({failing})'}."
    found = keda_wrong.cure(message)
    return Said(str(ready.get("reason") or "NotReady"), f"{why} {found.cause}".rstrip(), found.fix)


def _own(so: Scaled, current: int | None, now: float) -> Said | None:
    """What the operator itself does: from 0 (or idle) up, and down to it; None where the HPA decides."""
    if current is None:
        return None
    if so.condition("Active").get("status") == "True" or so.annotated(FORCED):
        return _wake(so, current)
    if so.idle is None and so.minimum > 0:
        why = f"{current} → {so.minimum}: no trigger is active, and minReplicaCount is {so.minimum}."
        return Said("BelowMinimum", why) if current < so.minimum else None
    if current <= (so.idle or 0):
        why = f"Stays at {current}: no trigger is active ({so.triggers})."
        return Said("NotActive", why)
    return _cool(so, current, now)


def _wake(so: Scaled, current: int) -> Said | None:
    if current > 0 and (so.idle is None or current >= so.minimum):
        return None
    if so.paused("scale-out"):
        return Said("PausedScaleOut", f"Stays at {current}: scaling out is paused by an annotation.")
    to = max(1, so.minimum)
    return Said(
        "Activated", f"{current} → {to}: a trigger is active, so KEDA wakes the target at its next poll."
    )


def _cool(so: Scaled, current: int, now: float) -> Said:
    if so.paused("scale-in"):
        return Said("PausedScaleIn", f"Stays at {current}: scaling in is paused by an annotation.")
    last = moment(so.raw.at("status.lastActiveTime"))
    if last is not None:
        period, word = so.number("spec.cooldownPeriod", COOLDOWN), "cooldownPeriod"
        since = f"{now - last:.0f} s since a trigger was last active"
    else:
        period, word = so.number("spec.initialCooldownPeriod", 0), "initialCooldownPeriod"
        last = moment(so.raw.at("metadata.creationTimestamp")) or now
        since = f"{now - last:.0f} s since it was created, without any active trigger"
    if now - last < period:
        why = f"Stays at {current}: no trigger is active; it is {since}, of a {word} of {period} s."
        return Said("Cooldown", why)
    why = f"{current} → {so.idle or 0}: no trigger is active; it is {since}, over the {word} of {period} s."
    return Said("Deactivated", why)


def _hpa_decides(so: Scaled, current: int | None) -> Said:
    most = so.number("spec.maxReplicaCount", MOST)
    stands = "" if current is None else f", now {current}"
    why = f"Between {max(1, so.minimum)} and {most} replicas{stands}, hpa/{so.hpa} decides."
    told = so.condition("HPAActive")
    if told.get("status") == "False":
        why += (
            f" It can't at the moment ({told.get('reason')}); Ready of the ScaledObject is about KEDA only."
        )
    return Said("HpaDecides", why)
