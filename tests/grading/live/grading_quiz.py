"""A short assignment with all that grading has to withstand: an HPA, a recording of it, and answers.

One notebook of a few checks of 05, so that a student is run within half a minute; its first half, without
load and recording, within a few seconds.

    python -m tests.grading.live.grading_quiz PLACE QUIZ WORKERS     a grader to be killed
"""

import sys
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import nbformat

from labkit.notebooks.strip import METADATA
from labkit_grading.judging.bundle import Bundle
from labkit_grading.judging.seal import key
from labkit_grading.release.learners import edition
from labkit_grading.room import furnish
from labkit_grading.run import Tell, run
from labkit_grading.sites.site import Site
from labkit_grading.sitting import Patience
from labkit_grading.submissions.intake import take_in
from labkit_grading.submissions.released import Assignment

ROOT = Path(__file__).parents[3]
OWN = Site()
SOON = Patience(cell=60, notebook=150)
HPA = PurePosixPath("manifests/05-hpa-queue/exercises/hpa.yaml")

CELLS = """
PROVIDER = "embedded"
ANSWERS = "solutions"
SEED = 0
CLOCK = 15
# %%
import math

import labkit
from labkit.load import Closed

lab = labkit.connect(provider=PROVIDER, clock=CLOCK, seed=SEED)
lab.reset()
# %%
lab.apply(f"manifests/overlays/{PROVIDER}")
lab.until("deployment/llm-inference-service available", "pods app=llm-model ready=2", seconds=90)
lab.delete("hpa/llm-hpa")
# %%
with lab.attempt():
    lab.apply(f"manifests/05-hpa-queue/{ANSWERS}/hpa.yaml")
lab.check("05.hpa");
# %%
renamed_by, labelled_by = ..., ...
### BEGIN SOLUTION
renamed_by, labelled_by = "adapter", "Prometheus"
### END SOLUTION
lab.check("05.names", renamed_by=renamed_by, labelled_by=labelled_by);
# %%
def desired(queues):
    wanted = ...
    ### BEGIN SOLUTION
    wanted = max(2, min(10, math.ceil(sum(queues) / 5)))
    ### END SOLUTION
    return wanted
# %%
lab.check("05.desired-by-hand", desired=desired);
# %%
seen = lab.record()
users = lab.load(Closed(users=60, seconds=3000))
# %%
trick = ...
### BEGIN SOLUTION
trick = None
### END SOLUTION
# %%
with lab.attempt():
    lab.until("deployment/llm-inference-service ready>=6", seconds=15)
load = users.stop()
run = seen.stop(load)
counts = [value for _, value in run.one("desired").steps()]
# %%
lab.check("05.scale-out", timeline=run);
# %%
steps = ...
### BEGIN SOLUTION
steps = counts
### END SOLUTION
lab.check("05.steps", answer=steps, timeline=run);
"""
CHECKS = ("05.hpa", "05.names", "05.desired-by-hand", "05.scale-out", "05.steps")


@dataclass(frozen=True)
class Quiz:
    """A notebook's name, the sources of its cells with solutions, and what it checks."""

    name: str
    sources: tuple[str, ...]
    checks: tuple[str, ...]
    patience: Patience = SOON

    @property
    def released(self) -> Any:
        """The notebook as students get it."""
        return self.assignment().notebooks[self.name]

    def assignment(self) -> Assignment:
        """As it is released."""
        marked = enumerate(self.sources)
        cells = [nbformat.v4.new_code_cell(one, id=f"q-{number:02}") for number, one in marked]
        cells[0].metadata["tags"] = ["parameters"]
        made = nbformat.v4.new_notebook(cells=cells, metadata=METADATA)
        return Assignment({self.name: edition(made)}, {HPA: (ROOT / HPA).read_bytes()})


SOURCES = tuple(CELLS.strip().split("\n# %%\n"))
WHOLE = Quiz("05-quiz", SOURCES, CHECKS)
SHORT = Quiz("05-short", SOURCES[:7], CHECKS[:3])


def grade_class(
    place: Path, quiz: Quiz = WHOLE, *, workers: int = 1, tell: Tell = print, at: Site = OWN
) -> dict[str, Bundle]:
    """Grade `place/class` into `place/report`, as `labkit grade` does it for the course's own notebooks."""
    made = furnish(ROOT, place / "report", key(place / "key.pem"), rubric=None, notebooks=[quiz.name])
    room = replace(made, patience=quiz.patience, site=at)
    with closing(run(room, take_in(place / "class"), quiz.assignment(), tell=tell, workers=workers)) as found:
        return {one.student: one for one in found}


if __name__ == "__main__":
    chosen = {quiz.name: quiz for quiz in (WHOLE, SHORT)}[sys.argv[2]]
    grade_class(Path(sys.argv[1]), chosen, workers=int(sys.argv[3]))
