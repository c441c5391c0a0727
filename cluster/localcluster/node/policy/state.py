"""What the three watches have said so far, as the compiler takes it.

Its version rises only for what can change a rule: a pod's new condition, for example, can't.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Generic, TypeVar

from localcluster.api import Json
from localcluster.api.asynchronous import Change, Listed
from localcluster.node.policy import pods, reading
from localcluster.node.policy.pods import Pod
from localcluster.node.policy.reading import Policy

T = TypeVar("T")


class Table(ABC, Generic[T]):
    """What policies see of the objects of one kind, by uid; `version` rises when that changes."""

    def __init__(self) -> None:
        self.version = 0
        self.listed = False
        self.seen: dict[str, T] = {}

    def take(self, event: Listed | Change) -> None:
        """Take one event of a watch."""
        if isinstance(event, Listed):
            for uid in self.seen.keys() - {_uid(item) for item in event.items}:
                self._drop(uid)
            for item in event.items:
                self._put(item)
            self.listed = True
            self.version += 1
        elif event.type == "DELETED":
            self._drop(_uid(event.object))
        else:
            self._put(event.object)

    def _put(self, item: Json) -> None:
        uid, now = _uid(item), self._read(item)
        if now is None:
            self._drop(uid)
        elif self.seen.get(uid) != now:
            self.seen[uid] = now
            self.version += 1

    def _drop(self, uid: str) -> None:
        if self.seen.pop(uid, None) is not None:
            self.version += 1

    @abstractmethod
    def _read(self, item: Json) -> T | None:
        """What policies see of an object; None if it is nothing to them."""


class Policies(Table[Policy]):
    """The NetworkPolicies."""

    path = "/apis/networking.k8s.io/v1/networkpolicies"

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, Policy] = {}

    def _read(self, item: Json) -> Policy:
        return reading.read(item)

    def references(self) -> dict[str, Json]:
        """An ObjectReference of each, by uid."""
        return {uid: _reference(uid, policy) for uid, policy in self.seen.items()}

    def new_faults(self) -> Iterator[tuple[Json, str]]:
        """Those that could not be read, with the reason; each only until it changes."""
        faulty = {uid: policy for uid, policy in self.seen.items() if policy.fault}
        for uid, policy in faulty.items():
            if self._told.get(uid) != policy:
                yield _reference(uid, policy), policy.fault
        self._told = faulty


class Namespaces(Table[tuple[str, Mapping[str, str]]]):
    """The namespaces: name and labels of each."""

    path = "/api/v1/namespaces"

    def _read(self, item: Json) -> tuple[str, Mapping[str, str]]:
        meta = item["metadata"]
        return meta["name"], meta.get("labels") or {}


class Pods(Table[Pod]):
    """The pods, and the addresses of those that are about to start."""

    path = "/api/v1/pods"

    def __init__(self) -> None:
        super().__init__()
        self._announced: dict[str, str] = {}

    def _read(self, item: Json) -> Pod | None:
        return pods.read(item)

    def announce(self, uid: str, ip: str) -> None:
        """Note an address that the API server has not been told yet."""
        self._announced[uid] = ip
        self.version += 1

    def forget(self, uid: str) -> None:
        """Forget such an address."""
        self._announced.pop(uid, None)

    def with_address(self) -> Iterator[Pod]:
        """All that have an address."""
        for uid, pod in self.seen.items():
            if ip := pod.ip or self._announced.get(uid):
                yield replace(pod, ip=ip)

    def _drop(self, uid: str) -> None:
        super()._drop(uid)
        self.forget(uid)


class State:
    """Policies, namespaces and pods of the cluster."""

    def __init__(self) -> None:
        self.policies, self.namespaces, self.pods = Policies(), Namespaces(), Pods()

    @property
    def version(self) -> int:
        """Rises when something changes that matters to rules."""
        return self.policies.version + self.namespaces.version + self.pods.version

    @property
    def complete(self) -> bool:
        """Whether all three have been listed."""
        return self.policies.listed and self.namespaces.listed and self.pods.listed

    def labels(self) -> dict[str, Mapping[str, str]]:
        """The labels of each namespace by its name."""
        return dict(self.namespaces.seen.values())

    def knows(self, uid: str) -> bool:
        """Whether all has been listed, and this pod is there."""
        return self.complete and uid in self.pods.seen

    def isolates(self, uid: str) -> bool:
        """Whether some policy selects this pod."""
        pod, policies = self.pods.seen.get(uid), self.policies.seen.values()
        return pod is not None and any(policy.selects_pod(pod.namespace, pod.labels) for policy in policies)


def _uid(item: Json) -> str:
    uid: str = item["metadata"]["uid"]
    return uid


def _reference(uid: str, policy: Policy) -> Json:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "namespace": policy.namespace,
        "name": policy.name,
        "uid": uid,
    }
