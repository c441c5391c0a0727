"""labkit jupyter: the course in JupyterLab, on a lab that runs. What `make jupyter` starts."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from labkit import course
from labkit.errors import ProviderError
from labkit.notebooks import jupyterlab
from localcluster import catalog, spawn
from localcluster.cli.cluster import Name
from localcluster.cli.console import err, report
from localcluster.layout import default_name
from localcluster.provider import Spec

app = typer.Typer()
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Settings of a command that takes JupyterLab's own flags, too."""


@app.command(context_settings=PASSED_ON)
def jupyter(flags: typer.Context, name: Name = None) -> None:
    """Open the course in JupyterLab, on a running lab.

    Starts the lab, and opens notebooks/00-start.ipynb. Other options are passed to JupyterLab:
    labkit jupyter --no-browser --port=8899
    """
    work(course.root(), name or default_name(), flags.args)


def work(folder: Path, lab: str, flags: Sequence[str], *, hints: Sequence[str] = ()) -> None:
    """Start the lab, then JupyterLab in a folder of the course; `hints` are shown before. Then exit."""
    if asked := os.environ.get("PYTHONPATH"):
        report(f"PYTHONPATH={asked} is ignored: it may point to another Python's packages")
    _up(lab)
    for line in _next(folder, lab, hints):
        err.print(line, markup=False)
    status = spawn.attached(jupyterlab.argv(folder, flags), env=jupyterlab.environment(folder, lab=lab))
    err.print(
        f"JupyterLab has stopped. Lab {lab!r} is still running, with all your work in it:", markup=False
    )
    err.print(f"  labkit down{_named(lab)}     removes it;  make jupyter  resumes", markup=False)
    raise typer.Exit(0 if status in {0, 128 + 15} else status)


def _up(lab: str) -> None:
    where = catalog.get("embedded", lab)
    try:
        spec = where.spec()  # as it was started, with whatever clock
    except ProviderError:
        spec = Spec(name=lab)
    where.up(spec, report)


def _next(edition: Path, lab: str, hints: Sequence[str]) -> list[str]:
    activate = Path(sys.prefix) / "bin" / "activate"
    folder, script = shlex.quote(str(edition)), shlex.quote(str(activate))
    return [
        "",
        f"Lab {lab!r} is up. JupyterLab opens notebooks/00-start.ipynb; its file browser shows {edition}.",
        f"  Another terminal:      cd {folder} && . {script}",
        f"  Status of the lab:     labkit status{_named(lab)}",
        *hints,
        "  Ctrl-C here stops JupyterLab. The lab stays up until labkit down.",
        "",
    ]


def _named(lab: str) -> str:
    return "" if lab == default_name() else f" --name {lab}"
