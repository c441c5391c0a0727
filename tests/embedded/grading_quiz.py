"""A short assignment with all that grading has to withstand: an HPA, a recording of it, and answers.

One notebook of a few checks of 05, so that a student is run within half a minute.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import nbformat

from labkit.grading.released import Assignment
from labkit.notebooks.learners import edition
from labkit.notebooks.strip import METADATA

ROOT = Path(__file__).parents[2]
NAME = "05-quiz"
HPA = PurePosixPath("manifests/05-hpa-queue/exercises/hpa.yaml")
RIGHT = (ROOT / "manifests/05-hpa-queue/solutions/hpa.yaml").read_bytes()

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


def quiz() -> Any:
    """With solutions, as an author keeps it."""
    sources = CELLS.strip().split("\n# %%\n")
    cells = [nbformat.v4.new_code_cell(one, id=f"q-{number:02}") for number, one in enumerate(sources)]
    cells[0].metadata["tags"] = ["parameters"]
    return nbformat.v4.new_notebook(cells=cells, metadata=METADATA)


def assignment() -> Assignment:
    return Assignment({NAME: edition(quiz())}, {HPA: (ROOT / HPA).read_bytes()})


DESIRED = """def desired(queues):
    return max(2, min(10, math.ceil(sum(queues) / 5)))"""
ANSWERS = {
    "answer-05-names": 'renamed_by, labelled_by = "adapter", "Prometheus"',
    "answer-05-desired-by-hand": DESIRED,
    "answer-05-steps": "steps = counts",
}


def hand_in(place: Path, answers: Mapping[str, str], *, hpa: bytes | None = RIGHT) -> None:
    """A student's folder: the released notebook with these solution cells, and an exercise file."""
    made = nbformat.from_dict(assignment().notebooks[NAME])
    for cell in made.cells:
        mark = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        cell.source = answers.get(mark, cell.source)
    (place / "notebooks").mkdir(parents=True)
    (place / "notebooks" / f"{NAME}.ipynb").write_text(nbformat.writes(made))
    if hpa is not None:
        (place / HPA).parent.mkdir(parents=True)
        (place / HPA).write_bytes(hpa)
