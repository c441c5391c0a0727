"""One question asked of one cluster: an HPA alone, or a ScaledObject with the HPA that KEDA made for it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from course.why import access, keda, past
from course.why.access import Notes
from course.why.explain import Explanation
from course.why.flags import Flags
from course.why.follow import Follower, new
from course.why.keda import Scaled
from course.why.questions import GROUPS, SERVERS
from course.why.reader import Reader
from labkit.errors import BadInput, Refused
from localcluster.api.objects import KubeObject, dig

KINDS = {
    **dict.fromkeys(("hpa", "horizontalpodautoscaler", "horizontalpodautoscalers"), "hpa"),
    **dict.fromkeys(("so", "scaledobject", "scaledobjects", "scaledobject.keda.sh"), "scaledobject"),
}
LATEST = 8
"""How many events of the past are told."""


class Session:
    """What is asked about, and what was told so far."""

    def __init__(self, reader: Reader, hpa: str, scaled: str, flags: Flags | None) -> None:
        self._reader, self._hpa, self._scaled = reader, hpa, scaled
        self._flags = flags or reader.flags()
        self._raw: Mapping[str, Any] = {}
        self._kept = Notes()
        self._events = reader.events("HorizontalPodAutoscaler", hpa, self._kept)
        self._follower = Follower(self._flags, rescales=past.rescales(self._events))
        self._told: dict[str, Explanation] = {}

    @classmethod
    def of(cls, reader: Reader, target: str, flags: Flags | None) -> Session:
        """Ask about `hpa/NAME`, `scaledobject/NAME`, `NAME`, or the only HPA of the namespace."""
        kind, name = _parsed(reader, target)
        if kind == "hpa":
            reader.hpa(name)
            return cls(reader, name, "", flags)
        return cls(reader, Scaled(KubeObject(reader.scaled_object(name))).hpa, name, flags)

    @property
    def title(self) -> str:
        """What this is about, in a line."""
        about = f"scaledobject/{self._scaled} (hpa/{self._hpa})" if self._scaled else f"hpa/{self._hpa}"
        return f"{about} in namespace {self._reader.namespace}"

    def notes(self) -> Iterator[str]:
        """What is known besides the decisions: the flags' origin, a rollout, what could not be read."""
        controller = self._flags.controller
        read = self._flags.known
        origin = f"as read from {read}" if read else "Kubernetes' defaults: assumed, as no flags can be read"
        yield (
            f"controller: sync {controller.sync:g} s, tolerance {controller.tolerance:g}, downscale "
            f"stabilization {controller.downscale_stabilization:g} s ({origin})"
        )
        if not self._scaled:
            owners = dig(self._reader.hpa(self._hpa), "metadata.ownerReferences") or ()
            for owner in owners:
                if owner.get("kind") == "ScaledObject":
                    name = owner.get("name")
                    yield f"made by KEDA, which decides between 0 and 1: labkit why scaledobject/{name}"
        rollout = self._reader.rollout(self._ref(), self._kept)
        yield from (rollout,) if rollout else ()
        yield from (f"not readable: {note}" for note in dict.fromkeys(self._kept.said))

    def past(self) -> list[Explanation]:
        """What events and managed fields tell, oldest first."""
        scaled = self._reader.events("ScaledObject", self._scaled, self._kept) if self._scaled else []
        others = past.from_writers(self._reader.writers(self._ref(), self._kept), about=f"hpa/{self._hpa}")
        return sorted((*self._events, *scaled, *others), key=lambda told: told.at)[-LATEST:]

    def look(self, *, every: bool = False) -> Iterator[Explanation]:
        """Look once more: what is new since the last look; with `every`, each sync that left a trace."""
        if self._scaled:
            yield from self._fresh("keda", self._keda())
        if not self._scaled or self._reader.exists(self._hpa):
            seen = self._reader.snapshot(self._hpa)
            found = self._follower.take(seen, writers=lambda: self._reader.writers(self._ref(), Notes()))
            if found is not None:
                yield from self._fresh("hpa", self._with_server(found), every=every)

    def _with_server(self, found: Explanation) -> Explanation:
        """For a metric that can't be read: with the program that is to serve it, if that does not answer."""
        kind = found.reason.removeprefix("FailedGet").removesuffix("Metric")
        if kind not in GROUPS or not (down := self._reader.server(GROUPS[kind], Notes())):
            return found
        why = (
            f"{found.why} apiservice/{down['name']} leads to service {down['service']}, which does not "
            f"answer as {GROUPS[kind]} ({down['reason']}): {down['message']}."
        )
        fix = (
            "one program only can serve a group of the API: point spec.service of the APIService at the one "
            f"that has this metric ({SERVERS[GROUPS[kind]]}), and see whether it runs"
        )
        return replace(found, why=why, fix=fix)

    def _fresh(self, who: str, found: Explanation, *, every: bool = False) -> Iterator[Explanation]:
        if every or new(self._told.get(who), found):
            yield found
        self._told[who] = found

    def _keda(self) -> Explanation:
        raw = self._raw = self._reader.scaled_object(self._scaled)
        scale, _ = self._reader.scale(self._ref(), Notes())
        current = None if scale is None else int(dig(scale, "spec.replicas") or 0)
        return keda.explain(raw, current=current, now=time.time())

    def _ref(self) -> Mapping[str, Any]:
        """The target, with KEDA's defaults for a ScaledObject."""
        if not self._scaled:
            return dict(dig(self._reader.hpa(self._hpa), "spec.scaleTargetRef") or {})
        raw = self._raw or self._reader.scaled_object(self._scaled)
        ref = dig(raw, "spec.scaleTargetRef") or {}
        return {"apiVersion": "apps/v1", "kind": "Deployment", **ref}


def _parsed(reader: Reader, target: str) -> tuple[str, str]:
    word, slash, rest = target.partition("/")
    if not target:
        return "hpa", _only(reader)
    if not slash:
        return "hpa", word
    if word.lower().removesuffix(".autoscaling") not in KINDS or not rest:
        raise BadInput(
            f"{target} can't be explained.",
            cause="Only an HPA or a ScaledObject decides about replicas.",
            fix="Write hpa/NAME or scaledobject/NAME; kubectl get hpa -A lists the HPAs and their targets.",
        )
    return KINDS[word.lower().removesuffix(".autoscaling")], rest


def _only(reader: Reader) -> str:
    try:
        names = reader.names("hpa")
    except Refused as error:
        raise access.denied(error, namespace=reader.namespace) from error
    if len(names) == 1:
        return names[0]
    raise BadInput(
        f"Which HPA? There are {len(names)} in namespace {reader.namespace}"
        + (f": {', '.join(names)}." if names else "."),
        cause="" if names else "The namespace is another one, or nothing scales here.",
        fix="labkit why hpa/NAME"
        if names
        else "kubectl get hpa -A lists all; choose one with -n and hpa/NAME.",
    )
