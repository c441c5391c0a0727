"""`kubectl get -w` as an iterator that ends: what stands there now, then every change, until the deadline.

Refuses to run without a deadline. A watch that the server ends early is taken up again where it stopped.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import urllib3

from localcluster.api.client import TABLE, Api, Request
from localcluster.api.objects import KubeObject, aligned, cell
from localcluster.errors import Refused


@dataclass(frozen=True, repr=False)
class Change:
    """One change: ADDED, MODIFIED or DELETED; `row` holds kubectl's columns, `at` is Unix time here."""

    type: str
    obj: KubeObject
    row: dict[str, str]
    at: float

    def __repr__(self) -> str:
        return f"{self.type:<8}  {aligned([list(self.row.values())])}"


@dataclass
class _Seen:
    """Where a watch is, so that it can be taken up again."""

    version: str | None = None
    columns: tuple[str, ...] = ()


def watch(api: Api, path: str, *, seconds: float, selector: str | None = None) -> Iterator[Change]:
    """Changes under a path of the API for so many real seconds."""
    deadline = time.monotonic() + seconds
    seen = _Seen()
    while (left := deadline - time.monotonic()) > 0:
        request = Request(
            path,
            params={
                "watch": "1",
                "resourceVersion": seen.version,
                "timeoutSeconds": max(1, math.ceil(left)),
                "includeObject": "Object",
                "labelSelector": selector,
                "allowWatchBookmarks": "true",
            },
            accept=TABLE,
            seconds=left,
        )
        try:
            yield from _read(api.stream(request), seen, deadline)
        except Refused as error:
            if error.reason not in {"Expired", "Gone"}:
                raise
            seen.version = None  # too old to continue from: start over, with the current state first


def _read(response: Any, seen: _Seen, deadline: float) -> Iterator[Change]:
    try:
        with contextlib.suppress(urllib3.exceptions.ReadTimeoutError, urllib3.exceptions.ProtocolError):
            for line in response:
                if time.monotonic() >= deadline:
                    return
                yield from _changes(json.loads(line), seen)
    finally:
        response.close()


def _changes(message: dict[str, Any], seen: _Seen) -> Iterator[Change]:
    table = message["object"]
    if message["type"] == "ERROR":
        raise Refused(table.get("message", "watch failed"), reason=table.get("reason", ""))
    if "rows" not in table and message["type"] != "BOOKMARK":
        return
    heads = table.get("columnDefinitions")
    if heads:  # only the first message of a watch brings them
        seen.columns = tuple(h["name"] for h in heads)
    for row in table.get("rows") or ():
        obj = KubeObject(row["object"])
        seen.version = obj.at("metadata.resourceVersion", seen.version)
        if message["type"] != "BOOKMARK":
            cells = dict(zip(seen.columns, (cell(c) for c in row["cells"]), strict=False))
            yield Change(message["type"], obj, cells, time.time())
