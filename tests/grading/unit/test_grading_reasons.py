"""The reason stands at the check that lost its point; an honest mistake is no attack; all is said once."""

import html
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.checks.check import UNANSWERED
from labkit.errors import BadInput, Refused
from labkit_grading.judging.bundle import load
from labkit_grading.judging.reasons import Raised, of_cell, of_lab, reasons
from labkit_grading.judging.seal import key
from labkit_grading.judging.sheet import NO_ANSWER, UNWORKED, Line, Sheet, grade
from labkit_grading.report.overview import Overview
from labkit_grading.report.pages import feedback, the_class
from labkit_grading.submissions.handed_in import HandedIn, clean
from labkit_grading.submissions.intake import take_in
from labkit_grading.submissions.remark import Remark
from labkit_grading.verbs.commands import refuse_marks, refuse_options
from labkit_grading.verbs.confined import Confined
from labkit_grading.verbs.slips import Slip
from tests.attacks.attack import attack
from tests.course.examples.hpa_queue import PASSING
from tests.grading.unit.grading_bundle import RUBRIC, bundle, rubric
from tests.grading.unit.grading_class import HPA, QUEUE, ROOT, by_mark, folder, notebook, released
from tests.grading.unit.grading_jailed import Desk

STUB = "renamed_by, labelled_by = ..., ..."
FREE = {"05.behavior", "05.keep-alive", "05.no-failures", "05.scale-in", "05.scale-out"}


def line(sheet: Sheet, name: str) -> Line:
    return next(line for line in sheet.lines if line.id == name)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk.at(tmp_path_factory.mktemp("desk"))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("renamed_by = 'adapter'\nlabelled_by = renamed_by.upcase()", "AttributeError: 'str' object has no"),
        ("renamed_by, labelled_by = ('adapter', 'Prometheus'", "SyntaxError: incomplete input"),
        (
            "lab.apply('manifests/05-hpa-queue/exercices/hpa.yaml')",
            "There is no manifests/05-hpa-queue/exerc",
        ),
        ("lab.kubectl('labels pods a=b')", "kubectl labels pods a=b is not allowed"),
    ],
)
def test_what_went_wrong_in_a_cell_stands_at_its_check_once(answer: str, words: str, desk: Desk) -> None:
    sheet, _ = desk.run(attack({"answer-05-names": answer}, ()))
    lost = line(sheet, "05.names")
    assert lost.state == "not reached"
    assert words in lost.note + lost.observed
    assert "c-2" in lost.note + lost.observed
    assert [one.state for one in sheet.lines].count("passed") == 2
    assert not sheet.flagged  # an honest mistake
    assert not any(words in str(remark) for remark in sheet.remarks)
    assert not any(words in one.note + one.observed for one in sheet.lines if one.id != "05.names")


def test_nothing_yet_is_said_only_where_nothing_was_answered(desk: Desk) -> None:
    half = f"{STUB}\nrenamed_by = 1 / 0"
    assert line(desk.run(attack({"answer-05-names": STUB}, ()))[0], "05.names").observed == UNANSWERED
    tried = line(desk.run(attack({"answer-05-names": half}, ()))[0], "05.names")
    assert tried.observed == NO_ANSWER
    assert "ZeroDivisionError: division by zero" in tried.note


def test_the_servers_words_explain_a_check_and_an_expected_refusal_does_not(tmp_path: Path) -> None:
    made = released().notebooks[QUEUE]
    refused = Refused('strict decoding error: unknown field "spec.metrcs"')
    applied, course = "05-35", "05-64g"  # one cell of the course that a fault makes fail, in an attempt
    work = by_mark(made, "answer-05-policy").id
    found = reasons(
        made,
        [
            of_lab(course, refused, tmp_path),
            of_lab(work, refused, tmp_path),
            of_lab(work, BadInput("later"), tmp_path),
            of_lab(applied, BadInput(f"{tmp_path}/manifests/x/hpa.yaml:7: `name` appears twice"), tmp_path),
            of_cell(applied, "BadInput", "hpa.yaml"),
            Raised("no-such-cell", "x"),
        ],
    )
    assert found["05.policy"] == f"in cell {work}: the API server refused: {refused.what}"
    assert found["05.scale-out"] == "in cell 05-35: manifests/x/hpa.yaml:7: `name` appears twice"
    assert "05.api-hop" not in found


def test_reasons_are_kept_with_the_evidence(tmp_path: Path) -> None:
    why = {"05.steps": "cell 05-42 raised “NameError: name 'x' is not defined”"}
    remarks = (Remark("note", why["05.steps"], QUEUE), Remark("note", "cell 05-03 raised “X”", QUEUE))
    made = replace(
        bundle(change={"05.steps": {"answer": [2, 10]}}), reasons=why, answered=("05.steps",), remarks=remarks
    )
    again = load(made.save(tmp_path, key(tmp_path / "k")), key(tmp_path / "k"))
    assert (again.reasons, again.answered) == (why, ("05.steps",))
    sheet = grade(again, RUBRIC)
    assert line(sheet, "05.steps").note == why["05.steps"]
    assert sheet.remarks == remarks[1:]
    passed = grade(replace(bundle(), reasons=why), RUBRIC)
    assert line(passed, "05.steps").note == ""


