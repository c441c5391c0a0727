"""Kubernetes in a cell: kubectl's verbs on one cluster and one namespace.

>>> kube = Kube(Path("kubeconfig"), namespace="llm-lab")
>>> kube.apply("manifests/overlays/embedded")
>>> kube.until("deployment/llm-inference-service available", seconds=60)
>>> kube.get("pods")

Knows no provider and decides nothing: what a command would print, it returns. Refuses what the server
refuses.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from labkit import _wait
from labkit.errors import Refused, WaitTimeout
from labkit.kube import conditions, documents, namespaces
from labkit.kube.api import MERGE, TABLE, Api, Request
from labkit.kube.apply import Applied, Target, apply
from labkit.kube.events import as_table, events, newest_warning
from labkit.kube.kubectl import kubectl
from labkit.kube.objects import KubeObject, Table
from labkit.kube.resources import Resource, Resources
from labkit.kube.watch import Change, watch


@dataclass(frozen=True)
class Which:
    """Some objects of a kind: those with these labels, in this namespace ("" is all of them)."""

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
        self.api = Api(kubeconfig, context=context)
        self.resources = Resources(self.api)

    def __repr__(self) -> str:
        return f"{self.api.host}, namespace {self.namespace}"

    def apply(self, *paths: str | Path, namespace: str | None = None) -> Applied:
        """Apply files, folders or kustomize folders; all of it or, where anything is refused, nothing."""
        found = [d for path in paths for d in documents.load(Path(path))]
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

    def objects(self, kind: str, *, which: Which = EVERY) -> list[KubeObject]:
        """All objects of a kind."""
        resource = self.resources.named(kind)
        path = resource.path(self._namespace(which))
        items = self.api.get(path, labelSelector=which.selector)["items"]
        return [KubeObject({"kind": resource.kind, "apiVersion": resource.api_version, **i}) for i in items]

    def delete(self, *targets: str | Path, grace: int | None = None) -> list[str]:
        """Delete `pod/web`, or what a manifest names; what is not there is passed over. Does not wait."""
        gone = []
        for resource, namespace, name in self._targets(targets):
            body = None if grace is None else {"gracePeriodSeconds": grace}
            try:
                self.api.send(Request(resource.path(namespace, name), "DELETE", body=body))
            except Refused as error:
                if error.reason != "NotFound":
                    raise
                continue
            gone.append(f"{resource.singular or resource.kind.lower()}/{name}")
        return gone

    def scale(self, target: str, *, replicas: int) -> KubeObject:
        """Set the number of replicas: `scale("deployment/llm-inference-service", replicas=3)`."""
        resource, name = self._target(target)
        path = resource.path(self.namespace, name, sub="scale")
        body = {"spec": {"replicas": replicas}}
        # kubectl's name, since a person did this: a later apply may then take the field back.
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

    def events(self, target: str = "", *, namespace: str | None = None) -> Table:
        """The events of the namespace, or of one object (`pod/web`), oldest first."""
        kind, name = "", ""
        if target:
            resource, name = self._target(target)
            kind = resource.kind
        return as_table(events(self.api, namespace or self.namespace, about=name, kind=kind))

    def logs(self, pod: str, *, container: str = "", tail: int | None = None, previous: bool = False) -> str:
        """What a container has printed; `previous` is the one before the last restart."""
        params = {
            "container": container or None,
            "tailLines": tail,
            "previous": "true" if previous else None,
        }
        return self.api.send(Request(self._log_path(pod), params=params, accept="*/*")).text

    def follow(self, pod: str, *, seconds: float, container: str = "") -> Iterator[tuple[float, str]]:
        """The lines of a log as they come, until it ends or `seconds` pass without a new one.

        Each with its moment (Unix time), as the kubelet stamped it.
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
        """`kubectl get KIND -w` for so many real seconds: what is there, then each change."""
        path = self.resources.named(kind).path(self._namespace(which))
        return watch(self.api, path, seconds=seconds, selector=which.selector)

    def until(self, *wanted: str, seconds: float) -> None:
        """Wait for each condition in turn, `seconds` for all of them together.

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

    def raw(self, path: str) -> Any:
        """What `kubectl get --raw PATH` returns, as JSON."""
        return self.api.get(path)

    def kubectl(self, *args: str | Path, stdin: str | None = None) -> str:
        """Any kubectl command on this cluster and namespace: `kubectl("describe", "pod/web")`."""
        context = ("--context", self.context) if self.context else ()
        place = ("--namespace", self.namespace, *context)
        return kubectl(*place, *args, kubeconfig=self.kubeconfig, stdin=stdin)

    def rollout(self, verb: str, target: str) -> str:
        """`rollout("restart", "deployment/x")`; also status, undo, history, pause and resume."""
        return self.kubectl("rollout", verb, target)

    def ensure_namespace(self, name: str = "") -> bool:
        """Make the namespace with labkit's label and Pod Security levels; True where it is new."""
        return namespaces.ensure(self.api, name or self.namespace)

    def delete_namespace(self, name: str = "", *, seconds: float = 60, wait: bool = True) -> None:
        """Delete a namespace that labkit made; to wait until it is gone takes 5 real seconds or more."""
        namespaces.delete(self.api, name or self.namespace, seconds=seconds if wait else 0)

    def _until(self, condition: conditions.Condition, resource: Resource, seconds: float) -> None:
        last: list[KubeObject] = []

        def holds() -> bool:
            last[:] = self._look(condition, resource)
            return condition.holds(resource, last)

        try:
            _wait.until(
                holds,
                condition.text,
                seconds=seconds,
                every=0.1,
                last_seen=lambda: condition.seen(resource, last),
            )
        except WaitTimeout as error:
            warning = newest_warning(self.api, self.namespace)
            if warning is None:
                raise
            seen = f"{error.last_seen}; newest warning: {warning}"
            raise WaitTimeout(condition.text, seconds=seconds, last_seen=seen) from error

    def _look(self, condition: conditions.Condition, resource: Resource) -> list[KubeObject]:
        if not condition.name:
            return self.objects(condition.kind, which=Which(selector=condition.selector or None))
        try:
            return [KubeObject(self.api.get(resource.path(self.namespace, condition.name)))]
        except Refused as error:
            if error.reason == "NotFound":
                return []
            raise

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
            if isinstance(target, str) and target.count("/") == 1 and not Path(target).exists():
                resource, name = self._target(target)
                yield resource, self.namespace, name
                continue
            for document in reversed(documents.load(Path(target))):
                meta = document.obj["metadata"]
                place = meta.get("namespace") or self.namespace
                yield self.resources.of(document.obj), place, meta["name"]


def _stamped(line: str) -> tuple[float, str]:
    """A line's moment and its text; one without a moment is a complaint of the kubelet's own, and of now."""
    moment, _, text = line.partition(" ")
    try:
        return datetime.fromisoformat(moment).timestamp(), text
    except ValueError:
        return time.time(), line
