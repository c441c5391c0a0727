"""What the HPA's controller set while a student was run: by the API server's audit log, where we may read it.

Elsewhere the grader watches HPAs: each time that the controller has scaled, it writes `status.lastScaleTime`,
and a status is nobody else's to write (`cluster/grading/guard.yaml`). `managedFields` would not do: the API
server notes who set a number of replicas only where somebody owned that field before, and under an HPA nobody
does. Refuses to take anybody else's word.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from labkit.autoscaling import audit
from labkit.errors import ClusterError
from labkit.grading.judging.bundle import Write
from labkit.kube.client import Kube
from labkit.kube.objects import KubeObject
from labkit.lab import Lab

AT_A_TIME = 20.0  # real seconds of one watch: no thread outlives its student for longer

Writes = Callable[[], tuple[Write, ...]]


@contextlib.contextmanager
def by_the_hpa(lab: Lab, since: float) -> Iterator[Writes]:
    """Gives all that was written from a moment (Unix time) on, whenever it is asked."""
    diary = lab.session.provider.audit_logs()
    if diary:
        yield lambda: tuple(logged(diary, since))
        return
    seen = Scalings()
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(lab.kube, seen, over), name="labkit-scalings", daemon=True)
    thread.start()
    try:
        yield lambda: tuple(seen.writes)
    finally:
        over.set()


def logged(diary: Path, since: float) -> Iterator[Write]:
    """By the API server's own diary."""
    for one in audit.read(diary):
        own = one.user == audit.CONTROLLER and one.subresource == "scale" and one.verb in {"update", "patch"}
        if own and one.succeeded and one.done >= since and one.sent.get("spec") is not None:
            yield Write(one.done, one.name, one.replicas)


class Scalings:
    """Takes versions of HPAs in their order, and keeps each step that their controller made."""

    def __init__(self) -> None:
        self.writes: list[Write] = []
        self._scaled: dict[str, str | None] = {}

    def take(self, hpa: KubeObject, at: float) -> None:
        """A version that was seen at a Unix time; what an HPA had done before its first one is no step."""
        uid, scaled = str(hpa.at("metadata.uid")), hpa.at("status.lastScaleTime")
        before = self._scaled.get(uid, scaled)
        self._scaled[uid] = scaled
        if scaled != before:
            name, replicas = hpa.at("spec.scaleTargetRef.name"), hpa.at("status.desiredReplicas", 0)
            self.writes.append(Write(at, str(name), int(replicas)))


def _watch(kube: Kube, seen: Scalings, over: threading.Event) -> None:
    while not over.is_set():
        try:
            for change in kube.watch("hpa", seconds=AT_A_TIME):
                if over.is_set():
                    return
                seen.take(change.obj, change.at)
        except ClusterError:  # what was missed meanwhile speaks against a student: better soon than never
            over.wait(0.5)
