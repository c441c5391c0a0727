"""The audit logs of the API server and of prometheus-adapter, as records in chronological order.

An audit log is a server's record: who asked for what, and the answer, to the microsecond. The lab's policy
(audit-policy.yaml of localcluster) keeps what the HPA's controller asked, got and did, and how its pods
changed. It does not wait: it reads what has been written so far, and skips partial lines and anything that is
not a request.
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
_BEGINNING = '{"kind":"Event"'  # start of each line: a killed server leaves half a line before the next one
_LOOKS = 3  # retries while a server rotates a full log


@dataclass(frozen=True)
class AuditEvent:
    """One request to one server. Times are Unix times; `sent` and `answer` are the bodies, if logged."""

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
        """Whether the server carried it out."""
        return 200 <= self.code < 300

    @property
    def replicas(self) -> int:
        """The number of replicas that a write of a scale sets; 0 is omitted from the body."""
        body = self.sent if "spec" in self.sent else self.answer
        return int(mapping(body.get("spec")).get("replicas", 0))


def read(folder: Path) -> list[AuditEvent]:
    """Everything that both servers logged under `folder`, by completion time."""
    if not folder.is_dir():
        raise BadInput(
            f"There are no audit logs in {folder}.",
            cause="The lab was started by an older version, or this cluster keeps its audit logs elsewhere.",
            fix="labkit down, then labkit up.",
        )
    found = [asked for server in SERVERS for asked in _of_server(folder, server)]
    return sorted(found, key=lambda asked: asked.done)


def parse(line: str, server: str) -> AuditEvent | None:
    """One line of a log; None for a partial line, and for a dry run, which changes nothing."""
    try:
        event = json.loads(line[max(line.rfind(_BEGINNING), 0) :])
        return _asked(event, server)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _asked(event: Mapping[str, Any], server: str) -> AuditEvent | None:
    at, status = mapping(event.get("objectRef")), mapping(event.get("responseStatus"))
    query = parse_qs(urlsplit(event["requestURI"]).query)
    if "dryRun" in query:
        return None
    return AuditEvent(
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
        sent=mapping(event.get("requestObject")),
        answer=mapping(event.get("responseObject")),
    )


def mapping(value: Any) -> Mapping[str, Any]:
    """A JSON object; empty for everything else: a patch's body is a list, a failure's status is a word."""
    return value if isinstance(value, dict) else {}


def seconds(text: str | None) -> float | None:
    """A time of the API as Unix time."""
    return _time(text) if text else None


def _of_server(folder: Path, server: str) -> Iterator[AuditEvent]:
    """All of a server's logs, oldest first, as of one moment."""
    found: list[str] = []
    for _ in range(_LOOKS):
        before = _logs(folder, server)
        try:
            found = [path.read_text(errors="replace") for path in before]
        except FileNotFoundError:
            continue  # it was rotated meanwhile
        if _logs(folder, server) == before:
            break
    for text in found:
        yield from _whole(text.split("\n"), server)


def _logs(folder: Path, server: str) -> list[Path]:
    current = folder / f"{server}.log"
    return [*sorted(folder.glob(f"{server}-*.log")), *([current] if current.exists() else [])]


def _whole(lines: Iterable[str], server: str) -> Iterator[AuditEvent]:
    for line in lines:
        asked = parse(line, server)
        if asked is not None:
            yield asked


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
