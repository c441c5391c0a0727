"""The audit logs of the API server and of prometheus-adapter, as records in the order of time.

An audit log is a server's diary: who asked for what, what was answered, to the microsecond. The lab's policy
(cluster/audit-policy.yaml) keeps what the HPA's controller asked, got and did, and how its pods changed.
Refuses to wait: it reads what is written by now, and leaves out a last line that is only half there.
https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from labkit.errors import BadInput

CONTROLLER = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
SERVERS = ("kube-apiserver", "prometheus-adapter")


@dataclass(frozen=True)
class Asked:
    """One request to one server. Times are Unix times; `sent` and `answer` are the bodies, where kept."""

    server: str
    begun: float
    done: float
    user: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    selector: str
    message: str = ""
    sent: Mapping[str, Any] = field(default_factory=dict)
    answer: Mapping[str, Any] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Whether the server did it."""
        return 200 <= self.code < 300

    @property
    def replicas(self) -> int:
        """The number that a write of a scale sets, where its body was kept; 0 is left out of what is sent."""
        return int(self.sent["spec"].get("replicas", 0))


def read(folder: Path) -> list[Asked]:
    """All that both servers wrote down under `folder`, by the time at which it was done."""
    if not folder.is_dir():
        raise BadInput(
            f"There are no audit logs in {folder}.",
            cause="The lab was started by an older version, or this cluster keeps its diary elsewhere.",
            fix="labkit down, then labkit up.",
        )
    found = [asked for server in SERVERS for asked in _of_server(folder, server)]
    return sorted(found, key=lambda asked: asked.done)


def parse(line: str, server: str) -> Asked | None:
    """One line of a log; None for a line that is not whole."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    at, status = event.get("objectRef") or {}, event.get("responseStatus") or {}
    query = parse_qs(urlsplit(event["requestURI"]).query)
    return Asked(
        server=server,
        begun=_time(event["requestReceivedTimestamp"]),
        done=_time(event["stageTimestamp"]),
        user=event["user"].get("username", ""),
        verb=event["verb"],
        group=at.get("apiGroup", ""),
        resource=at.get("resource", ""),
        subresource=at.get("subresource", ""),
        namespace=at.get("namespace", ""),
        name=at.get("name", ""),
        code=status.get("code", 0),
        selector=query.get("labelSelector", [""])[0],
        message=status.get("message", ""),
        sent=event.get("requestObject") or {},
        answer=event.get("responseObject") or {},
    )


def seconds(text: str | None) -> float | None:
    """A time of the API as Unix time."""
    return _time(text) if text else None


def _of_server(folder: Path, server: str) -> Iterator[Asked]:
    rotated = sorted(folder.glob(f"{server}-*.log"))
    for path in (*rotated, folder / f"{server}.log"):
        if path.exists():
            yield from _whole(path.read_text().splitlines(), server)


def _whole(lines: Iterable[str], server: str) -> Iterator[Asked]:
    for line in lines:
        asked = parse(line, server)
        if asked is not None:
            yield asked


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
