"""Where a class is run: a report's folder, with an edition and clusters that no one else uses.

Lists what this platform can't enforce, and refuses to start unless that is accepted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labkit.errors import BadInput
from labkit_grading.judging import rubric as rubrics
from labkit_grading.judging.seal import Key
from labkit_grading.release.release import release
from labkit_grading.report.write import RUBRIC
from labkit_grading.sites.site import HERE, Site
from labkit_grading.sitting import Patience
from localcluster.node.process.bounds import MOST_PROCESSES
from localcluster.stored import write_atomically

WORK = "work"
NODES = (
    "Pods that a submission starts run on shared nodes: under Pod Security `baseline` and a quota of 40 pods "
    "and 12 GPUs, but with no limit on CPU (notebook 04 needs pods without CPU requests)."
)
KIND = "Those nodes are containers on this machine, and share its kernel."
NETWORK = (
    "A NetworkPolicy allows those pods DNS queries and nothing else; if the network plugin does not enforce "
    "it, they can reach whatever their node can. The grader can't see which plugin is installed."
)
MEMORY = "Memory is limited for each process of a notebook (3 GiB), not for all of them together."
AT: Mapping[str, tuple[str, ...]] = {
    "embedded": (MEMORY,),
    "kind": (NODES, KIND, NETWORK, MEMORY),
    "existing": (NODES, NETWORK, MEMORY),
}
AS_ROOT = (
    f"As root, processes are only counted from outside: if there are more than {MOST_PROCESSES}, they are "
    "ended a moment later."
)


@dataclass(frozen=True)
class Room:
    """The learner's edition, the report's folder, the key, and the time limits."""

    edition: Path
    report: Path
    key: Key
    patience: Patience = field(default_factory=Patience)
    site: Site = HERE


def unenforced(site: Site = HERE) -> list[str]:
    """What this platform can't prevent a submission from doing, in sentences."""
    return [*AT[site.provider], *([AS_ROOT] if os.getuid() == 0 else [])]


def refuse_unless(*, trusted: bool, site: Site = HERE) -> None:
    """Raise unless that is accepted."""
    if not trusted:
        where = "a machine" if site.own else "a cluster"
        raise BadInput(
            "Submissions are other people's code, and this platform can't enforce everything:\n"
            + "\n".join(f"  - {line}" for line in unenforced(site)),
            fix=f"Grade on {where} where nothing can be lost, and confirm that with --trust-submissions.",
        )


def furnish(course: Path, report: Path, key: Key, *, rubric: Path | None, notebooks: Sequence[str]) -> Room:
    """Make the report's folder: a rubric, the learner's edition, and a home for the clusters."""
    work = report / WORK
    if report.exists() and any(report.iterdir()) and not work.exists():
        raise BadInput(
            f"{report} is not empty.",
            cause="labkit grade did not create it, so it won't write there.",
            fix="Name a new folder, or that of a run to continue.",
        )
    if rubric is not None or not (report / RUBRIC).exists():
        text = rubric.read_text() if rubric else _plain(notebooks)
        write_atomically(report / RUBRIC, text, mode=0o644)
    rubrics.load(report / RUBRIC)  # finds a mistake in it before the class is run
    work.mkdir(parents=True, exist_ok=True)
    edition = release(course, work / "edition").folder
    return Room(edition, report, key)


def _plain(notebooks: Sequence[str]) -> str:
    listed = ", ".join(f'"{name[:2]}"' for name in notebooks)
    return f'title = "labkit"\nnotebooks = [{listed}]\npoints = 1\n'
