"""What a cluster still tells of the past: the HPA's events, and who wrote the target's replicas. Pure.

Events are kept for an hour by default, and repeated ones are merged into one with a count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from course.hpa.audit import mapping
from course.why.explain import EVENT, FIELDS, Explanation
from course.why.follow import Writer
from course.why.reasons import EVENTS, Meaning
from course.why.snapshot import listed, moment
from localcluster.api.objects import dig

_SIZE = re.compile(r"New size: (\d+); reason: (.*)")


def from_events(events: Iterable[Mapping[str, Any]], *, about: str) -> list[Explanation]:
    """One explanation for each event, oldest first; one that happened many times says so."""
    known = list(events)
    found = sorted(((_moment(e), e) for e in known if not _repeats(e, known)), key=lambda each: each[0])
    before: int | None = None
    told = []
    for at, event in found:
        explained = _explained(at, event, about, before)
        before = explained.after if explained.scales and explained.after is not None else before
        told.append(explained)
    return told


def rescales(told: Iterable[Explanation]) -> list[tuple[float, int]]:
    """Moment and change of replicas of each rescale of which both sizes are known."""
    return [
        (e.at, e.after - e.before) for e in told if e.before is not None and e.after is not None and e.scales
    ]


def writers(target: Mapping[str, Any]) -> list[Writer]:
    """Who wrote `spec.replicas` of an object, by its managed fields."""
    found = []
    for entry in map(mapping, listed(dig(target, "metadata.managedFields"))):
        fields = mapping(entry.get("fieldsV1"))
        if "f:replicas" in mapping(fields.get("f:spec")):
            found.append(Writer(str(entry.get("manager", "")), moment(entry.get("time"))))
    return found


def from_writers(found: Iterable[Writer], *, about: str) -> list[Explanation]:
    """The last write of each manager besides the HPA's, whose rescales are events of their own."""
    others = [w for w in found if w.manager != "kube-controller-manager" and w.at is not None]
    return [
        Explanation(
            writer.at or 0.0,
            about,
            None,
            None,
            "WrittenByOther",
            f"{writer.manager} wrote spec.replicas of the target: to the HPA this is the current number.",
            FIELDS,
        )
        for writer in others
    ]


def rollout(sets: Iterable[Mapping[str, Any]], *, owner: str) -> str:
    """Whether a rollout is under way, by the target's ReplicaSets; empty if none is."""
    mine = [each for each in sets if _owned(each, owner)]
    filled = [each for each in mine if (dig(each, "spec.replicas") or 0) > 0]
    if len(filled) < 2:
        return ""
    counts = ", ".join(f"{dig(e, 'metadata.name')} {dig(e, 'spec.replicas')}" for e in filled)
    return f"a rollout is under way ({counts}): new pods have no figures yet"


def _owned(each: Mapping[str, Any], owner: str) -> bool:
    owners = listed(dig(each, "metadata.ownerReferences"))
    return any(mapping(o).get("uid") == owner for o in owners) if owner else False


def _repeats(event: Mapping[str, Any], events: Iterable[Mapping[str, Any]]) -> bool:
    """Whether it only says again, of all metrics, what another event says of one."""
    others = {str(each.get("reason", "")) for each in events}
    return event.get("reason") == "FailedComputeMetricsReplicas" and any(
        reason.startswith("FailedGet") and reason.endswith("Metric") for reason in others
    )


def _explained(at: float, event: Mapping[str, Any], about: str, before: int | None) -> Explanation:
    reason, message = str(event.get("reason", "")), str(event.get("message", ""))
    meaning = EVENTS.get(reason, Meaning(reason or "an event without a reason"))
    often = dig(event, "series.count") or event.get("count") or 1
    times = f" ({often} times, the last of them then)" if isinstance(often, int) and often > 1 else ""
    size = _SIZE.match(message)
    if reason == "SuccessfulRescale" and size:
        after = int(size[1])
        start = "" if before is None else f"{before} "
        why = f"{start}→ {after}: {size[2]}{times}."
        return Explanation(at, about, before, after, reason, why, EVENT)
    why = f"{_capital(meaning.says)}: {message}{times}."
    return Explanation(at, about, None, None, reason, why, EVENT, fix=meaning.fix)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _moment(event: Mapping[str, Any]) -> float:
    places = ("series.lastObservedTime", "lastTimestamp", "eventTime", "metadata.creationTimestamp")
    return next((at for at in (moment(dig(event, place)) for place in places) if at is not None), 0.0)
