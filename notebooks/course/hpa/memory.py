"""The state of the cluster at a past moment: pods and HPAs, reconstructed from the audit logs.

Ignores anything that is not an object: a failure, or a request whose answer was not kept.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from course.hpa.audit import AuditEvent, mapping, seconds
from course.hpa.policy import thousandths
from course.hpa.readings import Pod
from localcluster.api import selectors

GONE = {"delete", "deletecollection"}


@dataclass(frozen=True)
class Version:
    """An object as it was from a moment on; None if it was gone."""

    since: float
    value: Mapping[str, Any] | None


class Objects:
    """Every version of the objects of one kind, by namespace and name."""

    def __init__(self, asked: Iterable[AuditEvent], *, resource: str) -> None:
        self._versions: dict[tuple[str, str], list[Version]] = defaultdict(list)
        for one in asked:
            if one.resource == resource and one.succeeded and one.verb not in {"get", "list", "watch"}:
                self._take(one)

    def at(self, moment: float, *, namespace: str) -> list[Mapping[str, Any]]:
        """The objects that existed in a namespace at a moment (Unix time)."""
        found = []
        for (where, _), versions in self._versions.items():
            place = bisect_right(versions, moment, key=lambda version: version.since)
            if where == namespace and place and (value := versions[place - 1].value) is not None:
                found.append(value)
        return found

    def changes(self, *, since: float, until: float) -> list[float]:
        """The moments in a span at which anything changed."""
        times = (version.since for versions in self._versions.values() for version in versions)
        return sorted(t for t in times if since < t <= until)

    def _take(self, one: AuditEvent) -> None:
        items = one.answer.get("items") or [one.answer]
        for item in items:
            meta = mapping(item.get("metadata"))
            key = (meta.get("namespace") or one.namespace, meta.get("name") or one.name)
            if one.verb in GONE or ("name" in meta and "spec" in item):
                self._versions[key].append(Version(one.done, _after(one, item)))


def _after(one: AuditEvent, item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What is left of an object after a request.

    A deleted pod stays until its kubelet confirms; an HPA with a finalizer, until that is removed.
    """
    meta = mapping(item.get("metadata"))
    if one.resource != "pods":
        deleted = one.verb in GONE or "deletionTimestamp" in meta
        return None if deleted and not meta.get("finalizers") else item
    if one.verb not in GONE:
        return item
    leaving = not one.user.startswith("system:node:") and "spec" in item
    return {**item, "labkit/leaving": True} if leaving else None


def matches(selector: str, pod: Mapping[str, Any]) -> bool:
    """Whether a pod has the labels of a selector such as `app=llm-model`, as the API server writes it."""
    return selectors.matches(selectors.parse(selector), pod["metadata"].get("labels") or {})


def pod(obj: Mapping[str, Any]) -> Pod:
    """Convert a pod's object for the arithmetic."""
    meta, status = obj["metadata"], obj.get("status") or {}
    ready = next((c for c in status.get("conditions") or () if c["type"] == "Ready"), None)
    return Pod(
        name=meta["name"],
        phase=status.get("phase", "Pending"),
        leaving=bool(meta.get("deletionTimestamp")) or "labkit/leaving" in obj,
        ready=ready and ready["status"],
        started=seconds(status.get("startTime")),
        changed=(seconds(ready.get("lastTransitionTime")) if ready else None) or 0.0,
        requests=_requests(obj["spec"]),
    )


def _requests(spec: Mapping[str, Any]) -> dict[str, int]:
    """Requests in thousandths by `container/resource`, and by resource if every container has one."""
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    asked: dict[str, int] = {}
    each = []
    for container in (*spec["containers"], *sidecars):
        requests = (container.get("resources") or {}).get("requests") or {}
        each.append({name: thousandths(amount) for name, amount in requests.items()})
        asked |= {f"{container['name']}/{name}": amount for name, amount in each[-1].items()}
    common = set.intersection(*(set(one) for one in each))
    return asked | {name: sum(one[name] for one in each) for name in common}
