"""labkit jupyter, in a checkout with solutions: your own edition, in learn/."""

from __future__ import annotations

import shlex

import typer

from labkit import course
from labkit.cli.jupyter import PASSED_ON, work
from labkit_grading.release import learn
from localcluster.cli.cluster import Name
from localcluster.cli.console import err, report
from localcluster.layout import default_name

app = typer.Typer()
FEW = 4
ANSWERS = "  The course's answers:  labkit solution 00.coffee, once you have solved it"


@app.command(context_settings=PASSED_ON)
def jupyter(flags: typer.Context, name: Name = None) -> None:
    """Open the course in JupyterLab: your edition in learn/, on a running lab.

    Creates learn/ if it does not exist (the exercises, without solutions), starts the lab, and opens
    notebooks/00-start.ipynb. Other options are passed to JupyterLab: labkit jupyter --no-browser --port=8899
    """
    report("checking your edition of the course (learn/) …")
    edition = learn.at_hand(course.root())
    _tell(edition)
    hints = [ANSWERS] if learn.has_author(edition.folder) else []
    work(edition.folder, name or default_name(), flags.args, hints=hints)


def _tell(edition: learn.Edition) -> None:
    folder = edition.folder
    if edition.state == "made":
        report(f"created your edition of the course: {folder}")
    elif edition.state == "renewed":
        report(f"{folder} was updated to the current course: it had no changes")
    if edition.newer:
        named = ", ".join(edition.newer[:FEW]) + (" …" if len(edition.newer) > FEW else "")
        err.print(f"The course has changed since you began: {named}.", markup=False)
        err.print("Your files stay as they are. To update those that you have not changed:", markup=False)
        err.print(f"  labkit release --update {shlex.quote(str(folder))}", markup=False)
