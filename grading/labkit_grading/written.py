"""What the HPA's controller set while a student was run, from the API server's audit log if it is readable.

Elsewhere the grader watches HPAs: whenever the controller scales, it writes `status.lastScaleTime`, and
students are not allowed to write a status (`sites/guard.yaml`). `managedFields` would not do: the API server
records who set the number of replicas only if that field had an owner before, and under an HPA it has none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Event

from course.hpa import audit
from labkit.errors import ClusterError
from labkit.kube.client import Kube
from labkit.lab import Lab
from labkit_grading.judging.bundle import Write
from localcluster.api.objects import KubeObject
from localcluster.background import Background

AT_A_TIME = 20.0  # real seconds of one watch: no thread outlives its student by more

SCALERS = frozenset({audit.CONTROLLER, "system:serviceaccount:keda:keda-operator"})
"""KEDA's operator scales between 0 and 1, the HPA's controller above that."""

Writes = Callable[[], tuple[Write, ...]]


@contextlib.contextmanager
def by_the_hpa(lab: Lab, since: float) -> Iterator[Writes]:
    """Return a function that lists everything written since a moment (Unix time)."""
    diary = lab.session.provider.audit_logs()
    if diary:
        yield lambda: tuple(logged(diary, since))
        return
    seen = Scalings()
    watching = Background(partial(_watch, lab.kube, seen), name="scalings").start()
    try:
        yield lambda: tuple(seen.writes)
    finally:
        watching.over.set()  # it ends with its watch: no need to wait


def logged(diary: Path, since: float) -> Iterator[Write]:
    """The writes in the API server's audit log."""
    for one in audit.read(diary):
        own = one.user in SCALERS and one.subresource == "scale" and one.verb in {"update", "patch"}
        if own and one.succeeded and one.done >= since and one.sent.get("spec") is not None:
            yield Write(one.done, one.name, one.replicas)


class Scalings:
    """Takes versions of HPAs in order, and keeps each step that their controller made."""

    def __init__(self) -> None:
        self.writes: list[Write] = []
        self._scaled: dict[str, str | None] = {}

    def take(self, hpa: KubeObject, at: float) -> None:
        """Take a version seen at a Unix time; what an HPA did before its first version is not a step."""
        uid, scaled = str(hpa.at("metadata.uid")), hpa.at("status.lastScaleTime")
        before = self._scaled.get(uid, scaled)
        self._scaled[uid] = scaled
        if scaled != before:
            name, replicas = hpa.at("spec.scaleTargetRef.name"), hpa.at("status.desiredReplicas", 0)
            self.writes.append(Write(at, str(name), int(replicas)))


def _watch(kube: Kube, seen: Scalings, over: Event) -> None:
    while not over.is_set():
        try:
            for change in kube.watch("hpa", seconds=AT_A_TIME):
                if over.is_set():
                    return
                seen.take(change.obj, change.at)
        except ClusterError:  # a missed step would count against the student, so reconnect soon
            over.wait(0.5)
