"""No answer that a server can give stops the ledger: refusals of every kind, anywhere, and bodies not kept.

The logs are those of two real runs (tests/golden), one of an HPA that works and one of HPAs that do not.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course.hpa import audit
from course.hpa.audit import AuditEvent
from course.hpa.ledger import Ledger, keep
from course.hpa.syncs import Watched

GOLDEN = Path(__file__).parents[2] / "golden"
REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}

Event = dict[str, Any]


@cache
def events(run: str) -> list[tuple[str, Event, AuditEvent | None]]:
    """Each line of the logs: the server, the line and what the ledger takes it for."""
    files = {server: (GOLDEN / run / f"{server}.log") for server in audit.SERVERS}
    lines = (
        (s, line) for s, path in files.items() if path.exists() for line in path.read_text().splitlines()
    )
    return [(server, json.loads(line), audit.parse(line, server)) for server, line in lines]


@cache
def places(run: str) -> Mapping[tuple[str, ...], list[int]]:
    """The lines by what was asked, so that rare requests are drawn as often as the frequent ones."""
    found: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, (server, event, _) in enumerate(events(run)):
        ref = event["objectRef"]
        found[server, event["verb"], ref["resource"], ref.get("subresource", "")].append(number)
    return found


def refused(code: int, *, body: bool) -> Event:
    """What is logged of a refusal."""
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code}
    status |= {"reason": REASONS[code], "message": f"refused with {code}"}
    return {"responseStatus": status} | ({"responseObject": status} if body else {})


ANSWERS: st.SearchStrategy[Event | None] = st.one_of(
    st.builds(refused, st.sampled_from(sorted(REASONS)), body=st.booleans()), st.just({}), st.just(None)
)
"""A refusal; an answer whose body was not kept; a request that nobody answered."""


def answered(event: Event, answer: Event | None) -> Event:
    kept = {k: v for k, v in event.items() if k != "responseObject"}
    return {k: v for k, v in kept.items() if k != "responseStatus"} if answer is None else kept | answer


@pytest.mark.parametrize("run", ["audit", "audit-broken"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_ledger_survives_every_answer(run: str, data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(places(run))), min_size=1, max_size=6))
    others = {data.draw(st.sampled_from(places(run)[kind])): data.draw(ANSWERS) for kind in kinds}
    asked = [
        audit.parse(json.dumps(answered(event, others[number])), server) if number in others else known
        for number, (server, event, known) in enumerate(events(run))
    ]
    shown(keep(Watched(sorted(filter(None, asked), key=lambda one: one.done)), clock=5))


def shown(ledger: Ledger) -> None:
    """All that a notebook shows of it."""
    assert len(ledger.rows()) == len(ledger.sentences()) == len(ledger.lines)
    assert all(line.why.endswith(".") for line in ledger.lines)
    assert len(ledger.telling().lines) <= len(ledger.lines)
    assert 0 <= ledger.agreement <= 1
