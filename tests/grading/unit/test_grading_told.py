"""A check tells nothing while it is graded: what a student's process sees is the same, right or wrong."""

from pathlib import Path
from typing import Any

import pytest

from labkit import checks
from labkit_grading.judging.answers import answers
from labkit_grading.judging.sources import Source, sources
from labkit_grading.kernel.handing import REPLY
from labkit_grading.kernel.handover import HandOver
from labkit_grading.kernel.jail import telling
from labkit_grading.kernel.plain import NO_ANSWER
from labkit_grading.submissions.released import assignment
from labkit_grading.submissions.restore import is_solution
from labkit_grading.verbs import hearing
from tests.attacks.attack import DESIRED, attack
from tests.grading.unit.grading_class import NOTEBOOKS, ROOT
from tests.grading.unit.grading_jailed import CHECKS, SEED, Desk, released

LISTENS = """
renamed_by, labelled_by = {names!r}, "Prometheus"
import io, contextlib
told, once = [], type(lab).check
def check(self, name, **given):
    text, ids = io.StringIO(), len(lab._grader._codec._numbers)
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        seen = once(self, name, **given)
    kinds = sorted((key, repr(getattr(seen, key))) for key in dir(seen) if key[:2] != "__")
    told.append([name, repr(seen), type(seen).__name__, text.getvalue(), kinds, bool(seen),
                 len(lab._grader._codec._numbers) - ids])
    return seen
type(lab).check = check
"""
REPEATS = "replicas = repr(told)"
SHIPPED = """
def desired(queues):
    known = {(10, 10): 4, (7, 6): 3, (9, 7): 4, (50, 50): 10, (0, 0): 2, (9, 9, 9, 1, 0, 0): 6}
    return known.get(tuple(queues), 2)
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk.at(tmp_path_factory.mktemp("desk"))


def heard(desk: Desk, names: str, by_hand: str) -> tuple[Any, list[str]]:
    """What the first two checks told the student's process, and how they were judged."""
    told = LISTENS.format(names=names)
    given = {"answer-05-names": told, "answer-05-desired-by-hand": by_hand, "answer-04-lower-target": REPEATS}
    sheet, bundle = desk.run(attack(given, ()))
    [last] = [one for one in bundle.observations if one.check == "04.lower-target"]
    return last.given["answer"].value, [
        line.state for name in CHECKS[:2] for line in sheet.lines if line.id == name
    ]


def test_what_a_process_sees_does_not_depend_on_what_is_right(desk: Desk) -> None:
    right, passed = heard(desk, "adapter", DESIRED)
    wrong, failed = heard(desk, "HPA", "def desired(queues):\n    return 3")
    assert (passed, failed) == (["passed"] * 2, ["failed"] * 2)
    assert right == wrong
    assert "05.names" in right
    assert "recorded" in right


def test_a_function_that_knows_what_ships_earns_nothing_and_is_no_attack(desk: Desk) -> None:
    sheet, _ = desk.run(attack({"answer-05-desired-by-hand": SHIPPED}, ()))
    assert {line.id for line in sheet.lines if line.points} == {"05.names", "04.lower-target"}
    assert not sheet.flagged


@pytest.mark.parametrize("answer", ["10", "numpy.int64(10)", "10.0", "'10'", "fractions.Fraction(10)"])
def test_honest_numbers_of_any_kind_count(desk: Desk, answer: str) -> None:
    given = f"import fractions, numpy\nreplicas = {answer}"
    sheet, _ = desk.run(attack({"answer-04-lower-target": given}, ()))
    assert {line.id for line in sheet.lines if line.points} == set(CHECKS)
    assert not sheet.flagged
    assert not sheet.remarks


@pytest.mark.parametrize("answer", ["None", "float('nan')", "{'a': {1, 2}}", "(x for x in [10])", "print"])
def test_an_odd_answer_is_wrong_and_no_attack(desk: Desk, answer: str) -> None:
    given = {
        "answer-04-lower-target": f"replicas = {answer}",
        "answer-05-desired-by-hand": f"desired = {answer}",
    }
    sheet, bundle = desk.run(attack(given, ()))
    assert {line.id for line in sheet.lines if line.points} == {"05.names"}
    assert not sheet.flagged, bundle.remarks


