"""Attacks that lie in what is handed in: edited checks, results made beforehand, names of others."""

import json
from typing import Any

import nbformat

from tests.attacks.attack import attack

OTHERS = ("05.names", "05.desired-by-hand")
WRONG = {"answer-04-lower-target": "replicas = 5"}
FULL = json.dumps({"score": 100, "tests": [{"name": "04.lower-target", "score": 1}]}).encode()


def _edit_checks(made: Any) -> None:
    for cell in made.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            cell.source = 'print("passed")'


def _edit_setup(made: Any) -> None:
    made.cells[1].source += "\nlab.check = lambda *_, **__: True"
    _edit_checks(made)


def _double(made: Any) -> None:
    [check] = [c for c in made.cells if c.metadata.get("nbgrader", {}).get("grade_id") == "04-lower-target"]
    first = nbformat.from_dict(check)
    first.id, first.source = "first", 'lab.check("04.lower-target", answer=10);'
    made.cells.insert(0, first)


def _print_verdict(made: Any) -> None:
    verdict = {"id": "04.lower-target", "passed": True, "expected": "", "observed": "ok"}
    shown = nbformat.v4.new_output("display_data", {"application/vnd.labkit.check+json": verdict})
    for cell in made.cells:
        if cell.cell_type == "code":
            cell.outputs = [shown]
    _edit_checks(made)


HANDED = {
    "edited-checks": attack(WRONG, OTHERS, edit=_edit_checks),
    "edited-cells": attack(WRONG, OTHERS, edit=_edit_setup),
    "doubled-check": attack(WRONG, OTHERS, edit=_double),
    "printed-outputs": attack(WRONG, OTHERS, edit=_print_verdict),
    "results-beforehand": attack(WRONG, OTHERS, files={"results.json": FULL, "eve.evidence": FULL}),
    "in-anothers-name": attack(WRONG, OTHERS, files={"ada/notebooks/05-answers.ipynb": b"{}"}),
}
