"""Runs a class: one student after the other, on a cluster of the grader's own, with a file of evidence each.

A student whose evidence lies there already, signed and for the very same files, is not run again: so a run
that was killed goes on where it stopped, and nothing happens twice. One bad submission never costs another's.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import nbformat

from labkit.autoscaling import audit
from labkit.errors import BadInput
from labkit.grading.broker import Broker
from labkit.grading.bundle import SUFFIX, Bundle, Observation, Ran, Write, load
from labkit.grading.handed_in import HandedIn, clean
from labkit.grading.intake import Intake
from labkit.grading.released import Assignment
from labkit.grading.remark import Remark, printable
from labkit.grading.report.write import EVIDENCE
from labkit.grading.room import WORK, Room
from labkit.grading.sitting import Sitting
from labkit.lab import connect
from labkit.providers.base import Provider, Spec
from labkit.view.notebook import shown_to

CLOCK, SEED = 15.0, 0
Tell = Callable[[str], object]


def run(room: Room, intake: Intake, wanted: Assignment, *, tell: Tell) -> Iterator[Bundle]:
    """Each student's evidence as it comes, those of an earlier run first."""
    (room.report / EVIDENCE).mkdir(parents=True, exist_ok=True)
    handed = [clean(one, wanted) for one in intake.submissions]
    known = {one.folder: _known(room, one, wanted) for one in handed}
    yield from (bundle for bundle in known.values() if bundle)
    left = [one for one in handed if known[one.folder] is None]
    if not left:
        return
    tell(f"{len(left)} of {len(handed)} students to run; the cluster comes up")
    began = time.monotonic()
    with _Cluster(room.provider) as cluster:
        for number, one in enumerate(left, 1):
            bundle = _student(room, cluster, one, wanted)
            bundle.save(room.report / EVIDENCE, room.key)
            yield bundle
            rest = (time.monotonic() - began) / number * (len(left) - number) / 60
            tell(f"{number} of {len(left)}: {one.student}; about {rest:.0f} min left")


def digest(handed: HandedIn, wanted: Assignment) -> str:
    """Of all that decides what is run."""
    parts = [nbformat.writes(wanted.notebooks[name]) for name in sorted(wanted.notebooks)]
    parts += [nbformat.writes(handed.notebooks[name].notebook) for name in sorted(handed.notebooks)]
    parts += [f"{path}: {data!r}" for path, data in sorted(handed.exercises.items())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _known(room: Room, handed: HandedIn, wanted: Assignment) -> Bundle | None:
    path = room.report / EVIDENCE / f"{handed.folder}{SUFFIX}"
    try:
        bundle = load(path, room.key) if path.exists() else None
    except BadInput:
        return None
    whole = bundle is not None and not any(one.ours for one in bundle.ran)
    return bundle if bundle and whole and bundle.of == digest(handed, wanted) else None


class _Cluster:
    """The grader's own: fresh, gone afterwards, and renewed where a reset of its namespace is not enough."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def __enter__(self) -> Self:
        self._provider.down()  # what a run that was killed left behind
        self._provider.up(Spec(clock=CLOCK))
        with shown_to(lambda _: None):
            self.lab = connect(provider=self._provider.name, clock=CLOCK, seed=SEED)
        return self

    def __exit__(self, *_: object) -> None:
        self._provider.down()

    def renew(self) -> None:
        """Another one in its place."""
        self.__exit__()
        self.__enter__()


def _student(room: Room, cluster: _Cluster, handed: HandedIn, wanted: Assignment) -> Bundle:
    began = time.time()
    seat = _seat(room, handed)
    observations: list[Observation] = []
    remarks: list[Remark] = list(handed.remarks)
    ran: list[Ran] = []
    spread = False
    for name, restored in handed.notebooks.items():
        broker = Broker(cluster.lab, seat, wanted.notebooks[name], room.edition)
        sitting = Sitting(name, restored.notebook, broker, room.edition, seat, _parameters(), room.patience)
        ran.append(_sit(sitting))
        observations += broker.seen.observations
        remarks += broker.seen.remarks
        spread |= broker.seen.spread
    made = Bundle(handed.student, handed.folder, began, tuple(observations), ran=tuple(ran))
    writes = tuple(_writes(room.provider, began))
    shutil.rmtree(seat)
    if spread:
        cluster.renew()
    return replace(made, of=digest(handed, wanted), writes=writes, remarks=tuple(remarks))


def _sit(sitting: Sitting) -> Ran:
    """Whatever goes wrong with one student is that student's line in the report."""
    try:
        return sitting.run()
    except Exception as error:  # noqa: BLE001 - whatever a kernel sends, the class goes on
        begun = sitting.broker.cell
        what = printable(f"{type(error).__name__}: {error}")[:300]
        if begun:
            sitting.broker.seen.remarks.append(
                Remark("flagged", f"broke off in {begun}: {what}", sitting.name)
            )
        return Ran(sitting.name, 0.0, f"it could not be run: {what}", ours=not begun)


def _parameters() -> dict[str, Any]:
    return {"PROVIDER": "embedded", "ANSWERS": "exercises", "SEED": SEED, "CLOCK": int(CLOCK)}


def _seat(room: Room, handed: HandedIn) -> Path:
    """The manifests of the course, with this student's exercise files in their places."""
    seat = room.report / WORK / "seats" / handed.folder
    shutil.rmtree(seat, ignore_errors=True)
    shutil.copytree(room.edition / "manifests", seat / "manifests")
    for path, data in handed.exercises.items():
        (seat / path).write_bytes(data)
    return seat


def _writes(provider: Provider, since: float) -> Iterator[Write]:
    """What the HPA's controller set, by the API server's own diary."""
    diary = provider.audit_logs()
    for one in audit.read(diary) if diary else ():
        own = one.user == audit.CONTROLLER and one.subresource == "scale" and one.verb in {"update", "patch"}
        if own and one.succeeded and one.done >= since:
            replicas = _replicas(one.sent)
            if replicas is not None:
                yield Write(one.done, one.name, replicas)


def _replicas(sent: Mapping[str, Any]) -> int | None:
    found = (sent.get("spec") or {}).get("replicas")
    return int(found) if found is not None else None