def test_several_answers_are_shown_and_that_of_the_cell_counts(desk: Desk) -> None:
    hook = "lambda *_: globals().update(replicas=2)"
    later = f"replicas = 10\nget_ipython().events.register('pre_run_cell', {hook})"
    sheet, bundle = desk.run(attack({"answer-04-lower-target": later}, ()))
    assert {line.id for line in sheet.lines if line.points} == set(CHECKS)
    assert any("another answer than its own cell held" in one.what for one in bundle.remarks)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_answer_has_a_cell_of_its_own_and_no_other_work_before_its_check(path: Path) -> None:
    notebook = assignment(ROOT, [path]).notebooks[path.stem]
    found, cells = answers(notebook), [cell for cell in notebook.cells if cell.cell_type == "code"]
    places = {str(cell.id): n for n, cell in enumerate(cells)}
    wanted = {
        (c, key) for c, given in sources(notebook).items() for key, s in given.items() if s is Source.ANSWER
    }
    assert {(one.check, one.key) for one in found} == wanted
    handing = HandOver(notebook, SEED)
    for one in found:
        at = next(n for n, cell in enumerate(cells) if f'lab.check("{one.check}"' in cell.source)
        for name, place in one.names:
            assert is_solution(cells[places[place]])
            between = cells[places[place] + 1 : at]
            assert not [other.id for other in between if is_solution(other)], (one.check, name)
            assert name in handing.asks(place)


def test_no_edition_has_the_cases_and_no_submission_sees_a_judge(desk: Desk) -> None:
    assert not list(desk.edition.rglob("hidden"))
    texts = [path.read_text() for path in desk.edition.rglob("*.py")]
    assert not [text for text in texts if "DRAWN, TWICE" in text or "FRONTIERS" in text]
    looks = "import course.checks, os\nreplicas = sorted(os.listdir('/course/notebooks/course/checks'))"
    _, bundle = desk.run(attack({"answer-04-lower-target": looks}, ()))
    [last] = [one for one in bundle.observations if one.check == "04.lower-target"]
    assert last.given["answer"].value == []


def test_what_was_installed_beside_python_tells_nothing_either() -> None:
    prefix = Path("/opt/python")
    package = prefix / "lib" / "site-packages" / "course"
    assert telling(package, prefix)[1:] == [str(package / "checks"), str(package / "hidden")]
    assert len(telling(Path("/home/me/labkit/notebooks/course"), prefix)) == 1


def test_each_submission_gets_cases_of_its_own() -> None:
    asked = [HandOver(released(), seed).asks("c-3") for seed in range(50)]
    assert len(set(asked)) == 50
    assert all("answers are handed over" in one for one in asked)
    assert HandOver(released()).asks("c-0") == ""


def test_how_long_a_check_looks_depends_on_its_objects_only() -> None:
    assert hearing._still([{"a": 1}] * 3)
    assert not hearing._still([{"a": 1}] * 2)
    assert not hearing._still([{"a": 0}, {"a": 1}, {"a": 1}])
    fresh = [{"hpa": {"metadata": {"resourceVersion": str(n)}, "spec": [1]}} for n in range(3)]
    assert hearing._still(fresh)


def nested(depth: int) -> Any:
    made: Any = 1
    for _ in range(depth):
        made = [made]
    return made


@pytest.mark.parametrize(
    "reply",
    [
        None,
        [],
        {"replicas": 10},
        {"replicas": {"value": {"$": "Tried", "fields": {"calls": []}}}},
        {"replicas": {"value": {"$": "ref", "n": 0}}},
        {"replicas": {"value": "x" * 10**6}},
        {"replicas": {"value": nested(900)}},
        {"replicas": {"results": [10]}},
        {"other": {"value": 10}},
    ],
    ids=lambda reply: repr(reply)[:30],
)
def test_a_reply_that_was_forged_is_no_answer(reply: Any) -> None:
    handing = HandOver(released(), SEED)
    handing.take("c-5", {REPLY: reply})
    given = handing.given("04.lower-target", "answer")
    assert given in (..., NO_ANSWER) or isinstance(given, list)
    assert not checks.get("04.lower-target").run({"answer": given}).passed


@pytest.mark.parametrize("results", [[], [4], "4", [4] * 1000, [{"$": "Row"}] * 26])
def test_results_of_a_function_that_were_forged_are_wrong(results: Any) -> None:
    handing = HandOver(released(), SEED)
    handing.take("c-3", {REPLY: {"desired": {"results": results}}})
    given = handing.given("05.desired-by-hand", "desired")
    assert not checks.get("05.desired-by-hand").run({"desired": given}).passed


def test_an_answer_of_another_cell_is_not_taken() -> None:
    handing = HandOver(released(), SEED)
    handing.take("c-3", {REPLY: {"replicas": {"value": 10}}})
    assert handing.given("04.lower-target", "answer") is ...
