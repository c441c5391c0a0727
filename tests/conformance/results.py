"""What came of the specs: read from Ginkgo's report, kept as one file per area, counted for the page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster import stored

PASSED, FAILED = "passed", "failed"


@dataclass(frozen=True)
class Spec:
    """One spec: its full name, what it ended with, how long it took, and the first words of its failure."""

    name: str
    state: str
    """`passed`, `failed`, or `skipped`: the suite itself found that it has no meaning here."""
    seconds: float
    message: str = ""
    place: str = ""


@dataclass(frozen=True)
class Area:
    """All specs of an area that were chosen, with what they ran against."""

    name: str
    kubernetes: str
    provider: str
    specs: list[Spec]

    def those(self, state: str) -> list[Spec]:
        """The specs that ended so."""
        return [spec for spec in self.specs if spec.state == state]

    def merged(self, newer: Iterable[Spec]) -> Area:
        """The same area, with some specs run again."""
        found = {spec.name: spec for spec in self.specs} | {spec.name: spec for spec in newer}
        return Area(self.name, self.kubernetes, self.provider, [found[name] for name in sorted(found)])

    def save(self, folder: Path) -> None:
        """Write it to its file."""
        folder.mkdir(parents=True, exist_ok=True)
        stored.save(folder / f"{self.name}.json", self)


def load(folder: Path, name: str) -> Area | None:
    """What is known of an area; None if it did not run."""
    return stored.find(folder / f"{name}.json", Area)


def read(report: Path) -> list[Spec]:
    """The chosen specs of Ginkgo's JSON report; a failure outside of all specs counts as one, too."""
    found = []
    for suite in json.loads(report.read_text()):
        for said in suite["SpecReports"] or []:
            if said["LeafNodeType"] != "It":
                if said["State"] not in {"passed", "skipped"}:
                    found.append(_spec(said, f"{said['LeafNodeType']} {said['LeafNodeText']}".strip()))
            elif said["State"] != "pending" and (said["NumAttempts"] or said["State"] != "skipped"):
                found.append(
                    _spec(said, " ".join([*(said["ContainerHierarchyTexts"] or []), said["LeafNodeText"]]))
                )
    return sorted(found, key=lambda spec: spec.name)


def _spec(said: Mapping[str, Any], name: str) -> Spec:
    failure = said.get("Failure") or {}
    at = failure.get("Location") or {}
    place = f"{at['FileName'].rpartition('/test/')[2]}:{at['LineNumber']}" if at.get("FileName") else ""
    state = said["State"] if said["State"] in {PASSED, "skipped"} else FAILED
    return Spec(name, state, round(said["RunTime"] / 1e9, 1), failure.get("Message", "")[:1500], place)
