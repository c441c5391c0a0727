"""Events: what the cluster says it did, and why it did not. The first place to look when a pod does not come.

Refuses nothing; events expire on the server (after an hour by default), so their absence proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from localcluster.api.client import Api


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


def newest_warning(
    api: Api, namespace: str, *, since: datetime, about: Callable[[str], bool]
) -> Event | None:
    """The last thing that went wrong since a moment, with objects (`pod/NAME`) that `about` says yes to."""
    items = api.get(f"/api/v1/namespaces/{namespace}/events")["items"]
    found = sorted((_event(item) for item in items), key=lambda e: e.at)
    warnings = [e for e in found if e.type == "Warning" and e.at >= since and about(e.about)]
    return warnings[-1] if warnings else None


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
