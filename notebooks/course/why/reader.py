"""All that `labkit why` asks of a cluster: GET requests only, each of which may be refused.

The controller's own questions are asked again (the target's scale, its pods, the metrics), so the answers are
a moment younger or older than those that the controller got.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from course.hpa import answers
from course.hpa.policy import Policy, Target
from course.hpa.readings import Reading
from course.why import access, flags, past, questions
from course.why.access import Notes
from course.why.explain import Explanation
from course.why.flags import Flags
from course.why.follow import Writer
from course.why.snapshot import Snapshot
from labkit.doctor import extract
from labkit.doctor.look import SERVICES
from labkit.errors import BadInput, ClusterError, Refused
from labkit.kube.client import Kube
from localcluster.api.client import Request
from localcluster.api.objects import KubeObject, dig

HPAS = "/apis/autoscaling/v2"
KEDA = "/apis/keda.sh/v1alpha1"
PATIENCE = 10.0  # seconds for a metrics API, which may hang
_MANAGER = "/api/v1/namespaces/kube-system/pods"

Json = Mapping[str, Any]


class Reader:
    """One namespace of one cluster."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._versions: dict[str, str] = {}

    @property
    def namespace(self) -> str:
        """The namespace that is read."""
        return self._kube.namespace

    # The objects that are explained ----------------------------------------------------------------------

    def hpa(self, name: str) -> Json:
        """An HPA as autoscaling/v2; raises what is wrong, with near names if there is none."""
        return self._object(HPAS, "horizontalpodautoscalers", "hpa", name)

    def scaled_object(self, name: str) -> Json:
        """A ScaledObject; raises what is wrong."""
        return self._object(KEDA, "scaledobjects", "scaledobject", name)

    def exists(self, hpa: str) -> bool:
        """Whether there is an HPA of that name: KEDA makes and deletes its own."""
        return (
            self._kube.api.find(f"{HPAS}/namespaces/{self.namespace}/horizontalpodautoscalers/{hpa}")
            is not None
        )

    def names(self, kind: str) -> list[str]:
        """The HPAs (`hpa`) or ScaledObjects (`scaledobject`) of the namespace."""
        root, plural = (HPAS, "horizontalpodautoscalers") if kind == "hpa" else (KEDA, "scaledobjects")
        return [str(dig(i, "metadata.name")) for i in self._list(root, plural)]

    def _object(self, root: str, plural: str, kind: str, name: str) -> Json:
        try:
            found = self._kube.api.find(f"{root}/namespaces/{self.namespace}/{plural}/{name}")
        except Refused as error:
            raise access.denied(error, namespace=self.namespace) from error
        if found is not None:
            return dict(found)
        if kind == "scaledobject" and not self._served("keda.sh"):
            raise BadInput(
                "This cluster has no ScaledObjects.",
                cause="KEDA is not installed: nothing serves the API keda.sh.",
                fix="labkit why hpa/NAME explains an HPA; it takes no KEDA.",
            )
        notes = Notes()
        here = notes.tried(lambda: self._list(root, plural), "names") or []
        every = notes.tried(lambda: access.items(self._kube.api.get(f"{root}/{plural}")), "names") or []
        places = [str(dig(i, "metadata.namespace")) for i in every if dig(i, "metadata.name") == name]
        known = [str(dig(i, "metadata.name")) for i in here]
        raise access.no_such(kind, name, namespace=self.namespace, here=known, elsewhere=places)

    def _list(self, root: str, plural: str) -> list[dict[str, Any]]:
        return access.items(self._kube.api.get(f"{root}/namespaces/{self.namespace}/{plural}"))

    # One look ---------------------------------------------------------------------------------------------

    def snapshot(self, name: str) -> Snapshot:
        """The HPA, its target, its pods and its metrics, one after the other."""
        notes = Notes()
        hpa, at = self.hpa(name), time.time()
        scale, unreadable = self.scale(dig(hpa, "spec.scaleTargetRef") or {}, notes)
        selector = str(dig(scale or {}, "status.selector") or "")
        pods = notes.tried(lambda: self._pods(selector), "pods") if selector else ()
        metrics = dig(hpa, "spec.metrics") or ()
        readings = tuple(
            self._reading(target, metric, selector, notes)
            for target, metric in zip(Policy.of(hpa).targets, metrics, strict=False)
        )
        return Snapshot(
            at,
            hpa,
            scale,
            unreadable,
            None if pods is None else tuple(pods),
            readings,
            tuple(notes.said),
        )

    def scale(self, ref: Json, notes: Notes) -> tuple[Json | None, str]:
        """The scale of a target, or why it can't be read."""
        said = len(notes.said)
        found = notes.tried(lambda: self._kube.api.get(self._path(ref, "scale")), "the target's scale")
        return found, "" if found is not None else notes.said[said]

    def _pods(self, selector: str) -> list[dict[str, Any]]:
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        return access.items(self._kube.api.get(path, labelSelector=selector))

    def _path(self, ref: Json, sub: str = "") -> str:
        obj = {"apiVersion": ref.get("apiVersion") or "v1", "kind": ref.get("kind") or ""}
        return self._kube.resources.of(obj).path(self.namespace, str(ref.get("name")), sub=sub)

    def _reading(self, target: Target, metric: Json, selector: str, notes: Notes) -> Reading | None:
        if target.per_pod and not selector:
            return Reading(failure="the target has no selector")
        said = len(notes.said)
        asked = notes.tried(
            lambda: questions.ask(metric, namespace=self.namespace, selector=selector, place=self._place),
            f"metric {target.name}",
        )
        if asked is None:
            return Reading(failure=notes.said[said])
        try:
            if not self._served(asked.group):
                return Reading(failure=access.not_served(asked.group))
            path = f"/apis/{asked.group}/{self._versions[asked.group]}/{asked.path}"
            params = {key: value for key, value in asked.params.items() if value}
            answer = self._kube.api.send(Request(path, params=params, seconds=PATIENCE, once=True)).json
            return answers.of_items(target, access.items(answer))
        except (ClusterError, ValueError, KeyError) as error:
            return self._without(error, target, asked.resource, notes)

    def _without(self, error: Exception, target: Target, resource: str, notes: Notes) -> Reading | None:
        """No value: for the controller, too (a failure), or only for this user (None, with a note)."""
        if not isinstance(error, ClusterError):
            return Reading(failure=f"an answer that is no metric ({error})")
        if isinstance(error, Refused) and error.reason == "Forbidden":
            missing = access.permission(error.what) or f"`get` on {resource}"
            notes.said.append(f"the values of {target.name}: this user lacks the RBAC verb {missing}")
            return None
        return Reading(failure=error.what)

    def _place(self, api_version: str, kind: str) -> str:
        resource = self._kube.resources.of({"apiVersion": api_version, "kind": kind})
        return f"{resource.plural}.{resource.group}" if resource.group else resource.plural

    def _served(self, group: str) -> bool:
        """Whether a group is served; asked once for each yes, so that a part that comes later is seen."""
        if group not in self._versions:
            found = self._kube.api.find(f"/apis/{group}")
            version = dig(found or {}, "preferredVersion.version")
            if version is None:
                return False
            self._versions[group] = str(version)
        return True

    def server(self, group: str, notes: Notes) -> Mapping[str, str]:
        """Who is to answer a group of the API, where it does not: `name`, `service`, `reason`, `message`."""
        found = notes.tried(lambda: access.items(self._kube.api.get(SERVICES)), "APIServices") or ()
        every = [extract.api_service(KubeObject(each)) for each in found]
        mine = [each for each in every if each.group == group]
        if not mine or any(each.available for each in mine):
            return {}
        down = mine[0]
        return {
            "name": down.name,
            "service": down.service,
            "reason": down.reason,
            "message": down.message,
        }

    # The past, and the controller --------------------------------------------------------------------------

    def events(self, kind: str, name: str, notes: Notes) -> list[Explanation]:
        """What the events of an object tell, oldest first."""
        chosen = f"involvedObject.kind={kind},involvedObject.name={name}"
        path = f"/api/v1/namespaces/{self.namespace}/events"
        found = notes.tried(lambda: access.items(self._kube.api.get(path, fieldSelector=chosen)), "events")
        about = "hpa" if kind == "HorizontalPodAutoscaler" else kind.lower()
        return past.from_events(found or [], about=f"{about}/{name}")

    def writers(self, ref: Json, notes: Notes) -> list[Writer]:
        """Who wrote the target's replicas, by its managed fields."""
        found = notes.tried(lambda: self._kube.api.get(self._path(ref)), "the target's managed fields")
        return past.writers(found or {})

    def rollout(self, ref: Json, notes: Notes) -> str:
        """Whether a rollout of the target is under way."""
        if ref.get("kind") != "Deployment":
            return ""
        target = notes.tried(lambda: self._kube.api.get(self._path(ref)), "the target")
        path = f"/apis/apps/v1/namespaces/{self.namespace}/replicasets"
        sets = notes.tried(lambda: access.items(self._kube.api.get(path)), "ReplicaSets")
        return past.rollout(sets or [], owner=str(dig(target or {}, "metadata.uid") or ""))

    def flags(self) -> Flags:
        """The controller manager's flags, if it runs in a pod that this user can see; else the defaults."""
        notes, label = Notes(), "component=kube-controller-manager"
        pods = notes.tried(lambda: access.items(self._kube.api.get(_MANAGER, labelSelector=label)), "flags")
        for pod in pods or ():
            container = dig(pod, "spec.containers.0") or {}
            words = [*(container.get("command") or ()), *(container.get("args") or ())]
            return flags.parse(map(str, words), source=f"pod/{dig(pod, 'metadata.name')}")
        return Flags()
