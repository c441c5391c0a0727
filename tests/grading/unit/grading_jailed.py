"""A notebook of three answers, run in its jail with a grader that sees all it needs without a cluster.

The lab behind the broker is a real one whose API server is not there; the checks of this notebook read none.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat

from labkit.kube.client import Kube
from labkit.lab import NAMESPACE, Lab, Session
from labkit.notebooks.strip import METADATA
from labkit_grading.judging.bundle import Bundle
from labkit_grading.judging.rubric import of
from labkit_grading.judging.sheet import Sheet, grade
from labkit_grading.kernel.handover import HandOver
from labkit_grading.release.learners import edition
from labkit_grading.release.release import release
from labkit_grading.sitting import Patience, Sitting
from labkit_grading.submissions.handed_in import clean
from labkit_grading.submissions.intake import take_in
from labkit_grading.submissions.released import Assignment
from labkit_grading.verbs.broker import Broker
from localcluster.embedded.provider import Embedded
from tests.attacks import HandIn
from tests.grading.unit.grading_class import ROOT

NAME = "05-answers"
CHECKS = ("05.names", "05.desired-by-hand", "04.lower-target")
CELLS = """
PROVIDER = "embedded"
# %%
import math

import labkit

lab = labkit.connect(provider=PROVIDER)
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
replicas = ...
### BEGIN SOLUTION
replicas = 2
### END SOLUTION
# %%
lab.predict("How many replicas, in the end?", replicas).compare(10)
# %%
lab.check("04.lower-target", answer=replicas);
"""
SEED = 7
RUBRIC = of({"points": 0, "checks": dict.fromkeys(CHECKS, 1)})
NOWHERE = """
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
clusters: [{name: nowhere, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: nobody, user: {}}]
"""


def released() -> Any:
    """As students get it."""
    sources = CELLS.strip().split("\n# %%\n")
    cells = [nbformat.v4.new_code_cell(one, id=f"c-{n}") for n, one in enumerate(sources)]
    cells[0].metadata["tags"] = ["parameters"]
    return edition(nbformat.v4.new_notebook(cells=cells, metadata=METADATA))


@dataclass(frozen=True)
class Desk:
    """A place to work in, with a learner's edition and a lab that is not there."""

    place: Path
    edition: Path
    lab: Lab

    @classmethod
    def at(cls, place: Path) -> "Desk":
        """Furnish it."""
        kubeconfig = place / "kubeconfig"
        kubeconfig.write_text(NOWHERE)
        session = Session(Embedded("nowhere"), 15, 0, "test")
        lab = Lab(session, Kube(kubeconfig, namespace=NAMESPACE, clock=15))
        return cls(place, release(ROOT, place / "course").folder, lab)

    def run(
        self, handed: HandIn, *, student: str = "eve", cell: float = 120, notebook: float = 400
    ) -> tuple[Sheet, Bundle]:
        """Take a class of two in, and run one of them: `ada` has handed in nothing but her name."""
        made, students = released(), self.place / f"class-{len(list(self.place.iterdir()))}"
        replace(handed, hpa=None).write(students / student, NAME, made)
        (students / "ada").mkdir(exist_ok=True)
        taken = {one.student: one for one in take_in(students).submissions}[student]
        ready = clean(taken, Assignment({NAME: made}, {}))
        broker = Broker(self.lab, self.edition, HandOver(made, SEED), self.edition)
        source = ready.notebooks[NAME].notebook
        patience = Patience(cell=cell, notebook=notebook)
        ran = Sitting(NAME, source, broker, self.edition, self.edition, {}, patience).run()
        seen = (*ready.remarks, *broker.seen.remarks)
        bundle = Bundle(student, student, 0.0, tuple(broker.seen.observations), (), (ran,), seen)
        bundle = replace(bundle, answered=ready.answered, reasons=broker.seen.reasons)
        return grade(bundle, RUBRIC), bundle
