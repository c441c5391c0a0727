"""A student's notebook in its jail: each cell costs its own points only, whatever happens in it."""

import pytest

from labkit_grading.judging.bundle import Bundle
from labkit_grading.judging.sheet import Sheet
from tests.attacks import ANSWERS
from tests.attacks.attack import attack
from tests.grading.unit.grading_jailed import CHECKS, Desk


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk.at(tmp_path_factory.mktemp("desk"))


def sit(desk: Desk, answers: dict[str, str], *, cell: float = 120) -> tuple[Sheet, Bundle]:
    return desk.run(attack(answers, ()), cell=cell)


def states(sheet: Sheet) -> list[str]:
    found = {line.id: line.state for line in sheet.lines}
    return [found[name] for name in CHECKS]


def test_right_answers_pass_and_nothing_is_flagged(desk: Desk) -> None:
    sheet, bundle = sit(desk, {})
    assert states(sheet) == ["passed"] * 3, bundle
    assert not sheet.remarks
    assert bundle.ran[0].ended == ""


@pytest.mark.parametrize(
    ("mark", "source", "wrong"),
    [
        ("answer-05-names", "renamed_by, labelled_by = 1, {}", 0),
        ("answer-05-names", "renamed_by, labelled_by = object(), lambda: 1", 0),
        ("answer-05-names", "renamed_by, labelled_by = 10**400, 'x' * 10**6", 0),
        ("answer-05-names", "1 / 0", 0),
        ("answer-05-desired-by-hand", "desired = min", 1),
        ("answer-05-desired-by-hand", "def desired(queues):\n    return queues.none", 1),
        ("answer-04-lower-target", "replicas = ", 2),
    ],
)
def test_a_wrong_answer_costs_its_own_points(desk: Desk, mark: str, source: str, wrong: int) -> None:
    found = states(sit(desk, {mark: source})[0])
    assert [state == "passed" for state in found] == [number != wrong for number in range(3)]


def test_a_student_may_connect_once_more(desk: Desk) -> None:
    again = f"import labkit\n\nmine = labkit.connect()\nmine.clock\n{ANSWERS['answer-04-lower-target']}"
    sheet, bundle = sit(desk, {"answer-04-lower-target": again}, cell=15)
    assert states(sheet) == ["passed"] * 3, bundle
    assert not sheet.remarks


def test_an_answer_that_is_too_large_costs_its_own_points(desk: Desk) -> None:
    sheet, _ = sit(desk, {"answer-05-names": "renamed_by, labelled_by = 'x' * 10**7, 1"})
    assert states(sheet) == ["failed", "passed", "passed"]


def test_a_message_that_is_too_large_ends_the_talk(desk: Desk) -> None:
    said = f"{ANSWERS['answer-05-names']}\nlab.kubectl('x' * 10**7)"
    sheet, _ = sit(desk, {"answer-05-names": said}, cell=15)
    assert "passed" not in states(sheet)


def test_a_check_counts_in_its_own_cell_only(desk: Desk) -> None:
    early = 'replicas = 5\nlab.check("04.lower-target", answer=10)'
    sheet, bundle = sit(desk, {"answer-04-lower-target": early})
    assert states(sheet)[2] == "failed"
    assert len([one for one in bundle.observations if one.check == "04.lower-target"]) == 1


FORBIDDEN = """
replicas = 10
for ask in (
    lambda: lab.kubectl("apply -f /etc/passwd"),
    lambda: lab.curl("http://169.254.169.254/"),
    lambda: lab.apply("/etc/passwd"),
    lambda: lab.delete("node/gpu-0"),
    lambda: lab.load(None, url="http://example.com"),
    lambda: lab._grader.call(0, "__class__", (), {}),
    lambda: lab._grader.call(0, "prometheus", (), {}),
):
    with lab.attempt():
        ask()
"""


def test_what_no_cell_needs_is_refused_and_flagged(desk: Desk) -> None:
    sheet, bundle = sit(desk, {"answer-04-lower-target": FORBIDDEN})
    asked = [one for one in bundle.remarks if one.kind == "flagged" and one.file == "c-5"]
    assert len(asked) == 7
    assert states(sheet) == ["passed"] * 3


def test_a_cluster_that_is_gone_is_told(desk: Desk) -> None:
    answers = {"answer-04-lower-target": f"{ANSWERS['answer-04-lower-target']}\nlab.pods()"}
    assert any("Unreachable" in remark.what for remark in sit(desk, answers)[1].remarks)


def test_nothing_is_begun_after_the_notebooks_time(desk: Desk) -> None:
    _, bundle = desk.run(attack({}, ()), notebook=0)
    assert "exceeded its time limit" in bundle.ran[0].ended
    assert not bundle.observations
