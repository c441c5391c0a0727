"""Kubernetes in a cell: kubectl's verbs on one cluster and one namespace.

>>> kube = Kube(Path("kubeconfig"), namespace="llm-lab")
>>> kube.apply("manifests/overlays/embedded")
>>> kube.until("deployment/llm-inference-service available", seconds=60)
>>> kube.get("pods")

It knows no provider and decides nothing: it returns what a kubectl command would print, and raises what the
server refuses.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labkit import course
from labkit.errors import WaitTimeout
from labkit.kube import conditions, documents, namespaces, refusals
from labkit.kube.apply import Applied, Target, apply
from labkit.kube.kubectl import kubectl
from localcluster import polling
from localcluster.api import MERGE
from localcluster.api.client import TABLE, Api, Request
from localcluster.api.objects import KubeObject, Table
from localcluster.api.resources import Resource, Resources
from localcluster.api.warnings import newest_warning
from localcluster.api.watch import Change, watch


@dataclass(frozen=True)
class Which:
    """A subset of the objects of a kind: those with these labels, in this namespace ("" means all)."""

    selector: str | None = None
    namespace: str | None = None


EVERY = Which()


class Kube:
    """One cluster, one namespace."""

    def __init__(
        self,
        kubeconfig: Path,
        *,
        context: str | None = None,
        namespace: str = "default",
        clock: float = 1.0,
    ) -> None:
        self.kubeconfig = kubeconfig
        self.context = context
        self.namespace = namespace
        self.clock = clock
        self.api = Api(kubeconfig, context=context, refusal=refusals.refusal)
        self.resources = Resources(self.api)

    def __repr__(self) -> str:
        return f"{self.api.host}, namespace {self.namespace}"

    def apply(self, *paths: str | Path, namespace: str | None = None) -> Applied:
        """Apply files, folders or kustomize folders: all of it or, if anything is refused, nothing."""
        found = [d for path in paths for d in documents.load(path)]
        return apply(found, Target(self.api, self.resources, namespace or self.namespace, self.clock))

    def get(self, kind: str, name: str = "", *, which: Which = EVERY) -> Table:
        """The table that `kubectl get` prints: `get("pods")`, `get("hpa", "llm-hpa")`, `get("pod/web")`."""
        resource, name = self._target(kind, name)
        namespace = self._namespace(which)
        request = Request(
            resource.path(namespace, name),
            params={"labelSelector": which.selector, "includeObject": "Object"},
            accept=TABLE,
        )
        where = f" in {namespace} namespace" if resource.namespaced and namespace else ""
        return Table.printed(self.api.send(request).json, empty=f"No resources found{where}.")

    def object(self, kind: str, name: str = "") -> KubeObject:
        """One object: `object("deployment/llm-inference-service")`; raises `Refused` (NotFound)."""
        resource, name = self._target(kind, name)
        return KubeObject(self.api.get(resource.path(self.namespace, name)))

    def find(self, target: str) -> KubeObject | None:
        """One object: `find("hpa/llm-hpa")`; None if it does not exist."""
        resource, name = self._target(target, "")
        found = self.api.find(resource.path(self.namespace, name))
        return None if found is None else KubeObject(found)

    def objects(self, kind: str, *, which: Which = EVERY) -> list[KubeObject]:
        """All objects of a kind."""
        resource = self.resources.named(kind)
        path = resource.path(self._namespace(which))
        items = self.api.get(path, labelSelector=which.selector)["items"]
        return [KubeObject({"kind": resource.kind, "apiVersion": resource.api_version, **i}) for i in items]

    def delete(self, *targets: str | Path, grace: int | None = None) -> list[str]:
        """Delete `pod/web`, or the objects in a manifest; missing ones are skipped. Does not wait."""
        gone = []
        for resource, namespace, name in self._targets(targets):
            body = None if grace is None else {"gracePeriodSeconds": grace}
            if self.api.delete(resource.path(namespace, name), body=body):
                gone.append(f"{resource.singular or resource.kind.lower()}/{name}")
        return gone

    def scale(self, target: str, *, replicas: int) -> KubeObject:
        """Set the number of replicas: `scale("deployment/llm-inference-service", replicas=3)`."""
        resource, name = self._target(target)
        path = resource.path(self.namespace, name, sub="scale")
        body = {"spec": {"replicas": replicas}}
        # kubectl's field manager, since a person did this: a later apply can then take the field back.
        params = {"fieldManager": "kubectl-scale"}
        return KubeObject(self.api.send(Request(path, "PATCH", params, body, content_type=MERGE)).json)

    def patch(self, target: str, change: dict[str, Any]) -> KubeObject:
        """Change a few fields of one object (JSON merge patch)."""
        resource, name = self._target(target)
        request = Request(
            resource.path(self.namespace, name),
            "PATCH",
            params={"fieldManager": "kubectl-patch", "fieldValidation": "Strict"},
            body=change,
            content_type=MERGE,
        )
        return KubeObject(self.api.send(request).json)

    def logs(self, pod: str, *, container: str = "", tail: int | None = None, previous: bool = False) -> str:
        """A container's output; `previous` is that of the run before the last restart."""
        params = {
            "container": container or None,
            "tailLines": tail,
            "previous": "true" if previous else None,
        }
        return self.api.send(Request(self._log_path(pod), params=params, accept="*/*")).text

    def follow(self, pod: str, *, seconds: float, container: str = "") -> Iterator[tuple[float, str]]:
        """The lines of a log as they arrive, until it ends or `seconds` pass without a new one.

        Each comes with the kubelet's timestamp (Unix time).
        """
        params = {"container": container or None, "follow": "true", "timestamps": "true"}
        request = Request(self._log_path(pod), params=params, accept="*/*", seconds=seconds)
        response = self.api.stream(request)
        try:
            for line in response:
                yield _stamped(line.decode(errors="replace").rstrip("\n"))
        finally:
            response.close()

    def watch(self, kind: str, *, seconds: float, which: Which = EVERY) -> Iterator[Change]:
        """`kubectl get KIND -w` for this many real seconds: the current objects, then each change."""
        path = self.resources.named(kind).path(self._namespace(which))
        return watch(self.api, path, seconds=seconds, selector=which.selector)

    def until(self, *wanted: str, seconds: float) -> None:
        """Wait for each condition in turn, for `seconds` in total.

        `WaitTimeout` says what was last seen and what last went wrong.

        For example `until("pods app=llm-model ready=3", "hpa/llm-hpa desired>=6", seconds=60)`.
        """
        parsed = [conditions.parse(text) for text in wanted]
        resources = [self.resources.named(c.kind) for c in parsed]
        for condition, resource in zip(parsed, resources, strict=True):
            conditions.check(condition, resource)
        deadline = time.monotonic() + seconds
        for condition, resource in zip(parsed, resources, strict=True):
            self._until(condition, resource, max(0.0, deadline - time.monotonic()))

    def raw(self, path: str, *, selector: str | None = None) -> Any:
        """What `kubectl get --raw PATH` returns, as JSON; `selector` chooses by label."""
        return self.api.get(path, **({"labelSelector": selector} if selector else {}))

    def kubectl(self, *args: str | Path, stdin: str | None = None, warnings: bool = False) -> str:
        """Run any kubectl command on this cluster and namespace: `kubectl("describe", "pod/web")`.

        With `warnings`, the result includes stderr, such as `No resources found`.
        """
        context = ("--context", self.context) if self.context else ()
        place = ("--namespace", self.namespace, *context)
        return kubectl(*place, *args, kubeconfig=self.kubeconfig, stdin=stdin, warnings=warnings)

    def ensure_namespace(self, name: str = "") -> bool:
        """Create the namespace with labkit's label and Pod Security levels; True if it is new."""
        return namespaces.ensure(self.api, name or self.namespace)

    def delete_namespace(self, name: str = "", *, seconds: float = 60, wait: bool = True) -> None:
        """Delete a namespace that labkit made; waiting until it is gone takes 5 real seconds or more."""
        namespaces.delete(self.api, name or self.namespace, seconds=seconds if wait else 0)

    def _until(self, condition: conditions.Condition, resource: Resource, seconds: float) -> None:
        last: list[KubeObject] = []
        began = datetime.now(UTC) - conditions.JUST_BEFORE

        def holds() -> bool:
            last[:] = self._look(condition, resource)
            return condition.holds(resource, last)

        try:
            polling.until(
                holds,
                condition.text,
                seconds=seconds,
                every=0.1,
                last_seen=lambda: condition.seen(resource, last),
            )
        except WaitTimeout as error:
            about = conditions.concerned(condition, resource, last)
            warning = newest_warning(self.api, self.namespace, since=began, about=about)
            if warning is None:
                raise
            seen = f"{error.last_seen}; newest warning: {warning}"
            raise WaitTimeout(condition.text, seconds=seconds, last_seen=seen) from error

    def _look(self, condition: conditions.Condition, resource: Resource) -> list[KubeObject]:
        if not condition.name:
            return self.objects(condition.kind, which=Which(selector=condition.selector or None))
        found = self.api.find(resource.path(self.namespace, condition.name))
        return [] if found is None else [KubeObject(found)]

    def _namespace(self, which: Which) -> str:
        return self.namespace if which.namespace is None else which.namespace

    def _log_path(self, pod: str) -> str:
        resource, name = self._target(pod if "/" in pod else f"pod/{pod}")
        return resource.path(self.namespace, name, sub="log")

    def _target(self, kind: str, name: str = "") -> tuple[Resource, str]:
        word, slash, rest = kind.partition("/")
        return self.resources.named(word), rest if slash else name

    def _targets(self, targets: Sequence[str | Path]) -> Iterator[tuple[Resource, str, str]]:
        for target in targets:
            if isinstance(target, str) and target.count("/") == 1 and not course.path(target).exists():
                resource, name = self._target(target)
                yield resource, self.namespace, name
                continue
            for document in reversed(documents.load(target)):
                meta = document.obj["metadata"]
                place = meta.get("namespace") or self.namespace
                yield self.resources.of(document.obj), place, meta["name"]


def _stamped(line: str) -> tuple[float, str]:
    """A line's time and text; one without a timestamp is the kubelet's own message, and gets the time now."""
    moment, _, text = line.partition(" ")
    try:
        return datetime.fromisoformat(moment).timestamp(), text
    except ValueError:
        return time.time(), line
