"""Converts HPAs written in `autoscaling/v1` to `autoscaling/v2`, as the API server does.

v1 has one field for CPU; everything else travels in annotations.
https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/horizontal-pod-autoscaler-v1/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from course.hpa.audit import AuditEvent, mapping
from localcluster.api import Json

V1 = "autoscaling/v1"
_PREFIX = "autoscaling.alpha.kubernetes.io/"


def upgraded(one: AuditEvent) -> AuditEvent:
    """The same request with its bodies in version 2."""
    return replace(one, sent=_body(one.sent), answer=_body(one.answer))


def _body(found: Mapping[str, Any]) -> Mapping[str, Any]:
    if found.get("items"):
        return {
            **found,
            "items": [_body({"apiVersion": found.get("apiVersion"), **i}) for i in found["items"]],
        }
    return hpa(found) if found.get("apiVersion") == V1 and "spec" in found else found


def hpa(found: Mapping[str, Any]) -> Json:
    """One object."""
    spec, status = dict(found["spec"]), dict(mapping(found.get("status")))
    notes = mapping(mapping(found.get("metadata")).get("annotations"))
    metrics = [_metric(each) for each in _note(notes, "metrics") or ()]
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    if percent is not None:
        target = {"type": "Utilization", "averageUtilization": percent}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    spec["metrics"] = metrics
    if behavior := _note(notes, "behavior"):
        spec["behavior"] = _lowered(behavior)
    if conditions := _note(notes, "conditions"):
        status["conditions"] = conditions
    return {**found, "spec": spec, "status": status}


def _note(notes: Mapping[str, str], name: str) -> Any:
    """The JSON in an annotation; None if it is missing or invalid, which the server ignores, too."""
    try:
        return json.loads(notes.get(_PREFIX + name, "null"))
    except ValueError:
        return None


def _metric(found: Json) -> Json:
    kind = found["type"]
    place = kind[0].lower() + kind[1:]
    old = found[place]
    new: Json = {"target": _target(old)}
    if kind in {"Resource", "ContainerResource"}:
        new |= {key: old[key] for key in ("name", "container") if key in old}
    else:
        new["metric"] = {"name": old["metricName"]}
    if kind == "Object":
        new["describedObject"] = old["target"]
    return {"type": kind, place: new}


def _target(old: Json) -> Json:
    if old.get("targetAverageUtilization") is not None:
        return {"type": "Utilization", "averageUtilization": old["targetAverageUtilization"]}
    average = old.get("targetAverageValue") or old.get("averageValue")
    if average is not None:
        return {"type": "AverageValue", "averageValue": average}
    return {"type": "Value", "value": old["targetValue"]}


def _lowered(value: Any) -> Any:
    """Lower-case the keys of `behavior`, which is stored as the server's internal type, capitalized."""
    if isinstance(value, dict):
        return {k[0].lower() + k[1:]: _lowered(v) for k, v in value.items() if v is not None}
    return [_lowered(each) for each in value] if isinstance(value, list) else value
