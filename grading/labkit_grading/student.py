"""One student on one cluster: their notebooks one after the other, and everything that was seen of them.

One student's trouble never affects another: whatever happens becomes a line in this student's evidence.
"""

from __future__ import annotations

import hashlib
import hmac
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat

from labkit import checks, reset
from labkit.lab import Lab
from labkit_grading.judging.bundle import Bundle, Observation, Ran, Seen, Sender, Stranger
from labkit_grading.judging.programs import Programs
from labkit_grading.judging.proofs import SEED
from labkit_grading.judging.strangers import Expected, sent
from labkit_grading.kernel.handover import HandOver
from labkit_grading.served import watched
from labkit_grading.sites.guard import Guard
from labkit_grading.sites.site import HERE, Site
from labkit_grading.sites.terms import Terms
from labkit_grading.sitting import Patience, Sitting
from labkit_grading.submissions.handed_in import HandedIn
from labkit_grading.submissions.released import Assignment
from labkit_grading.submissions.remark import Remark, printable
from labkit_grading.verbs.broker import Broker
from labkit_grading.verbs.contexts import THE_COURSES
from labkit_grading.written import by_the_hpa
from localcluster.provider import silent

TOKENS = "tokens"
MARGIN = 120.0
"""Real seconds that a student's token lasts longer than their notebook may take."""
OUT_OF_TIME = "not run: the notebooks before it used up the student's time limit"


@dataclass(frozen=True)
class Job:
    """What all students of a class share: `edition` is the course's, `work` a folder to work in."""

    wanted: Assignment
    edition: Path
    work: Path
    patience: Patience
    site: Site = HERE
    secret: bytes = b""
    """From which each student's seed is drawn; nobody who hands in knows it."""

    def seed(self, of: str) -> int:
        """The seed of one submission: other work, or the same by somebody else, has another one."""
        return int.from_bytes(hmac.digest(self.secret, of.encode(), "sha256")[:8], "big")


@dataclass(frozen=True)
class Ready:
    """A worker's message that its cluster is up."""


@dataclass(frozen=True)
class Done:
    """A student's evidence as `Bundle.pack` returns it, and whether the cluster can take another one."""

    body: str
    fit: bool


@dataclass(frozen=True)
class Failed:
    """A worker's message that it can't go on, and why."""

    why: str


