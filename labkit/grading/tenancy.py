"""A class as a guest on a cluster that was there before it: one namespace, claimed, emptied, and left empty.

Refuses a namespace that holds somebody's work, and one in which another class is being graded. What a killed
grader left is taken away first: it was made while that one's claim held.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from labkit import reset
from labkit.autoscaling import audit
from labkit.errors import NotOurs, ProviderError, Refused
from labkit.grading.crew import Result
from labkit.grading.sites.claim import GRADING, Claim
from labkit.grading.sites.guard import FILE, Guard, lift
from labkit.grading.sites.site import Site
from labkit.kube.client import Kube
from labkit.kube.objects import KubeObject
from labkit.lab import NAMESPACE
from labkit.providers import clients
from labkit.providers.base import Report

Still = Callable[[Iterable[Result]], Iterator[Result]]
"""Passes results on as long as the cluster is this class's."""
WORK = ("deployments", "statefulsets", "daemonsets", "jobs", "cronjobs", "pods", "persistentvolumeclaims")


@contextlib.contextmanager
def held(site: Site, report: Path, tell: Report) -> Iterator[Still]:
    """The cluster for one report; nothing to do where each worker has its own."""
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
    """Claim the cluster; whether an earlier grader had."""
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
    """Empty the namespace, take away what held students to it, and the claim last of all."""
    reset.clear(kube, tell, owned=site.is_labkits)
    lift(kube)
    claim.release()
    kube.delete_namespace(GRADING, wait=False)


@contextlib.contextmanager
def _told_whom_to_ask() -> Iterator[None]:
    try:
        yield
    except Refused as error:
        raise ProviderError(
            f"This user may not grade on that cluster: {error.what}",
            cause=f"It takes a namespace {GRADING}, too, and the right to make what {FILE} holds.",
            fix="Grade as the cluster's owner, or let them give you cluster role admin in both namespaces "
            "and the right to write resourcequotas and limitranges.",
        ) from error


def holder(report: Path) -> str:
    """By what name a report claims a cluster."""
    return f"{socket.gethostname()}:{report}"


def refuse_work(there: Iterable[KubeObject], claimed_until: float, site: Site) -> None:
    """Raise where something is in the namespace that no grader's class made."""
    roots = [one for one in there if not one.at("metadata.ownerReferences")]
    theirs = [one for one in roots if _made(one) > claimed_until]
    if theirs:
        raise NotOurs(
            f"Namespace {NAMESPACE} on {site} holds somebody's work: {_named(theirs)}.",
            cause="Somebody works on the course there. A class needs it to itself, and empties it.",
            fix="Ask them. If nobody needs it any more: `lab.reset()` in any notebook empties it.",
        )


def _named(some: Sequence[KubeObject]) -> str:
    return ", ".join(map(repr, some[:5])) + (" …" if len(some) > 5 else "")


def _made(one: KubeObject) -> float:
    return audit.seconds(one.at("metadata.creationTimestamp")) or 0.0
