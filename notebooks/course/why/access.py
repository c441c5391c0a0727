"""Refusals and missing things, each with its cause and fix: near names, missing permissions, missing APIs.

Only reads. What the answer can't do without raises; everything else becomes a note.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from course.why.questions import SERVERS
from labkit.errors import BadInput, ClusterError, Refused, Unreachable

Found = TypeVar("Found")
_DENIED = re.compile(r'cannot (\S+) resource "([^"]+)"(?: in API group "([^"]*)")?')


@dataclass
class Notes:
    """What could not be read in one look, once each."""

    said: list[str] = field(default_factory=list)

    def tried(self, read: Callable[[], Found], what: str) -> Found | None:
        """The result, or None with a note; an API server that does not answer is not skipped."""
        try:
            return read()
        except Unreachable:
            raise
        except (ClusterError, BadInput) as error:
            self.said.append(f"{what}: {reason(error)}")
            return None


def reason(error: ClusterError | BadInput) -> str:
    """Why something could not be read: the missing permission, or the server's own words."""
    missing = permission(error.what) if isinstance(error, Refused) else ""
    return f"this user lacks the RBAC verb {missing}" if missing else error.what.rstrip(".")


def permission(message: str) -> str:
    """The permission that a refusal names: `list on pods`, `get on deployments/scale.apps`; or nothing."""
    found = _DENIED.search(message)
    if not found:
        return ""
    verb, resource, group = found[1], found[2], found[3]
    return f"`{verb}` on {resource}{'.' + group if group else ''}"


def denied(error: Refused, *, namespace: str) -> Refused:
    """A refusal that ends the command, with the rule that would allow it."""
    found = _DENIED.search(error.what)
    if not found:
        return error
    verb, resource, group = found[1], found[2], found[3]
    return Refused(
        error.what,
        reason=error.reason,
        cause=f"This user lacks the RBAC verb {permission(error.what)} in namespace {namespace}.",
        fix=f"Ask for it: kubectl create role hpa-reader -n {namespace} --verb={verb} "
        f"--resource={resource}{'.' + group if group else ''}, and a rolebinding; or use another --context.",
    )


def no_such(
    kind: str, name: str, *, namespace: str, here: Iterable[str], elsewhere: Iterable[str]
) -> BadInput:
    """No object of that name: near names here, or the same name in another namespace."""
    known, others = sorted(here), sorted(elsewhere)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    where = [f"-n {each}" for each in others]
    if near:
        cause = f"Did you mean {', '.join(near)}?"
    elif others:
        cause = f"There is one in namespace {', '.join(others)}."
    else:
        cause = f"The namespace has {', '.join(known)}." if known else "The namespace has none at all."
    fix = f"Add {where[0]}." if where and not near else f"kubectl get {kind} -A lists all of them."
    return BadInput(f"There is no {kind}/{name} in namespace {namespace}.", cause=cause, fix=fix)


def not_served(group: str) -> str:
    """Nobody serves a metrics API: the HPA can't have a value either."""
    return (
        f"the API {group} is not served in this cluster: it takes {SERVERS[group]} "
        f"(kubectl get apiservices lists what is served)"
    )


def unreachable(error: Unreachable, host: str) -> Unreachable:
    """No answer, from any cluster."""
    return Unreachable(
        error.what,
        cause=f"The cluster of this kubeconfig does not run, or {host} can't be reached from here.",
        fix="kubectl cluster-info, with the same --kubeconfig and --context, must answer first.",
    )


def items(answer: Any) -> list[dict[str, Any]]:
    """The items of a list, and nothing but objects."""
    found = answer.get("items") if isinstance(answer, dict) else None
    return [each for each in found or () if isinstance(each, dict)]
