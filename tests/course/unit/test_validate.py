"""`labkit validate`: the course as it is holds, and whoever breaks a check or a notebook is told where."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from course.untouched import OPEN
from labkit import checks
from labkit.checks.check import Finding
from labkit.errors import BadInput
from labkit.evidence import Verdict
from labkit.notebooks.record import Record
from labkit.notebooks.strip import read
from labkit_grading.judging.rubric import Rubric, of
from labkit_grading.release.release import release
from tests.course import examples, files, labs, on_lab, stored
from tests.course.cli import app
from tests.course.findings import of_notebook, points
from tests.course.on_lab import Mutant
from tests.grading.unit.grading_class import ROOT

QUEUE = ROOT / "notebooks" / "05-hpa-queue.ipynb"
FIVE = of({"notebooks": ["05"]})


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_course_as_it_is_holds(here: None) -> None:
    done = CliRunner().invoke(app, ["--fast"])
    assert done.exit_code == 0, done.output
    rows = done.stdout.splitlines()[1:]
    assert [row.split()[0] for row in rows] == sorted(OPEN)
    assert sum(float(row.split()[1]) for row in rows) == len(checks.CHECKS)


def test_a_check_that_lets_everything_pass_is_told_and_the_command_fails(
    here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(checks.CHECKS, "05.steps", edited("05.steps", passes=True))
    done = CliRunner().invoke(app, ["--fast", "-b", "05"])
    assert done.exit_code == 1
    told = [line for line in done.output.splitlines() if line.startswith("05.steps: a mutant is passed")]
    assert told
    assert "fix:   Make the check stricter." in done.output


def test_a_check_that_lets_nothing_pass_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(checks.CHECKS, "05.steps", edited("05.steps", passes=False))
    right = stored.right(QUEUE, FIVE)
    assert right.points == FIVE.most - 1
    assert {problem.where for problem in right.problems} == {"05.steps"}
    assert "right evidence is failed" in right.problems[0].what


def test_a_check_that_names_others_mistakes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stored.mutants(QUEUE, FIVE).problems == []
    same = replace(checks.get("05.hpa"), id="05.scaling-active")
    monkeypatch.setitem(checks.CHECKS, "05.scaling-active", same)
    told = [problem for problem in stored.mutants(QUEUE, FIVE).problems if "of another check" in problem.what]
    assert {problem.where for problem in told} >= {"05.hpa"}


def edited(name: str, *, passes: bool) -> checks.Check:
    """A check, as an author has just broken it."""
    return replace(checks.get(name), judge=lambda answer, timeline: Finding(passes, f"{answer}, {timeline}"))


def test_a_check_without_examples_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    new = replace(checks.get("05.steps"), id="05.new")
    monkeypatch.setitem(checks.CHECKS, "05.new", new)
    whole = of({"notebooks": ["05"]})
    told = [
        problem.what
        for problem in (*stored.right(QUEUE, whole).problems, *stored.mutants(QUEUE, whole).problems)
    ]
    assert told == ["no evidence in PASSING", "no evidence in MUTANTS"]


EDITS: list[tuple[Callable[[str], str], str]] = [
    (lambda text: text.replace('lab.check("05.hpa")', "pass"), "does not call it"),
    (lambda text: text.replace('lab.check("05.hpa")', 'lab.check("05.hap")'), "there is no such check"),
    (
        lambda text: text.replace('lab.check("05.hpa")', 'lab.check("05.hpa")\nlab.check("05.hpa")'),
        "more than once",
    ),
    (lambda text: text.replace('lab.check("05.hpa")', 'lab.check("05.hpa")\nlab.gpus'), "has no lab.gpus"),
    (lambda text: text.replace("### END SOLUTION", "# END"), "has no partner"),
    (lambda text: text.replace("answer=steps", "steps=steps"), "is handed"),
    (lambda text: text.replace('lab.check("05.hpa")', 'lab.check("05.hpa"'), "never closed"),
]


@pytest.mark.parametrize(("edit", "told"), EDITS, ids=[told for _, told in EDITS])
def test_an_edited_notebook_is_told_what_is_wrong_with_it(
    tmp_path: Path, edit: Callable[[str], str], told: str
) -> None:
    assert files.validate(QUEUE) == []
    notebook = read(QUEUE)
    for cell in notebook.cells:
        cell.source = edit(cell.source) if cell.cell_type == "code" else cell.source
    nbformat.write(notebook, tmp_path / QUEUE.name)
    problems = files.validate(tmp_path / QUEUE.name)
    assert any(told in problem.what for problem in problems), problems
    assert all(problem.cause and problem.fix for problem in problems)


def test_a_notebook_that_nobody_declared_is_told(tmp_path: Path) -> None:
    (tmp_path / "05-new.ipynb").write_text(QUEUE.read_text())
    assert "open.toml does not name it" in [
        problem.what for problem in files.validate(tmp_path / "05-new.ipynb")
    ]


def test_what_is_declared_to_be_left_are_the_checks_that_ask_for_an_answer() -> None:
    for notebook, left in OPEN.items():
        asked = {
            check.id for check in checks.CHECKS.values() if check.notebook == notebook[:2] and check.answers
        }
        assert asked <= left, notebook


def record(states: Mapping[str, str], *, error: str = "") -> Record:
    verdicts = tuple(
        Verdict(name, passed=state == "passed", expected="", observed="seen", inconclusive=state == "busy")
        for name, state in states.items()
    )
    return Record(QUEUE.stem, verdicts, {}, error, 1.0)


ALL = dict.fromkeys(FIVE.checks, "passed")
LEFT = {name: "failed" if name in OPEN[QUEUE.stem] else "passed" for name in ALL}


def test_with_solutions_all_points_are_earned() -> None:
    scored = labs.solved(record(ALL), FIVE)
    assert (str(scored), scored.problems) == ("24 of 24", [])


@pytest.mark.parametrize(
    ("state", "told"), [("failed", "fails with its solution"), ("busy", "could not be judged")]
)
def test_a_solution_that_does_not_hold_is_told(state: str, told: str) -> None:
    scored = labs.solved(record({**ALL, "05.hpa": state}), FIVE)
    assert scored.points == FIVE.most - 1
    [problem] = scored.problems
    assert problem.where == "05.hpa"
    assert told in problem.what


def test_a_notebook_that_broke_off_is_told_with_all_that_it_did_not_reach() -> None:
    scored = labs.solved(record({"05.hpa": "passed"}, error="KeyError: 'x'"), FIVE)
    assert scored.points == 1
    assert len(scored.problems) == 1 + len(FIVE.checks) - 1
    assert "KeyError" in scored.problems[0].what


def test_untouched_just_the_declared_points_are_earned() -> None:
    scored = labs.untouched(record(LEFT), FIVE)
    assert scored.points == scored.of == FIVE.most - len(OPEN[QUEUE.stem])
    assert scored.problems == []


@pytest.mark.parametrize(
    ("name", "state", "told"),
    [
        ("05.hpa", "passed", "although nothing was done"),
        ("05.behavior", "failed", "needs no answer"),
    ],
)
def test_a_stub_that_earns_more_or_less_is_told(name: str, state: str, told: str) -> None:
    [problem] = labs.untouched(record({**LEFT, name: state}), FIVE).problems
    assert problem.where == name
    assert told in problem.what


def test_points_are_those_of_the_rubric() -> None:
    partial = {"05.scale-out": {"points": 4, "partial": {"05.scaling-active": 0.5}}}
    rubric = of_notebook(of({"points": 2, "checks": partial}), "05")
    assert isinstance(rubric, Rubric)
    assert rubric.most == 2 * 23 + 4
    lost = record({**ALL, "05.scale-out": "failed"})
    assert points(lost.verdicts, rubric) == rubric.most - 2


def test_every_check_has_an_example_of_each_kind() -> None:
    for cases in (examples.right, examples.wrong):
        named = {name for number in sorted({name[:2] for name in checks.CHECKS}) for name, _ in cases(number)}
        assert named == set(checks.CHECKS)


def test_a_learners_edition_has_nothing_to_validate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learners = release(ROOT, tmp_path / "learners").folder
    monkeypatch.chdir(learners)
    done = CliRunner().invoke(app, ["--fast"])
    assert isinstance(done.exception, BadInput)
    assert "learner's edition" in done.exception.what
    assert not (learners / "labkit" / "validation").exists()


@pytest.mark.parametrize("mutant", on_lab.MUTANTS, ids=lambda mutant: mutant.check)
def test_what_a_live_mutant_changes_stands_in_its_solution(
    here: None, mutant: Mutant, tmp_path: Path
) -> None:
    assert mutant.check in on_lab.alike(mutant.check)
    made = on_lab.mutated(mutant, tmp_path)
    assert made.is_dir() or made.read_text() != (ROOT / "manifests" / mutant.file).read_text()


def test_a_live_mutant_of_a_line_that_is_gone_is_told(here: None, tmp_path: Path) -> None:
    gone = replace(on_lab.MUTANTS[0], change=("no such line", "x"))
    with pytest.raises(BadInput, match="no such line"):
        on_lab.mutated(gone, tmp_path)
