"""A class's claim on a shared cluster: a Lease, renewed as long as the grader lives.

A killed grader's claim expires after two minutes, or is taken over at once by the same report.
Refuses to share, and to go on once another holder has it.
https://kubernetes.io/docs/concepts/architecture/leases/
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from threading import Event
from typing import Any

from course.hpa import audit
from labkit.errors import ClusterError, NotOurs, Refused
from localcluster.api.client import Api, Request
from localcluster.background import Background

GRADING = "llm-lab-grading"
"""The namespace of what students must not reach: the claim, and the account whose token they work with."""
LASTS, EVERY = 120, 20.0
"""Real seconds: how long a claim lasts without renewal, and between two renewals."""
PATH = f"/apis/coordination.k8s.io/v1/namespaces/{GRADING}/leases"
NAME = "class"


class Claim:
    """The claim of one holder: a report, identified by its machine and path."""

    def __init__(self, api: Api, holder: str) -> None:
        self._api, self._holder = api, holder
        self._version: str | None = None
        self._taken_by = ""

    def look(self) -> float:
        """When an earlier claim ends or ended (Unix time; 0 if none); raises if another holder has it."""
        there = self._there()
        if there is None:
            return 0.0
        self._version = there["metadata"]["resourceVersion"]
        spec = there["spec"]
        until: float = (audit.seconds(spec["renewTime"]) or 0.0) + spec["leaseDurationSeconds"]
        if spec["holderIdentity"] != self._holder and until > time.time():
            raise NotOurs(
                f"Another class is being graded on this cluster: {spec['holderIdentity']}.",
                cause=f"Its grader keeps renewing lease/{NAME} in namespace {GRADING}.",
                fix=f"Wait for it. If that grader was killed, its claim ends in {until - time.time():.0f} s; "
                "its own command, with the same --out, continues at once.",
            )
        return until

    def take(self) -> None:
        """Write the claim, unless another holder was quicker."""
        try:
            self._write()
        except Refused as error:
            if error.reason not in {"AlreadyExists", "Conflict"}:
                raise
            raise NotOurs("Another grader claimed this cluster a moment ago.", fix="Wait for it.") from error

    def release(self) -> None:
        """Release it for others."""
        self._api.send(Request(f"{PATH}/{NAME}", "DELETE"))

    @property
    def ours(self) -> bool:
        """Whether it is still ours."""
        return not self._taken_by

    def refuse_if_lost(self) -> None:
        """Raise if another holder has it by now: what was seen since then is worthless."""
        if not self.ours:
            raise NotOurs(
                "This class has lost its claim (Lease) on the cluster.",
                cause=self._taken_by,
                fix="Run the same command to continue; students whose evidence is stored are not run again.",
            )

    @contextlib.contextmanager
    def renewed(self) -> Iterator[None]:
        """Keep renewing it."""
        with Background(self._renew, name="claim"):
            yield

    def _renew(self, over: Event) -> None:
        while not over.wait(EVERY):
            try:
                self._write()
            except Refused as error:
                self._taken_by = error.what
                return
            except ClusterError:  # no answer now: the next try is soon enough
                continue

    def _there(self) -> Any:
        return self._api.find(f"{PATH}/{NAME}")

    def _write(self) -> None:
        """Write it; the server accepts that only if nothing was written since we looked."""
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec = {"holderIdentity": self._holder, "leaseDurationSeconds": LASTS, "renewTime": now}
        meta = {"name": NAME, "resourceVersion": self._version}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}
        where, how = (PATH, "POST") if self._version is None else (f"{PATH}/{NAME}", "PUT")
        written = self._api.send(Request(where, how, body=body)).json
        self._version = written["metadata"]["resourceVersion"]
