"""Pods that ran something else than the course's programs, and what they say against a recording.

What the API server should have refused (`sites/programs.yaml`), and what only shows once a pod runs: another
image under the same name, a server that no Deployment of the recording counts, another clock. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from labkit.evidence.timeline import Timeline
from labkit.load.results import LoadResult
from labkit_grading.judging.bundle import Observation, Sender, Stranger
from labkit_grading.judging.programs import Programs, foreign
from labkit_grading.judging.sources import Source
from localcluster.api.objects import KubeObject

HASH = "pod-template-hash"
SHOWN = 3
"""How many of them a line names."""
Span = tuple[float, float]


@dataclass(frozen=True)
class Expected:
    """What a notebook's pods are compared with: the course's programs, and the digests of images by name."""

    programs: Programs
    digests: dict[str, str]
    """Filled in before the first pod is made."""
    clock: float

    def of(self, pod: KubeObject) -> tuple[str, ...]:
        """What is odd about a pod as it is now."""
        spec = dict(pod.at("spec", {}))
        found = [*foreign(spec, self.programs)]
        own = [one for one in spec.get("containers", ()) if not one.get("command")]
        if own and (maker := _maker(pod)) not in self.programs.names:
            found.append(f"it belongs to {maker}, which no file of this notebook makes: nobody counts it")
        for status in pod.at("status.containerStatuses") or ():
            image, ran = str(status.get("image")), str(status.get("imageID") or "")
            expected = self.digests.get(image, "")
            if expected and "sha256:" in ran and not ran.endswith(expected):
                found.append(f"its image {image} is not the grader's: {ran[-71:]}")
        return tuple(found)

    def told(self, labels: Mapping[str, str]) -> str:
        """What is odd in what a server says of itself (`labkit_simulated_info`); empty if nothing is."""
        clock, product, profile = (labels.get(name, "") for name in ("clock", "gpu", "profile"))
        if clock != f"{self.clock:g}":
            return f"its clock was {clock:.20}, and the lab's is {self.clock:g}"
        if not any(product == one or product.startswith(f"{one}-MIG") for one in self.programs.products):
            return f"its GPU was {product:.60}"
        if not profile.startswith(f"{product}_".lower()):
            return f"its timing profile was {profile:.60}, on {product:.60}"
        return ""


def _maker(pod: KubeObject) -> str:
    """The Deployment or other object that counts a pod; the pod itself if none does."""
    owners = [one for one in pod.at("metadata.ownerReferences") or () if one.get("controller")]
    if not owners:
        return f"Pod/{pod.name}"
    kind, name = str(owners[0].get("kind")), str(owners[0].get("name"))
    of_deployment, hashed = kind == "ReplicaSet", f"-{pod.labels.get(HASH, '')}"
    if of_deployment and name.endswith(hashed):
        return f"Deployment/{name.removesuffix(hashed)}"
    return f"{kind}/{name}"


class Watched:
    """Takes versions of pods in order, and keeps who was odd, from when to when (Unix times)."""

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._odd: dict[str, Stranger] = {}
        self._addresses: dict[str, str] = {}
        self.over: list[Stranger] = []

    def take(self, kind: str, pod: KubeObject, at: float) -> None:
        """Take a version seen at a moment; `kind` is a watch's: ADDED, MODIFIED, DELETED."""
        uid = str(pod.at("metadata.uid"))
        if address := pod.at("status.podIP"):
            self._addresses[str(address)] = pod.name
        gone = kind == "DELETED" or pod.at("status.phase") in {"Succeeded", "Failed"}
        why = () if gone else self._expected.of(pod)
        before = self._odd.pop(uid, None)
        if before and before.why == why:
            self._odd[uid] = before
            return
        if before:
            self.over.append(replace(before, ended=at))
        if why:
            self._odd[uid] = Stranger(pod.name, at, 0.0, why)

    @property
    def addresses(self) -> dict[str, str]:
        """The submission's pods by address."""
        return dict(self._addresses)

    @property
    def strangers(self) -> tuple[Stranger, ...]:
        """All of them; `ended` is 0 for those that are still there."""
        return (*self.over, *self._odd.values())


def beside(one: Observation, strangers: Iterable[Stranger]) -> list[str]:
    """What ran beside a check's recordings and was not the course's."""
    spans = list(_spans(one))
    found = [who for who in strangers if any(_overlap(who, span) for span in spans)]
    told = dict.fromkeys(f"pod {who.pod}: {what}" for who in found for what in who.why)
    return [f"{what} while this was measured" for what in list(told)[:SHOWN]]


def sent(one: Observation, senders: Iterable[Sender], *, own: bool) -> list[str]:
    """Which pods sent load beside the grader's: the submission's `own`, or others."""
    spans = list(_spans(one))
    return [
        f"pod {who.pod} at {who.client} sent {who.requests} requests while this was measured"
        for who in senders
        if who.pod and who.own == own and any(_overlap(who, span) for span in spans)
    ][:SHOWN]


def _spans(one: Observation) -> Iterator[Span]:
    """When a check's recordings were made; for one whose moment is not known, any time before it."""
    for given in one.given.values():
        if given.source is Source.RECORDED and given.own:
            yield _span(given.value) or (0.0, one.at)


def _span(value: Any) -> Span | None:
    if isinstance(value, Timeline) and value.began:
        return value.began, value.began + value.end() / value.clock
    if isinstance(value, LoadResult) and value.rows:
        return value.started, value.started + value.seconds / value.clock
    return None


def _overlap(who: Stranger | Sender, span: Span) -> bool:
    return who.began <= span[1] and (not who.ended or who.ended >= span[0])
