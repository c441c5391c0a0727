"""labkit validate: the tests of the course's own checks, in an author's checkout (tests/course)."""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from labkit import course
from labkit.errors import BadInput

app = typer.Typer()


@app.command()
def validate() -> None:
    """Validate the course after a change of a notebook, a solution or a check."""
    raise BadInput(
        "There is nothing here to validate.",
        cause="This is a learner's edition: it has neither the solutions nor the tests of the course.",
        fix="Run it in the author's checkout of the course.",
    )


if (course.root() / "tests" / "course").is_dir():
    sys.path.insert(0, str(course.root()))
    app = import_module("tests.course.cli").app
