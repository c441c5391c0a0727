"""Namespaces that labkit made, recognised by their label. Refuses to touch any other."""

from __future__ import annotations

from labkit.errors import NotOurs
from localcluster import polling
from localcluster.api.client import Api, Request
from localcluster.api.objects import KubeObject

NAMESPACE = "llm-lab"
"""The course's own namespace."""
MANAGED, ENFORCE = "labkit.dev/managed", "pod-security.kubernetes.io/enforce"
LABELS = {
    MANAGED: "true",
    ENFORCE: "baseline",  # `restricted` would refuse the lesson's Deployment
}
DROPPED = ("pod-security.kubernetes.io/warn",)
"""Set by earlier versions: it warned about every pod, in 500 characters each time."""


def find(api: Api, name: str) -> KubeObject | None:
    """The namespace, or None."""
    found = api.find(f"/api/v1/namespaces/{name}")
    return None if found is None else KubeObject(found)


def ensure(api: Api, name: str, *, seconds: float = 60) -> bool:
    """Create it; True if it is new. Waits for one that is terminating, and refuses someone else's."""
    there = find(api, name)
    if there and there.at("status.phase") == "Terminating":
        _gone(api, name, seconds)
        there = None
    if there:
        _check(there)
        return False
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": LABELS}}
    api.send(Request("/api/v1/namespaces", "POST", body=body))
    return True


def delete(api: Api, name: str, *, seconds: float = 60) -> None:
    """Delete it with everything in it, if it exists. Waits until it is gone, or not at all with 0.

    The namespace controller waits 5 real seconds before it begins, whatever CLOCK says.
    """
    there = find(api, name)
    if not there:
        return
    _check(there)
    api.send(Request(f"/api/v1/namespaces/{name}", "DELETE"))
    if seconds:
        _gone(api, name, seconds)


def _gone(api: Api, name: str, seconds: float) -> None:
    last: list[str] = []

    def gone() -> bool:
        there = find(api, name)
        conditions = there.at("status.conditions", ()) if there else ()
        last[:] = [c["message"] for c in conditions if c["status"] == "True"]
        return there is None

    polling.until(
        gone,
        f"namespace {name} to go",
        seconds=seconds,
        every=0.1,
        last_seen=lambda: "; ".join(last) or "Terminating",
    )


def _check(there: KubeObject) -> None:
    if there.labels.get(MANAGED) == "true":
        return
    raise NotOurs(
        f"The namespace {there.name} exists and labkit did not make it.",
        cause=f"It has no label {MANAGED}=true, so its contents may be someone else's work.",
        fix=f"Use another name; or, if it may be used: kubectl label namespace {there.name} {MANAGED}=true",
    )
