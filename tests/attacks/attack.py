"""What a student hands in, honest or not, and which points it may have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).parents[2]
HPA = "manifests/05-hpa-queue/exercises/hpa.yaml"
RIGHT = (ROOT / "manifests/05-hpa-queue/solutions/hpa.yaml").read_bytes()
DESIRED = """def desired(queues):
    return max(2, min(10, math.ceil(sum(queues) / 5)))"""
ANSWERS = {
    "answer-05-names": 'renamed_by, labelled_by = "adapter", "Prometheus"',
    "answer-05-desired-by-hand": DESIRED,
    "answer-05-steps": "steps = counts",
    "answer-04-lower-target": "replicas = 10",
}
"""Right ones."""


def _nothing(_notebook: Any) -> None:
    pass


@dataclass(frozen=True)
class HandIn:
    """Solution cells by their marks, the exercise file, edits of the notebook, files beside it.

    `earns`: the checks whose points it may have, since that part of it is right.
    """

    answers: Mapping[str, str] = field(default_factory=dict)
    earns: tuple[str, ...] = ()
    hpa: bytes | None = RIGHT
    edit: Callable[[Any], object] = _nothing
    files: Mapping[str, bytes] = field(default_factory=dict)

    def notebook(self, released: Any) -> bytes:
        """The released notebook with this student's cells in it."""
        made = nbformat.from_dict(released)
        for cell in made.cells:
            mark = cell.metadata.get("nbgrader", {}).get("grade_id", "")
            cell.source = self.answers.get(mark, cell.source)
        self.edit(made)
        return str(nbformat.writes(made)).encode()

    def write(self, place: Path, name: str, released: Any) -> None:
        """The student's folder, with the notebook `name` in it."""
        exercise = {HPA: self.hpa} if self.hpa is not None else {}
        notebook = {f"notebooks/{name}.ipynb": self.notebook(released)}
        for path, data in {**notebook, **exercise, **self.files}.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(data)


def attack(answers: Mapping[str, str], earns: tuple[str, ...], **more: Any) -> HandIn:
    """All answers right but these."""
    return HandIn({**ANSWERS, **answers}, earns, **more)
