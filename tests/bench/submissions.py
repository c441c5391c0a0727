"""A class of generated submissions of three short notebooks: a seeded mix of honest, odd and hostile ones."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import nbformat

from labkit.notebooks.strip import METADATA
from labkit_grading.release.learners import edition
from labkit_grading.submissions.released import Assignment
from tests.attacks import ANSWERS, HandIn
from tests.attacks.attack import HPA
from tests.attacks.jailed import SANDBOXED
from tests.grading.live.grading_quiz import ROOT, SHORT

SEED = 0
START = SHORT.sources[:3]
"""Parameters, connect and reset, two servers."""
DEPLOY = """
with lab.attempt():
    lab.apply(f"manifests/02-deploy/{ANSWERS}/deployment.yaml")
    lab.until("deployment/llm-inference-service available", "pods app=llm-model ready=2", seconds=10)
# %%
lab.check("02.deployment");
"""
SCALE = """
with lab.attempt():
    lab.apply(f"manifests/04-hpa-cpu/{ANSWERS}/hpa.yaml")
lab.check("04.hpa");
# %%
replicas = ...
### BEGIN SOLUTION
replicas = 10
### END SOLUTION
lab.check("04.lower-target", answer=replicas);
"""
NOTEBOOKS = {
    "02-short": (*START[:2], *DEPLOY.strip().split("\n# %%\n")),
    "04-short": (*START, *SCALE.strip().split("\n# %%\n")),
    SHORT.name: SHORT.sources,
}
CHECKS = ("02.deployment", "04.hpa", "04.lower-target", *SHORT.checks)
EXERCISES = ("02-deploy/{}/deployment.yaml", "04-hpa-cpu/{}/hpa.yaml")
FILES = tuple(f"manifests/{path.format('exercises')}" for path in EXERCISES)
"""Beside the HPA of 05."""


@cache
def assignment() -> Assignment:
    """As it is released."""
    exercises = {PurePosixPath(path): (ROOT / path).read_bytes() for path in (*FILES, HPA)}
    return Assignment({name: _released(sources) for name, sources in NOTEBOOKS.items()}, exercises)


def _released(sources: tuple[str, ...]) -> Any:
    cells = [nbformat.v4.new_code_cell(one, id=f"q-{number:02}") for number, one in enumerate(sources)]
    cells[0].metadata["tags"] = ["parameters"]
    return edition(nbformat.v4.new_notebook(cells=cells, metadata=METADATA))


SOLVED = {path: (ROOT / path.replace("exercises", "solutions")).read_bytes() for path in FILES}
PERFECT = HandIn(ANSWERS, CHECKS, files=SOLVED)
KINDS: dict[str, tuple[int, HandIn]] = {
    "perfect": (45, PERFECT),
    "partly": (
        25,
        replace(
            PERFECT,
            answers={**ANSWERS, "answer-05-names": "renamed_by, labelled_by = 'HPA', 'HPA'"},
            earns=tuple(check for check in CHECKS if check not in {"04.hpa", "05.names"}),
            files={FILES[0]: SOLVED[FILES[0]]},
        ),
    ),
    "empty": (10, HandIn(hpa=None)),
    "broken": (
        8,
        replace(
            PERFECT,
            answers={**ANSWERS, "answer-05-desired-by-hand": "def desired(queues:"},
            earns=tuple(check for check in CHECKS if check not in {"02.deployment", "05.desired-by-hand"}),
            files={**SOLVED, FILES[0]: b"kind: [Deployment"},
        ),
    ),
    "endless": (
        4,
        replace(
            PERFECT,
            answers={**ANSWERS, "answer-05-names": "while True:\n    pass"},
            earns=("02.deployment", "04.hpa", "04.lower-target", "05.hpa"),
        ),
    ),
    "hostile": (8, PERFECT),
}
"""How many in a hundred, and what they hand in; each hostile one tries another attack."""


@dataclass(frozen=True)
class Student:
    """A generated one."""

    name: str
    kind: str
    work: HandIn

    def hand_in(self, place: Path) -> None:
        """Write their folder below `place`."""
        for name, released in assignment().notebooks.items():
            self.work.write(place / self.name, name, released)

    def deserves(self, passed: set[str]) -> bool:
        """Whether they got just what they earned; of a hostile one's honest part, at most that."""
        earned = set(self.work.earns)
        return passed <= earned if self.kind == "hostile" else passed == earned


def generate(count: int, *, seed: int = SEED) -> list[Student]:
    """That many, the same for the same seed; of six or more, at least one of each kind."""
    dice = random.Random(seed)
    others = [(kind, max(1, count * share // 100)) for kind, (share, _) in KINDS.items() if kind != "perfect"]
    chosen = [kind for kind, number in others for _ in range(number)][:count]
    chosen += ["perfect"] * (count - len(chosen))
    dice.shuffle(chosen)
    return [Student(f"student-{n:03}", kind, _work(kind, dice)) for n, kind in enumerate(chosen)]


def _work(kind: str, dice: random.Random) -> HandIn:
    work = KINDS[kind][1]
    if kind != "hostile":
        return work
    tried = dice.choice(list(SANDBOXED.values())).answers
    aimed = {
        mark.removeprefix("answer-").replace("-", ".", 1) for mark in tried if tried[mark] != ANSWERS[mark]
    }
    return replace(work, answers=tried, earns=tuple(check for check in CHECKS if check not in aimed))
