"""A class as a guest on an existing cluster: one namespace, claimed, emptied, and left empty.

Refuses a namespace with someone's work in it, and one in which another class is being graded. What a killed
grader left is removed first: it was made under that grader's claim.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from course.hpa import audit
from labkit import clients, reset
from labkit.errors import NotOurs, ProviderError, Refused
from labkit.kube.client import Kube
from labkit.lab import NAMESPACE
from labkit_grading.crew import Result
from labkit_grading.sites import terms
from labkit_grading.sites.claim import GRADING, Claim
from labkit_grading.sites.guard import FILE, Guard, lift
from labkit_grading.sites.site import Site
from localcluster.api.objects import KubeObject
from localcluster.provider import Report

Still = Callable[[Iterable[Result]], Iterator[Result]]
"""Passes results on as long as the cluster is this class's."""
WORK = ("deployments", "statefulsets", "daemonsets", "jobs", "cronjobs", "pods", "persistentvolumeclaims")


@contextlib.contextmanager
def held(site: Site, report: Path, tell: Report) -> Iterator[Still]:
    """Hold the cluster for one report; does nothing if each worker has its own."""
    if site.own:
        yield iter
        return
    kube = clients.kube(site.connected(), namespace=NAMESPACE)
    claim = Claim(kube.api, holder(report))
    with _told_whom_to_ask():
        again = _take(claim, kube, site)
    tell(f"claimed namespace {NAMESPACE} on {site}{' (an earlier grader left it)' if again else ''}")
    try:
        with claim.renewed():
            reset.clear(kube, tell, owned=site.is_labkits)
            with _told_whom_to_ask():
                Guard(kube, report, 0.0).rehearse()
            yield partial(_while_ours, claim)
    finally:
        if claim.ours:
            leave(kube, claim, site, tell)


def _take(claim: Claim, kube: Kube, site: Site) -> bool:
    """Claim the cluster; return whether an earlier grader had claimed it."""
    kube.ensure_namespace()
    until = claim.look()
    refuse_work([one for kind in WORK for one in kube.objects(kind)], until, site)
    kube.ensure_namespace(GRADING)
    claim.take()
    return until > 0


def _while_ours(claim: Claim, results: Iterable[Result]) -> Iterator[Result]:
    for result in results:
        claim.refuse_if_lost()
        yield result


def leave(kube: Kube, claim: Claim, site: Site, tell: Report) -> None:
    """Empty the namespace, remove what confined students to it and, last of all, the claim."""
    reset.clear(kube, tell, owned=site.is_labkits)
    lift(kube)
    terms.lift(kube)
    claim.release()
    kube.delete_namespace(GRADING, wait=False)


@contextlib.contextmanager
def _told_whom_to_ask() -> Iterator[None]:
    try:
        yield
    except Refused as error:
        raise ProviderError(
            f"This user is not allowed to grade on that cluster: {error.what}",
            cause=f"Grading also needs a namespace {GRADING}, and permission to create what is in {FILE}.",
            fix="Grade as the cluster's owner, or ask for the cluster role admin in both namespaces and "
            "permission to write resourcequotas and limitranges.",
        ) from error


def holder(report: Path) -> str:
    """The name under which a report claims a cluster."""
    return f"{socket.gethostname()}:{report}"


def refuse_work(there: Iterable[KubeObject], claimed_until: float, site: Site) -> None:
    """Raise if the namespace has anything in it that no graded class made."""
    roots = [one for one in there if not one.at("metadata.ownerReferences")]
    theirs = [one for one in roots if _made(one) > claimed_until]
    if theirs:
        raise NotOurs(
            f"Namespace {NAMESPACE} on {site} contains someone's work: {_named(theirs)}.",
            cause="Someone uses the course there. Grading needs the namespace for itself, and empties it.",
            fix="Ask them. If it is no longer needed, `lab.reset()` in any notebook empties it.",
        )


def _named(some: Sequence[KubeObject]) -> str:
    return ", ".join(map(repr, some[:5])) + (" …" if len(some) > 5 else "")


def _made(one: KubeObject) -> float:
    return audit.seconds(one.at("metadata.creationTimestamp")) or 0.0
