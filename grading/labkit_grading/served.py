"""Who answered while a notebook was graded: pods that are not as the course's are, seen by the grader itself.

Watches the namespace's pods, and asks Prometheus what each server said of its clock, GPU and profile
(`labkit_simulated_info`). What is odd becomes evidence; `judging.strangers` says what that means.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from threading import Event

from labkit.errors import LabError
from labkit.kube.client import Kube, Which
from labkit.lab import Lab
from labkit_grading.judging.bundle import Sender, Stranger
from labkit_grading.judging.strangers import Expected, Watched
from localcluster.background import Background

AT_A_TIME = 20.0  # real seconds of one watch: no thread outlives its notebook by more
INFO = "labkit_simulated_info"

REQUESTS = "labkit_simulated_requests_total"
STEP = "3s"  # lab time: as fine as a recording

Answer = Callable[[], tuple[tuple[Stranger, ...], tuple[Sender, ...]]]


@contextlib.contextmanager
def watched(lab: Lab, wanted: Expected) -> Iterator[Answer]:
    """Return a function that lists the strangers seen from now on, and who sent requests."""
    seen, began = Watched(wanted), time.time()
    watching = Background(partial(_watch, lab.kube, seen), name="servers").start()
    try:
        yield lambda: (
            (*seen.strangers, *_told(lab, wanted, began)),
            tuple(_senders(lab, seen.addresses, began)),
        )
    finally:
        watching.over.set()  # it ends with its watch: no need to wait


def _watch(kube: Kube, seen: Watched, over: Event) -> None:
    while not over.is_set():
        try:
            for change in kube.watch("pods", seconds=AT_A_TIME):
                if over.is_set():
                    return
                seen.take(change.type, change.obj, change.at)
        except LabError:
            over.wait(0.5)


def _told(lab: Lab, wanted: Expected, began: float) -> Iterator[Stranger]:
    """Servers that said of themselves what the course's don't; none where there is no Prometheus to ask."""
    seconds = int(time.time() - began) + 1
    with contextlib.suppress(LabError, OSError):
        query = f'last_over_time({INFO}{{namespace="{lab.kube.namespace}"}}[{seconds}s])'
        for row in lab.prometheus().query(query, may_be_empty=True):
            if why := wanted.told(row.labels):
                yield Stranger(row.labels.get("pod", "?"), began, 0.0, (why,))


def _senders(lab: Lab, own: Mapping[str, str], began: float) -> Iterator[Sender]:
    """By the servers' own count, each address that sent requests; none where there is no Prometheus."""
    each = f'sum by (client) ({REQUESTS}{{namespace="{lab.kube.namespace}"}})'
    query = f'label_replace({each}, "pod", "$1", "client", "(.*)")'  # a series is told apart by its pod
    with contextlib.suppress(LabError, OSError):
        pods = {**_elsewhere(lab.kube), **own}
        for one in lab.prometheus().query_range(query, start=began, step=STEP, may_be_empty=True):
            address = one.label
            rises = [(at, after - before) for (_, before), (at, after) in pairwise(((0.0, 0.0), *one.points))]
            when = [began + at / lab.clock for at, more in rises if more > 0]
            if when:
                count = int(sum(more for _, more in rises if more > 0))
                yield Sender(address, pods.get(address, ""), count, when[0], when[-1], own=address in own)


def _elsewhere(kube: Kube) -> dict[str, str]:
    """Pods of other namespaces by address, with their namespaces; none that the grader may not see."""
    try:
        found = kube.objects("pods", which=Which(namespace=""))
    except LabError:
        return {}
    there = [one for one in found if one.namespace != kube.namespace and not one.at("spec.hostNetwork")]
    return {str(one.at("status.podIP")): f"{one.namespace}/{one.name}" for one in there}
