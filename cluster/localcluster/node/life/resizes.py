"""The resources of one running pod: its object's as soon as the node has room for them, until then the old.

`resizing.py` compares; the containers apply. A resize that does not fit is tried again with each look.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from localcluster.api import Json
from localcluster.node import fitting
from localcluster.node.fitting import Rejection
from localcluster.node.pod import resizing
from localcluster.node.pod.context import PodContext
from localcluster.node.pod.status import Resize


class Resizes:
    """What a pod asks for, and what is in force: `record.allocated`."""

    def __init__(self, pod: PodContext) -> None:
        self._pod = pod
        self._pending: Resize | None = None
        self._started = 0  # the generation whose resize is not complete yet

    def in_force(self, pod: Json) -> Json:
        """The object as the node has it; takes up new resources where they fit."""
        record, spec = self._pod.record, pod["spec"]
        asked = resizing.asked(spec)
        if not record.pod_ip or not record.allocated:  # not admitted yet
            record.allocated = asked
        elif asked == record.allocated or self._pod.stopping.is_set() or record.over:
            self._pending = None
        elif why := self._refusal(spec):
            self._wait(pod, why)
        else:
            self._pending = None
            record.allocated = asked
            record.save(self._pod.folder)
            self._started = _generation(pod)
            self._tell("ResizeStarted", "Pod resize started", pod)
        found = pod | {"spec": resizing.with_resources(spec, record.allocated)}
        self._pod.view.spec = found["spec"]
        return found

    @property
    def waits(self) -> bool:
        """Whether there may be room for it later."""
        return self._pending is not None

    def conditions(self, errors: Iterable[str]) -> list[Resize]:
        """The pod's conditions about it; `errors` are of containers that can't take theirs up yet."""
        failed = "; ".join(errors)
        if self._started and not failed:
            self._tell("ResizeCompleted", "Pod resize completed", self._pod.object)
            self._started = 0
        error = [Resize(resizing.IN_PROGRESS, "Error", failed)] if failed else []
        return [*([self._pending] if self._pending else []), *error]

    def _refusal(self, spec: Json) -> str:
        machine = self._pod.machine
        others = [p.spec for p in machine.table.list(machine.name) if p.holds and p is not self._pod.view]
        try:
            fitting.check_resources(spec, machine.allocatable, others)
        except Rejection as rejection:
            return rejection.message
        return ""

    def _wait(self, pod: Json, why: str) -> None:
        wanted = Resize(resizing.PENDING, "Deferred", why)
        if self._pending != wanted:
            self._pending = wanted
            self._tell("ResizeDeferred", "Pod resize Deferred", pod, error=why)

    def _tell(self, reason: str, said: str, pod: Json, *, error: str = "") -> None:
        spec, generation = pod["spec"], _generation(pod)
        found = {
            kind: [{"name": c["name"], "resources": c.get("resources") or {}} for c in spec[kind]]
            for kind in ("initContainers", "containers")
            if spec.get(kind)
        }
        whole = found | {"generation": generation} | ({"error": error} if error else {})
        text = json.dumps(whole, separators=(",", ":"))
        self._pod.tell(reason, f"{said}: {text}", warning=bool(error))


def _generation(pod: Json) -> int:
    return int(pod["metadata"].get("generation", 1))
