"""What a perfect student hands in: a released notebook with the course's own solutions in it."""

from pathlib import Path
from typing import Any

import nbformat

from labkit.notebooks.answers import BEGIN
from labkit.notebooks.strip import read
from labkit_grading.release.learners import edition
from tests.grading.unit.grading_class import ROOT


def hand_in(notebook: str, place: Path) -> Path:
    """Write the notebook and its exercise files below `place`."""
    [path] = ROOT.glob(f"notebooks/{notebook}-*.ipynb")
    place.mkdir(parents=True, exist_ok=True)
    nbformat.write(solved(path), place / path.name)
    for exercise in ROOT.glob(f"manifests/{notebook}-*/exercises/**/*"):
        own = exercise.relative_to(ROOT)
        solution = Path(*("solutions" if part == "exercises" else part for part in own.parts))
        if exercise.is_file() and (ROOT / solution).exists():
            (place / own).parent.mkdir(parents=True, exist_ok=True)
            (place / own).write_bytes((ROOT / solution).read_bytes())
    return place


def solved(path: Path) -> Any:
    """The edition of a notebook, with each answer where its stub stood; marks are comments by then."""
    notebook = read(path)
    made = edition(notebook)
    answers = {
        cell.id: cell.source.split("\nlab.check(")[0] for cell in notebook.cells if BEGIN in cell.source
    }
    for cell in made.cells:
        cell.source = answers.pop(cell.id, cell.source)
    assert not answers
    return made
