"""labkit validate: whether the course's checks are right about right and wrong; for whoever edits it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labkit import course
from labkit.cli.notebooks import Ticker, choose, whose
from localcluster import catalog
from localcluster.cli.console import columns, err, report

app = typer.Typer()
STORED = ("notebook", "points", "right evidence", "mutants caught", "checks alone")
LIVE = ("with solutions", "untouched", "mutants on the lab")
NOT_RUN = ("left out", "left out", "left out")


@app.command()
def validate(
    notebooks: Annotated[
        list[str] | None, typer.Option("--notebook", "-b", help="Numbers such as 05; default: all.")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Stored evidence only: no lab, seconds.")] = False,
    rubric: Annotated[Path | None, typer.Option(help="Points for each check; default: one each.")] = None,
    provider: Annotated[str, typer.Option("--provider", "-p", help="embedded, kind, existing.")] = "embedded",
    clock: Annotated[float, typer.Option(help="Lab seconds per real second.")] = 15.0,
    into: Annotated[Path, typer.Option("--out", help="Where executed notebooks go.")] = Path("out/validate"),
) -> None:
    """Validate the course after a change of a notebook, a solution or a check. Points are as in labkit grade.

    First on stored evidence (tests/course/examples): right evidence earns all points, and each mutant, which
    has one thing wrong, loses the points of its check. Each check has a mutant that costs no other check's
    points. The notebooks can be released and graded, and pass to each check what it takes.

    Then, unless --fast, on a running lab (labkit up): with solutions, each notebook earns all points;
    untouched, exactly the declared ones (notebooks/course/open.toml). Takes twice as long as the notebooks,
    and half a minute for each mutant of a solution that is applied there (on embedded only). Notebooks that
    need an optional part of a lab are left out there until its programs are built, unless you name them.

    Exit status 1: something is wrong; each message says what, the likely cause, and the fix.
    """
    # A second of imports that other commands must not pay for; and a learner's edition has no validation.
    from labkit.notebooks import answers as marks  # noqa: PLC0415
    from labkit.notebooks import needs, outline  # noqa: PLC0415

    root = course.root()
    whose("solutions", there=marks.available(root))
    from labkit.notebooks.run import Plan  # noqa: PLC0415
    from labkit_grading.judging import rubric as rubrics  # noqa: PLC0415
    from tests.course import files, findings, labs, stored  # noqa: PLC0415

    chosen = choose(notebooks or [], root / "notebooks")
    numbers = [path.stem[:2] for path in chosen]
    whole = rubrics.load(rubric) if rubric else rubrics.of({"notebooks": numbers})
    live, left = list[Path](), list[needs.LeftOut]()
    if not fast:
        (where := catalog.get(provider)).kubeconfig()  # raises, with the fix, where no lab runs
        live, left = needs.ready(chosen, where, named=chosen if notebooks else (), tell=report)
    parameters = {"PROVIDER": provider, "SEED": 0, "CLOCK": clock}
    plan = Plan(tuple(chosen), into.resolve(), parameters)
    tick = Ticker(outline.measured(root / "out" / "summary.json")).tick
    rows, problems = [[*STORED, *(() if fast else LIVE)]], list[findings.Problem]()
    for path in chosen:
        part = findings.of_notebook(whole, path.stem[:2])
        right, mutants = stored.right(path, part), stored.mutants(path, part)
        problems += [*files.validate(path), *right.problems, *mutants.problems]
        scored = list(labs.scores(path, plan, part, labs.Tell(tick, report))) if path in live else []
        problems += [problem for one in scored for problem in one.problems]
        cells = [f"{part.most:g}", str(right), str(mutants), f"{mutants.alone} of {mutants.checks}"]
        rows.append([path.stem, *cells, *(map(str, scored) if path in live else [] if fast else NOT_RUN)])
    columns(rows)
    for one in left:
        err.print(str(one), markup=False)
    for problem in problems:
        err.print(str(problem), markup=False)
    if problems:
        raise typer.Exit(1)
