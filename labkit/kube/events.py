"""Events: what the cluster says it did, and why it did not. The first place to look when a pod does not come.

Refuses nothing; events expire on the server (after an hour by default), so their absence proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from labkit.kube.api import Api
from labkit.kube.objects import Table


@dataclass(frozen=True)
class Event:
    """One event; `at` is when it was last seen (UTC), `count` how often."""

    at: datetime
    type: str
    reason: str
    about: str  # pod/llm-inference-service-6c9f-abcde
    message: str
    count: int = 1

    def __str__(self) -> str:
        return f"{self.reason} {self.about}: {self.message}"


def events(api: Api, namespace: str, *, about: str = "", kind: str = "") -> list[Event]:
    """The events of a namespace (or of one object in it, by name and kind), oldest first."""
    wanted = {"involvedObject.name": about, "involvedObject.kind": kind}
    selector = ",".join(f"{k}={v}" for k, v in wanted.items() if v)
    items = api.get(f"/api/v1/namespaces/{namespace}/events", fieldSelector=selector or None)["items"]
    return sorted((_event(i) for i in items), key=lambda e: e.at)


def newest_warning(api: Api, namespace: str) -> Event | None:
    """The last thing that went wrong, if anything did."""
    warnings = [e for e in events(api, namespace) if e.type == "Warning"]
    return warnings[-1] if warnings else None


def as_table(found: list[Event], *, now: datetime | None = None) -> Table:
    """As `kubectl events` prints them."""
    moment = now or datetime.now(UTC)
    rows = tuple((_age(moment - e.at), e.type, e.reason, e.about, e.message) for e in found)
    return Table(("Last Seen", "Type", "Reason", "Object", "Message"), rows, empty="No events found.")


def _event(raw: dict[str, Any]) -> Event:
    about = raw.get("involvedObject") or {}
    series = raw.get("series") or {}
    when = (
        series.get("lastObservedTime")
        or raw.get("lastTimestamp")
        or raw.get("eventTime")
        or raw["metadata"]["creationTimestamp"]
    )
    return Event(
        at=datetime.fromisoformat(when),
        type=raw.get("type") or "Normal",
        reason=raw.get("reason") or "",
        about=f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}",
        message=raw.get("message") or "",
        count=series.get("count") or raw.get("count") or 1,
    )


def _age(delta: Any) -> str:
    seconds = max(0, int(delta.total_seconds()))
    if seconds < 120:
        return f"{seconds}s"
    return f"{seconds // 60}m" if seconds < 7200 else f"{seconds // 3600}h"