def digest(handed: HandedIn, wanted: Assignment, site: Site) -> str:
    """The digest of everything that decides what is run, including the cluster."""
    parts = [f"{site}, clock {site.clock:g}"]
    parts += [nbformat.writes(wanted.notebooks[name]) for name in sorted(wanted.notebooks)]
    parts += [nbformat.writes(handed.notebooks[name].notebook) for name in sorted(handed.notebooks)]
    parts += [f"{path}: {data!r}" for path, data in sorted(handed.exercises.items())]
    parts += [f"{check} unsure: {why}" for check, why in sorted(handed.unsure.items())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def examine(job: Job, lab: Lab, handed: HandedIn) -> Done:
    """Run one student on a worker's cluster."""
    began = time.time()
    seat = _seat(job, handed)
    observations: list[Observation] = []
    reasons: dict[str, str] = {}
    strangers: list[Stranger] = []
    senders: list[Sender] = []
    remarks: list[Remark] = list(handed.remarks)
    ran: list[Ran] = []
    spread = False
    with by_the_hpa(lab, began) as writes:
        for name in handed.notebooks:
            if name in handed.unread:
                ran.append(Ran(name, 0.0, f"not run, needs a person: {handed.unread[name]}"))
                continue
            one, seen = _sit_or_again(job, lab, handed, name, began + job.patience.student)
            ran.append(one)
            observations += seen.observations
            reasons |= seen.reasons
            strangers += seen.strangers
            senders += seen.senders
            remarks += seen.remarks
            spread |= seen.spread
        scaled = writes()
    made = Bundle(handed.student, handed.folder, began, tuple(observations), scaled, tuple(ran))
    shutil.rmtree(seat)
    of = digest(handed, job.wanted, job.site)
    whole = replace(made, of=of, remarks=tuple(remarks), unsure=handed.unsure, reasons=reasons)
    whole = replace(whole, answered=handed.answered, strangers=tuple(strangers), senders=tuple(senders))
    return Done(whole.pack(), fit=not spread)


def lost(job: Job, handed: HandedIn, why: str) -> Bundle:
    """Evidence that says only that this student could not be run, through no fault of theirs."""
    ran = tuple(Ran(name, 0.0, why, ours=True) for name in handed.notebooks)
    remarks = (*handed.remarks, Remark("flagged", why))
    of = digest(handed, job.wanted, job.site)
    made = Bundle(handed.student, handed.folder, time.time(), ran=ran, remarks=remarks, of=of)
    return replace(made, unsure=handed.unsure, answered=handed.answered)


def _sit_or_again(job: Job, lab: Lab, handed: HandedIn, name: str, until: float) -> tuple[Ran, Seen]:
    """Run a notebook again if something could not be judged, such as on a machine that was too busy."""
    first, seen = _sit(job, lab, handed, name, until)
    if (
        first.ended
        or not (unsure(seen.observations) or disturbed(seen))
        or time.time() + first.seconds > until
    ):
        return first, seen
    again, more = _sit(job, lab, handed, name, until)
    more.spread |= seen.spread
    return replace(again, seconds=first.seconds + again.seconds), more


def unsure(observations: Sequence[Observation]) -> bool:
    """Whether a check could not be judged when it was last reached."""
    last = {one.check: one for one in observations}
    return any(checks.get(name).run(one.evidence).state == "inconclusive" for name, one in last.items())


def disturbed(seen: Seen) -> bool:
    """Whether others than the grader and the submission sent load while something was measured."""
    return any(sent(one, seen.senders, own=False) for one in seen.observations)


def _sit(job: Job, lab: Lab, handed: HandedIn, name: str, until: float) -> tuple[Ran, Seen]:
    """Run one notebook, until a Unix time at the latest; whatever goes wrong is a line in the report."""
    left = until - time.time()
    seat = _at(job, handed)
    guard = None if job.site.own else Guard(lab.kube, job.work / TOKENS, job.patience.notebook + MARGIN)
    seed = job.seed(f"{handed.folder}/{name}/{digest(handed, job.wanted, job.site)}")
    wanted = Expected(Programs.of(job.wanted.notebooks[name], job.edition), {}, lab.clock)
    answers = HandOver(job.wanted.notebooks[name], seed)
    broker = Broker(lab, seat, answers, job.edition, guard=guard, terms=Held(job, lab, wanted))
    if left <= 0:
        broker.seen.remarks.append(Remark("flagged", OUT_OF_TIME, name))
        return Ran(name, 0.0, OUT_OF_TIME), broker.seen
    patience = replace(job.patience, notebook=min(job.patience.notebook, left))
    notebook = handed.notebooks[name].notebook
    sitting = Sitting(name, notebook, broker, job.edition, seat, parameters(job.site), patience)
    try:
        with watched(lab, wanted) as seen:
            ran = sitting.run()
            broker.seen.strangers, broker.seen.senders = seen()
    except Exception as error:  # noqa: BLE001 - whatever a kernel sends, the class goes on
        what = printable(f"{type(error).__name__}: {error}")[:300]
        if broker.cell:
            broker.seen.remarks.append(Remark("flagged", f"stopped in cell {broker.cell}: {what}", name))
        return Ran(name, 0.0, f"it could not be run: {what}", ours=not broker.cell), broker.seen
    else:
        return ran, broker.seen
    finally:
        shutil.rmtree(job.work / TOKENS, ignore_errors=True)


@dataclass(frozen=True)
class Held:
    """What a notebook's pods are held to: what they may run and take, and the digest of their image."""

    job: Job
    lab: Lab
    wanted: Expected

    def lay(self) -> None:
        """Before the notebook's first change."""
        terms = Terms(self.lab.kube, self.wanted.programs)
        terms.lay(may_lack=not self.job.site.own)
        terms.bound()
        if (access := self.lab.session.provider.registry()) is not None:
            self.wanted.digests[THE_COURSES] = reset.model_image(access, silent)

    def bound(self) -> None:
        """After a reset, which removes quotas and policies."""
        Terms(self.lab.kube, self.wanted.programs).bound()


def parameters(site: Site = HERE) -> dict[str, Any]:
    """The parameters for each notebook's first cell."""
    clock = site.clock if site.clock % 1 else int(site.clock)
    return {"PROVIDER": site.provider, "ANSWERS": "exercises", "SEED": SEED, "CLOCK": clock}


def _at(job: Job, handed: HandedIn) -> Path:
    return job.work / "seats" / handed.folder


def _seat(job: Job, handed: HandedIn) -> Path:
    """The course's manifests, with this student's exercise files in place."""
    seat = _at(job, handed)
    shutil.rmtree(seat, ignore_errors=True)
    shutil.copytree(job.edition / "manifests", seat / "manifests")
    for path, data in handed.exercises.items():
        (seat / path).write_bytes(data)
    return seat
