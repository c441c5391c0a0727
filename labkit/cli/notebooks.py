"""labkit notebooks run: the course's notebooks through papermill, with pages, plots and a summary."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from labkit import course
from labkit.errors import BadInput
from localcluster import catalog
from localcluster.cli.console import columns, err, out, report

app = typer.Typer(
    name="notebooks", help="Run the course's notebooks without a browser.", no_args_is_help=True
)


@app.callback()
def group() -> None:
    """Run the course's notebooks without a browser."""


@app.command("run")
def run_notebooks(
    which: Annotated[list[str] | None, typer.Argument(help="Numbers such as 05; default: all.")] = None,
    provider: Annotated[str, typer.Option("--provider", "-p", help="embedded, kind, existing.")] = "embedded",
    clock: Annotated[float, typer.Option(help="Lab seconds per real second.")] = 15.0,
    seed: Annotated[int, typer.Option(help="Seed of the random load.")] = 0,
    answers: Annotated[
        str,
        typer.Option(help="solutions (if this edition has them), or exercises, as learners get them."),
    ] = "",
    into: Annotated[Path, typer.Option("--out", help="Folder for the results.")] = Path("out"),
    labs: Annotated[
        list[str] | None, typer.Option("--lab", help="A lab to run on; several run side by side.")
    ] = None,
) -> None:
    """Run notebooks one after the other; executed notebooks, HTML, plots and a summary go to --out.

    Some need an optional part of a lab, such as KEDA. A run of all notebooks leaves them out while its
    programs are not there, and says so; if you name the notebook, they are built first.

    Needs a running lab (labkit up). Exit 1 if a cell raised or a check did not pass.
    """
    # papermill and nbconvert cost two seconds to import; `labkit up` must not pay for them.
    from labkit.notebooks import answers as marks  # noqa: PLC0415
    from labkit.notebooks import needs, outline, pages  # noqa: PLC0415
    from labkit.notebooks.run import Plan, run  # noqa: PLC0415

    chosen = choose(which or [], folder := course.root() / "notebooks")
    whose_files = whose(answers, there=marks.available(folder.parent))
    for lab in labs or (None,):
        catalog.get(provider, lab).kubeconfig()  # raises, with the fix, where no lab runs
    where = catalog.get(provider, labs[0] if labs else None)
    chosen, left = needs.ready(chosen, where, named=chosen if which else (), tell=report)
    parameters = {
        "PROVIDER": provider,
        "ANSWERS": whose_files,
        "SEED": seed,
        "CLOCK": clock,
    }
    plan = Plan(tuple(chosen), into.resolve(), parameters, tuple(labs or ()))
    records = run(plan, Ticker(outline.measured(plan.out / "summary.json")).tick)
    page = pages.write_summary(records, plan.out, left)
    out.print(pages.summary(records, left), markup=False)
    err.print(f"All results are in {page.parent}", markup=False)
    if not all(r.green for r in records):
        raise typer.Exit(1)


@app.command("ls")
def list_notebooks(
    ran: Annotated[
        Path, typer.Option("--out", help="Where a run left its summary.json: how long each took.")
    ] = Path("out"),
    markdown: Annotated[bool, typer.Option("--markdown", help="As a table for a README.")] = False,
) -> None:
    """List the notebooks: question, minutes for a learner and in a 90-minute class, seconds of a run.

    Minutes come from each notebook's first cell; seconds are papermill's, with all answers filled in.
    """
    from labkit.notebooks import outline  # noqa: PLC0415 - as above

    every = choose([], course.root() / "notebooks")
    told, seconds = list(map(outline.of, every)), outline.measured(ran / "summary.json")
    if markdown:
        out.print(outline.table(told, seconds), markup=False)
        return
    took = {name: f"{value:.0f} s" for name, value in seconds.items()}
    rows = [(o.name, str(o.minutes), str(o.core or "-"), took.get(o.name, "-"), o.question) for o in told]
    columns([("NOTEBOOK", "MINUTES", "IN CLASS", "RUNS IN", "QUESTION"), *rows])


def whose(answers: str, *, there: str) -> str:
    """Whose answers a run takes; `BadInput` for what is no answer, or not in this course."""
    if answers not in {"", "solutions", "exercises"}:
        raise BadInput(f"There are no answers called {answers!r}.", fix="Use solutions or exercises.")
    if answers == "solutions" != there:
        raise BadInput("This is a learner's edition: it has no solutions.", fix="Use --answers exercises.")
    return answers or there


def choose(which: list[str], folder: Path) -> list[Path]:
    """The notebooks that the words name, in the course's order; `BadInput` for a word that names none."""
    every = sorted(folder.glob("[0-9][0-9]-*.ipynb"))
    unknown = [word for word in which if not any(path.name.startswith(word) for path in every)]
    if unknown or not every:
        known = ", ".join(path.stem for path in every) or "none"
        raise BadInput(f"There is no notebook {', '.join(unknown)}.", fix=f"Known: {known}.")
    return [path for path in every if not which or any(path.name.startswith(word) for word in which)]


class Ticker:
    """Progress in a line for each tenth of a notebook, with the time left as the last run would have it."""

    def __init__(self, before: dict[str, float]) -> None:
        self._before = before
        self._began: dict[str, float] = {}
        self._said: dict[str, int] = {}

    def tick(self, name: str, done: int, of: int) -> None:
        """Say how far it is, if that changed by a tenth."""
        began = self._began.setdefault(name, time.monotonic())
        tenth = 10 * done // max(of, 1)
        if self._said.get(name) == tenth:
            return
        self._said[name] = tenth
        passed = time.monotonic() - began
        whole = self._before.get(name) or passed * of / max(done, 1)
        left = f", about {max(0.0, whole - passed):.0f} s left" if 0 < tenth < 10 else ""
        err.print(f"{name}: {done} of {of} cells in {passed:.0f} s{left}", markup=False)
