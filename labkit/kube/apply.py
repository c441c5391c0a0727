"""Server-side apply, all or nothing: every document is tried on the server (dry run) before any is applied.

Refuses unknown fields (`fieldValidation=Strict`), and never takes a field from a controller such as the HPA.
Fields that a person set with kubectl (scale, edit, set image) are taken over, with a note; so are those of a
controller that has given the object back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import Any

from labkit.errors import LabError, Refused
from labkit.kube.documents import Document
from labkit.kube.refusals import immutable
from localcluster.api import APPLY, fixed
from localcluster.api.client import Answer, Api, Request
from localcluster.api.refusals import unknown_fields
from localcluster.api.resources import Resource, Resources
from localcluster.api.schema import did_you_mean
from localcluster.durations import Change, compress

MANAGER = "labkit"
OWNED_BY = {"keda-operator": "ScaledObject"}
"""Controllers that write objects of others while their own kind owns them."""
WIDTH = 92  # characters of a warning on the screen; `Result.warnings` has the full text
_OWNER = re.compile(r'conflicts? with "([^"]+)"')


@dataclass(frozen=True)
class Target:
    """Where and how to apply."""

    api: Api
    resources: Resources
    namespace: str
    clock: float = 1.0


@dataclass(frozen=True)
class Result:
    """What became of one document."""

    title: str  # as kubectl says it: deployment.apps/llm-inference-service
    verb: str  # created, configured, unchanged
    warnings: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    taken_from: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.title} {self.verb}"]
        lines += [f"  Warning: {shorten(w, WIDTH, placeholder=' …')}" for w in self.warnings]
        lines += [f"  lab clock: {c}" for c in self.changes]
        lines += [f"  took over fields that {m} had set" for m in self.taken_from]
        return "\n".join(lines)


@dataclass(frozen=True, repr=False)
class Applied:
    """What `apply` did, in kubectl's words."""

    results: tuple[Result, ...]

    def __repr__(self) -> str:
        return "\n".join(str(r) for r in self.results)

    def __iter__(self) -> Any:
        return iter(self.results)


@dataclass(frozen=True)
class _Step:
    document: Document
    resource: Resource
    path: str
    obj: dict[str, Any]
    changes: tuple[Change, ...]
    force: bool = False
    taken_from: tuple[str, ...] = ()
    before: dict[str, Any] | None = None  # the object before; None if there was none


def apply(documents: Sequence[Document], target: Target) -> Applied:
    """Dry-run all, then apply all. A refusal names file, line and field, and nothing has been applied."""
    steps = [_plan(d, target) for d in documents]
    new = {d.obj["metadata"]["name"] for d in documents if d.obj["kind"] == "Namespace"}
    tried, errors = [], []
    for step in steps:
        try:
            tried.append(_try(step, target, new))
        except LabError as error:
            errors.append(error)
    if errors:
        raise _together(errors)
    return Applied(tuple(_do(step, target) for step in tried))


def _plan(document: Document, target: Target) -> _Step:
    resource = target.resources.of(document.obj)
    obj, changes = compress(document.obj, clock=target.clock)
    meta = obj["metadata"]
    path = resource.path(meta.get("namespace") or target.namespace, meta["name"])
    return _Step(document, resource, path, obj, tuple(changes))


def _try(step: _Step, target: Target, new_namespaces: set[str]) -> _Step:
    try:
        _patch(step, target.api, dry_run=True)
    except Refused as error:
        if error.reason == "NotFound" and (step.obj["metadata"].get("namespace") in new_namespaces):
            return step  # its namespace is created in the same call, so there is nothing to try it in yet
        owners = _owners(error)
        if owners and all(_person(o) or _left(o, step, target) for o in owners):
            return _try(replace(step, force=True, taken_from=owners), target, new_namespaces)
        raise _explained(error, step, target) from error
    return replace(step, before=target.api.find(step.path))


def _do(step: _Step, target: Target) -> Result:
    try:
        answer = _patch(step, target.api, dry_run=False)
    except Refused as error:
        raise _explained(error, step, target) from error
    group = f".{step.resource.group}" if step.resource.group else ""
    same = step.before is not None and _wanted(answer.json) == _wanted(step.before)
    return Result(
        title=f"{step.resource.singular or step.resource.kind.lower()}{group}/{step.obj['metadata']['name']}",
        verb="created" if answer.status == 201 else "unchanged" if same else "configured",
        warnings=answer.warnings,
        changes=step.changes,
        taken_from=step.taken_from,
    )


