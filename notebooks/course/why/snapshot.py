"""One look at an HPA from outside: the objects as the API server returned them, and the metrics' answers.

Plain records, filled in by `reader`. What could not be read is named, not guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from course.hpa import memory
from course.hpa.audit import seconds
from course.hpa.policy import Target
from course.hpa.proposal import Proposal
from course.hpa.readings import Look, Pod, Reading, Sample
from localcluster.api.objects import dig


@dataclass(frozen=True)
class Snapshot:
    """Everything that one look saw; `at` is when the HPA was read (Unix time).

    `scale` is the target's scale, or None with the reason in `unreadable`. `pods` are None if this user can't
    see them; so is a reading. `notes` say what could not be read, and which permission that takes.
    """

    at: float
    hpa: Mapping[str, Any]
    scale: Mapping[str, Any] | None = None
    unreadable: str = ""
    pods: tuple[Mapping[str, Any], ...] | None = ()
    readings: tuple[Reading | None, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def current(self) -> int | None:
        """`spec.replicas` of the scale; None if it could not be read."""
        return None if self.scale is None else int(dig(self.scale, "spec.replicas") or 0)

    @property
    def existing(self) -> int | None:
        """`status.replicas` of the scale; None if it could not be read."""
        return None if self.scale is None else int(dig(self.scale, "status.replicas") or 0)


def look(seen: Snapshot, *, current: int, at: float, readings: Iterable[Reading], zero: bool = False) -> Look:
    """What the controller saw, if the pods were as in this snapshot and the metrics were these."""
    return Look(
        at=at,
        current=current,
        pods=assumed(current) if seen.pods is None else tuple(memory.pod(pod) for pod in seen.pods),
        readings=tuple(readings),
        existing=seen.existing,
        scaled_to_zero=zero,
    )


def before_rescale(seen: Snapshot, at: float | None) -> Snapshot:
    """The pods as they probably were before a rescale at that moment: without its new ones, none leaving."""
    if at is None or seen.pods is None:
        return seen
    old = [pod for pod in seen.pods if (moment(dig(pod, "metadata.creationTimestamp")) or 0.0) < at]
    stayed = [{**pod, "metadata": {**pod["metadata"], "deletionTimestamp": None}} for pod in old]
    return replace(seen, pods=tuple(stayed))


def moment(value: Any) -> float | None:
    """A time of the API as Unix time; None if there is none."""
    try:
        return seconds(value)
    except (ValueError, TypeError):
        return None


def listed(value: Any) -> list[Any]:
    """A list; an empty one for everything else."""
    return value if isinstance(value, list) else []


def assumed(count: int) -> tuple[Pod, ...]:
    """As many ready pods, where the real ones can't be seen."""
    return tuple(Pod(f"unseen-{i}") for i in range(count))


def implied(target: Target, usage: int, seen: Look) -> Reading:
    """A reading that gives the usage in the HPA's status: each running pod has the average."""
    if not target.per_pod:
        share = target.kind == "AverageValue"
        return Reading(value=usage * max(1, seen.status_replicas) if share else usage)
    running = [pod for pod in seen.pods if pod.phase == "Running" and not pod.leaving]
    key = f"{target.container}/{target.name}" if target.container else target.name
    values = {}
    for pod in running:
        asked = pod.requests.get(key)
        # Rounded up, because the controller rounds the average down to whole per cent.
        value = usage if target.kind != "Utilization" else -(-usage * asked // 100) if asked else None
        if value is not None:
            values[pod.name] = Sample(value, at=seen.at, window=0.0)  # it counted, so it was not warming up
    return Reading(values) if values else Reading(failure="the pods that it was measured on are not known")


def unrequested(seen: Look, target: Target) -> Look:
    """The same look with full requests for pods that can't be seen, so that a utilization can be computed."""
    key = f"{target.container}/{target.name}" if target.container else target.name
    pods = tuple(
        replace(pod, requests={**pod.requests, key: 1000}) if pod.name.startswith("unseen-") else pod
        for pod in seen.pods
    )
    return replace(seen, pods=pods)


def pod_counts(proposal: Proposal) -> dict[str, int]:
    """How many pods counted in which way, for programs."""
    groups = proposal.groups
    named = {
        "counted": groups.counted,
        "pending": groups.pending,
        "missing": groups.missing,
        "ignored": groups.ignored,
    }
    return {word: len(names) for word, names in named.items() if names}