SLIPS = {
    "a tab": b"kind: Pod\n\tmetadata: {}\n",
    "a bracket": b"kind: Deployment\nspec: [1, 2\n",
    "an escape": b'kind: Deployment\nx: "\\q"\n',
    "a misspelt kind": b"kind: HorizontalPodAutoscalar\nmetadata: {name: llm-hpa}\n",
    "a small letter": b"kind: deployment\nmetadata: {name: llm-hpa}\n",
    "no kind": b"metadata: {name: llm-hpa}\n",
    "only text": b"kind HorizontalPodAutoscaler\n",
    "another namespace": b"kind: Pod\nmetadata: {name: a, namespace: default}\n",
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_in_yaml_is_refused_with_its_line_and_is_not_flagged(slip: str, tmp_path: Path) -> None:
    seat = folder(tmp_path / "seat", {HPA: SLIPS[slip]})
    with pytest.raises(Slip) as refused:
        Confined(seat, ROOT).apply([HPA], {})
    if slip in {"a tab", "a bracket", "an escape"}:
        assert "line " in refused.value.what


@pytest.mark.parametrize(
    "data",
    [
        b"kind: ClusterRoleBinding\nmetadata: {name: x}\n",
        b"kind: Secret\nmetadata: {name: x}\n",
        b"kind: Pod\nmetadata: {name: x, namespace: kube-system}\n",
        b"kind: Pod\nmetadata: {annotations: {labkit.dev/address: 1.2.3.4}}\n",
    ],
)
def test_what_reaches_further_is_no_slip(data: bytes, tmp_path: Path) -> None:
    seat = folder(tmp_path / "seat", {HPA: data})
    with pytest.raises(BadInput) as refused:
        Confined(seat, ROOT).apply([HPA], {})
    assert not isinstance(refused.value, Slip)


def test_a_command_that_no_cell_needs_is_no_slip() -> None:
    with pytest.raises(BadInput) as refused:
        refuse_options(["exec", "pod/x", "sh"])
    assert not isinstance(refused.value, Slip)
    with pytest.raises(Slip):
        refuse_options(["rolout", "restart", "deployment/x"])
    with pytest.raises(Slip):
        refuse_marks('{"a": "\\')


def test_one_odd_thing_is_said_once(desk: Desk) -> None:
    again = "\nfor _ in range(3):\n    with lab.attempt():\n        lab.apply('/etc/passwd')"
    answers = {"answer-05-names": f"renamed_by, labelled_by = 'adapter', 'Prometheus'{again}"}
    answers["answer-04-lower-target"] = f"replicas = 10{again}"
    sheet, _ = desk.run(attack(answers, ()))
    assert [remark.kind for remark in sheet.remarks] == ["flagged"]


def handed(place: Path, files: dict[str, bytes]) -> HandedIn:
    folder(place / "in" / "ada", files)
    return clean(take_in(place / "in").submissions[0], released())


def test_what_was_answered_is_known_by_check(tmp_path: Path) -> None:
    mine = (ROOT / HPA).read_bytes() + b"# mine\n"
    found = handed(tmp_path, {f"{QUEUE}.ipynb": notebook(), "hpa.yaml": mine})
    assert found.answered
    assert "05.names" in found.answered
    assert {"05.hpa", "05.scaling-active"} <= set(found.answered)
    assert "05.steps" not in found.answered
    stub = notebook(lambda made: setattr(by_mark(made, "answer-05-names"), "source", STUB))
    assert handed(tmp_path / "other", {f"{QUEUE}.ipynb": stub}).answered == ()


def test_an_untouched_submission_gets_nothing_and_the_rest_is_shown() -> None:
    assert {name for name in UNWORKED if name.startswith("05.")} == FREE
    seen = tuple(one for one in bundle().observations if one.check in FREE)
    idle = grade(replace(bundle("ida"), observations=seen, answered=()), RUBRIC)
    assert (idle.score, idle.everybody, idle.untouched) == (0, 0, True)
    assert "nothing of this notebook was handed in" in line(idle, "05.scale-out").note
    worked = grade(replace(bundle("ada"), answered=("05.names",)), RUBRIC)
    assert (worked.score, worked.everybody, worked.untouched) == (len(PASSING) - 1, len(FREE), False)
    half = grade(replace(bundle("ada"), answered=("05.names",)), rubric(everybody=0.5))
    assert half.score == len(PASSING) - 1 - len(FREE) / 2
    other = grade(replace(bundle("ada"), answered=("04.hpa",)), RUBRIC)
    assert other.everybody == 0
    unknown = grade(bundle("old"), RUBRIC)
    assert (unknown.score, unknown.everybody) == (len(PASSING) - 1, 0)  # evidence of an older version
    page = the_class(Overview([idle, worked]), RUBRIC, {})
    assert f"What everybody gets: {len(FREE)} of {len(PASSING)} points" in page
    assert "untouched" in page
    assert f"{len(FREE)} of these points everybody gets" in feedback(worked, RUBRIC)


def test_partial_points_do_not_come_from_what_was_not_earned() -> None:
    checks = {"05.steps": {"points": 4, "partial": {"05.scale-out": 0.5}}}
    wrong = bundle(change={"05.steps": {"answer": [2, 10]}})
    for answered, points in ((("05.steps",), 2), ((), 0)):
        sheet = grade(replace(wrong, answered=answered), rubric(checks=checks))
        assert line(sheet, "05.steps").points == points


def test_one_doubt_about_several_checks_is_said_once_for_each_student() -> None:
    posed = grade(replace(bundle("eve"), writes=()), RUBRIC)
    notes = [one.note for one in posed.lines if one.state == "forged"]
    assert len(set(notes)) < len(notes)
    row = html.unescape(the_class(Overview([posed]), RUBRIC, {})).partition("<h2>Students</h2>")[2]
    assert all(row.count(f": {note}</div>") == 1 for note in notes)
    assert all(f"#{one.id}" in row for one in posed.lines if one.state == "forged")
