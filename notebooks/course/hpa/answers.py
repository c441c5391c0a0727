"""The answers of the metrics APIs as the arithmetic takes them: one reading for each metric of an HPA.

No number is made up: what is missing in an answer is missing in the reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from course.hpa.audit import AuditEvent, seconds
from course.hpa.policy import Target, thousandths
from course.hpa.readings import Reading, Sample

WINDOW = 60.0  # what the controller assumes if an answer has no window


def reading(target: Target, selector: str, metrics: Iterable[AuditEvent], *, unasked: str) -> Reading:
    """The answer to one metric of the HPA, from its round; `unasked` says why there is none."""
    for one in metrics:
        if _about(target, one) and (not target.per_pod or one.selector == selector):
            return _answer(target, one)
    return Reading(failure=unasked)


def _about(target: Target, one: AuditEvent) -> bool:
    if target.source in {"Resource", "ContainerResource"}:
        return one.group == "metrics.k8s.io"
    if target.source == "External":
        return one.group == "external.metrics.k8s.io" and one.resource == target.name
    # A pod's metric is its subresource; a namespace's own is a "metric" of that name in it.
    return one.group == "custom.metrics.k8s.io" and target.name in {one.subresource, one.name}


def _answer(target: Target, one: AuditEvent) -> Reading:
    items = (one.answer.get("items") or ()) if one.succeeded else ()
    return of_items(target, items, failure=one.message)


def of_items(target: Target, items: Sequence[Mapping[str, Any]], *, failure: str = "") -> Reading:
    """The reading in the `items` of a metrics API's answer; without any, `failure` says why."""
    if not items:
        return Reading(failure=failure or "no metrics returned")
    if target.source == "External":
        return Reading(value=sum(thousandths(item["value"]) for item in items))
    if target.source == "Object":
        return Reading(value=thousandths(items[0]["value"]))
    if target.source == "Pods":
        return Reading({i["describedObject"]["name"]: _sample(i, thousandths(i["value"])) for i in items})
    usages = ((item, _usage(target, item.get("containers") or ())) for item in items)
    return Reading({i["metadata"]["name"]: _sample(i, usage) for i, usage in usages if usage is not None})


def _usage(target: Target, containers: Sequence[Mapping[str, Any]]) -> int | None:
    """A pod's usage in thousandths; None if a container reports none."""
    chosen = [c for c in containers if target.container in {"", c["name"]}]
    amounts = [(c.get("usage") or {}).get(target.name) for c in chosen]
    known = [thousandths(amount) for amount in amounts if amount is not None]
    return sum(known) if known and len(known) == len(amounts) else None


def _sample(item: Mapping[str, Any], value: int) -> Sample:
    window = item.get("windowSeconds")
    if window is None:
        window = item.get("window", WINDOW)
    return Sample(value, seconds(item.get("timestamp")) or 0.0, length(window))


def length(window: str | float) -> float:
    """A Go duration such as `4s` or `1m0s`, or a number of seconds."""
    if not isinstance(window, str):
        return float(window)
    total, number = 0.0, ""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0}
    for char in window.replace("ms", "u"):
        if char in units or char == "u":
            total += float(number or 0) * units.get(char, 0.001)
            number = ""
        else:
            number += char
    return total
