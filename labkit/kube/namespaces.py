"""Namespaces that labkit made, told by their label. Refuses to touch any other."""

from __future__ import annotations

from labkit import _wait
from labkit.errors import NotOurs, Refused
from labkit.kube.api import Api, Request
from labkit.kube.objects import KubeObject

MANAGED, ENFORCE = "labkit.dev/managed", "pod-security.kubernetes.io/enforce"
LABELS = {
    MANAGED: "true",
    # `restricted` would refuse the lesson's Deployment; so it only warns, and learners read why.
    ENFORCE: "baseline",
    "pod-security.kubernetes.io/warn": "restricted",
}


def find(api: Api, name: str) -> KubeObject | None:
    """The namespace, or None."""
    try:
        return KubeObject(api.get(f"/api/v1/namespaces/{name}"))
    except Refused as error:
        if error.reason == "NotFound":
            return None
        raise


def ensure(api: Api, name: str, *, seconds: float = 60) -> bool:
    """Make it; True where it is new. One that is on its way out is waited for, a foreign one is refused."""
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
    """Take it away with all that is in it; not there is fine. Waits until it is gone, or not at all with 0.

    The namespace controller lets 5 real seconds pass before it begins, whatever CLOCK says.
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

    _wait.until(
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
        cause=f"It has no label {MANAGED}=true, so what is in it may be somebody's work.",
        fix=f"Use another name; or, if it may be used: kubectl label namespace {there.name} {MANAGED}=true",
    )