def _patch(step: _Step, api: Api, *, dry_run: bool) -> Answer:
    params = {
        "fieldManager": MANAGER,
        "fieldValidation": "Strict",
        "force": "true" if step.force else None,
        "dryRun": "All" if dry_run else None,
    }
    return api.send(Request(step.path, "PATCH", params, step.obj, content_type=APPLY))


def _wanted(obj: dict[str, Any]) -> dict[str, Any]:
    """An object without what the server and its controllers keep changing."""
    busy = ("resourceVersion", "managedFields", "generation")
    meta = {k: v for k, v in obj["metadata"].items() if k not in busy}
    return {**{k: v for k, v in obj.items() if k != "status"}, "metadata": meta}


def _owners(error: Refused) -> tuple[str, ...]:
    return tuple(sorted(set(_OWNER.findall(error.what)))) if error.reason == "Conflict" else ()


def _person(manager: str) -> bool:
    """Whether a person set it, by kubectl's field manager; all other managers are controllers."""
    return manager.startswith("kubectl")


def _left(manager: str, step: _Step, target: Target) -> bool:
    """Whether a controller has given the object back: it owned it once, and no longer does."""
    owner = OWNED_BY.get(manager)
    return owner is not None and owner not in _kinds_of_owners(step, target)


def _kinds_of_owners(step: _Step, target: Target) -> set[str]:
    there = target.api.find(step.path) or {}
    return {str(each["kind"]) for each in there.get("metadata", {}).get("ownerReferences") or ()}


def _explained(error: Refused, step: _Step, target: Target) -> Refused:
    """The same refusal, preceded by the place in the file and followed by a guess at the mistake."""
    if fixed.is_fixed(error.what):
        return _fixed(error, step, target)
    wrong = unknown_fields(error.what)
    field = wrong[0] if wrong else _field(error.what) or _decimal(error.what, step.obj)
    guesses = " ".join(did_you_mean(target.api, step.resource, w) for w in wrong).strip()
    what = f"{step.document.place(field)}: {error.what}"
    owners = _owners(error)
    if owned := next((OWNED_BY[o] for o in owners if o in OWNED_BY), ""):
        return Refused(
            what,
            reason=error.reason,
            cause=f"A {owned} owns this object, so {', '.join(owners)} writes it.",
            fix=f"First delete the {owned} and leave the object: "
            f"kubectl delete {owned.lower()} NAME --cascade=orphan. Then apply again.",
        )
    if owners:
        return Refused(
            what,
            reason=error.reason,
            cause=f"{', '.join(owners)} manages this field (for example, an HPA sets spec.replicas).",
            fix="Remove the field from the manifest: only one manager can own it.",
        )
    return Refused(what, reason=error.reason, cause=guesses or error.cause, fix=error.fix)


def _fixed(error: Refused, step: _Step, target: Target) -> Refused:
    """The error for an immutable field: which field it is in the file, and the command that helps."""
    there = target.api.find(step.path) or {}
    differs = list(fixed.changed(step.obj.get("spec"), there.get("spec"), "spec"))
    place = step.obj["metadata"].get("namespace", target.namespace)
    elsewhere = place if step.resource.namespaced and place != target.namespace else ""
    told = immutable(error.details or error.what, elsewhere=elsewhere)
    named = _field(error.what)
    field = next((path for path in differs if path.startswith(named)), named)
    only = f" Your file changes {', '.join(differs[:3])}." if named == "spec" and differs else ""
    return Refused(
        f"{step.document.place(field)}: {told.what}",
        reason=told.reason,
        cause=told.cause + only,
        fix=told.fix,
        details=told.details,
    )


def _field(message: str) -> str:
    """The first field that a message of the kind "x is invalid: spec.a.b: Invalid value" names."""
    found = re.search(r"(?:^|[\s:\[])\.?((?:spec|metadata|data|rules|subjects)[\w.\[\]/=\"-]*)", message)
    return found.group(1).removesuffix(":") if found else ""


def _decimal(message: str, obj: dict[str, Any]) -> str:
    """The only number with decimals, if the server rejects one without naming the field."""
    found = list(_decimals(obj)) if "cannot convert float64 to int" in message else []
    return found[0] if len(found) == 1 else ""


def _decimals(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _decimals(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _decimals(inner, f"{path}[{i}]")
    elif isinstance(value, float):
        yield path


def _together(errors: Sequence[LabError]) -> LabError:
    first = errors[0]
    if len(errors) == 1:
        return first
    rest = json.dumps([e.what for e in errors[1:]], indent=1, ensure_ascii=False)[1:-1].strip()
    return Refused(
        f"{first.what}\nAnd {len(errors) - 1} more: {rest}",
        reason=getattr(first, "reason", ""),
        cause=first.cause,
        fix=first.fix,
    )
