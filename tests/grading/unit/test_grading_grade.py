"""A grade follows from signed evidence and a rubric alone, and never from what a notebook says."""

import json
import stat
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from labkit import checks
from labkit.checks.tried import tried
from labkit.errors import BadInput
from labkit.evidence import Series, Timeline
from labkit.load.results import LoadResult
from labkit.load.rows import Row
from labkit_grading.judging.bundle import Bundle, Observation, Ran, load
from labkit_grading.judging.codec import claim, decode, encode
from labkit_grading.judging.proofs import IN_FLIGHT, faked_queue, in_flight, posing, propped
from labkit_grading.judging.rubric import load as load_rubric
from labkit_grading.judging.rubric import of
from labkit_grading.judging.seal import key
from labkit_grading.judging.sheet import InstructorInput, Sheet, grade
from labkit_grading.judging.sources import Source, recorded, sources
from labkit_grading.submissions.released import assignment
from tests.course.examples.hpa_queue import GOOD, MUTANTS, PASSING
from tests.grading.unit.grading_bundle import BEGAN, RUBRIC, bundle, rubric
from tests.grading.unit.grading_bundle import recorded as as_recorded
from tests.grading.unit.grading_class import QUEUE, ROOT, released

HOUR = timedelta(hours=1)
DUE = datetime(2026, 12, 1, 12, tzinfo=UTC)
REPLAYED = [(name, evidence) for name, evidence in MUTANTS if name not in {"05.hops", "05.keep-alive"}]


def states(sheet: Sheet) -> dict[str, str]:
    return {line.id: line.state for line in sheet.lines}


def line(sheet: Sheet, name: str) -> Any:
    return next(line for line in sheet.lines if line.id == name)


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_every_argument_of_every_check_has_a_source(path: Path) -> None:
    found = sources(assignment(ROOT, [path]).notebooks[path.stem])
    assert found
    for name, arguments in found.items():
        check = checks.get(name)
        assert set(arguments) == {*check.reads, *check.takes}, name
        answers = {key for key, source in arguments.items() if source is Source.ANSWER}
        assert answers <= set(check.answers), f"{name}: a recording would be taken from the student"


def test_an_answer_is_what_a_solution_cell_assigns() -> None:
    found = sources(released().notebooks[QUEUE])
    assert found["05.steps"] == {"answer": Source.ANSWER, "timeline": Source.RECORDED}
    assert found["05.hops"] == {"hops": Source.RECORDED}
    assert found["05.desired-by-hand"] == {"desired": Source.ANSWER}
    assert found["05.alone"] == {"hpas": Source.READ}
    assert recorded(found["05.behavior"]) == ["plain", "behavior"]


@pytest.mark.parametrize(("name", "evidence"), PASSING, ids=[name for name, _ in PASSING])
def test_evidence_survives_its_file(name: str, evidence: Mapping[str, Any], tmp_path: Path) -> None:
    saved = bundle().save(tmp_path, key(tmp_path / "key.pem"))
    [seen] = [one for one in load(saved, key(tmp_path / "key.pem")).observations if one.check == name]
    for argument, value in evidence.items():
        if not callable(value):
            assert seen.evidence[argument] == as_recorded(value)


@pytest.mark.parametrize(
    "value", [float("nan"), float("-inf"), {1: (2, {3})}, ..., None, True, "$", {"$": "Row"}]
)
def test_odd_values_survive_too(value: Any) -> None:
    assert repr(decode(encode(value))) == repr(value)


@pytest.mark.parametrize(
    "text",
    [
        '{"$": "Timeline", "fields": {}}',
        '{"$": "LoadResult", "fields": {"path": "/etc/passwd"}}',
        '{"$": "function", "asked": {}}',
        '{"$": "dict", "items": [[[], 1]]}',
        '{"$": "set", "items": 5}',
        '{"$": "os.system", "items": ["true"]}',
        "[" * 5000 + "]" * 5000,
        '"' + "x" * 70_000 + '"',
        "cos\nsystem\n(S'true'\ntR.",
    ],
)
def test_an_answer_can_be_no_record_of_ours_and_runs_nothing(text: str) -> None:
    with pytest.raises(BadInput):
        claim(text)


def test_all_right_is_all_points_but_for_what_only_the_student_vouches_for() -> None:
    sheet = grade(bundle(), RUBRIC)
    assert {name for name, state in states(sheet).items() if state != "passed"} == {"05.hops"}
    assert states(sheet)["05.hops"] == "self-reported"
    assert (sheet.score, sheet.most) == (len(PASSING) - 1, len(PASSING))
    assert "own process: hops" in line(sheet, "05.hops").note
    assert grade(bundle(), rubric(self_reported=0.5)).score == len(PASSING) - 0.5


@pytest.mark.parametrize(("name", "evidence"), REPLAYED, ids=[name for name, _ in REPLAYED])
def test_a_mutant_costs_just_its_points_and_says_why(name: str, evidence: Mapping[str, Any]) -> None:
    sheet = grade(bundle(change={name: evidence}), RUBRIC)
    assert sheet.most - sheet.score == 2  # its own, and that of 05.hops
    lost = line(sheet, name)
    assert lost.state == "failed"
    assert lost.expected
    assert lost.observed
    assert lost.at == "2026-09-21T14:14:20+00:00"
    assert lost.cell == name.replace(".", "-")


def test_the_same_evidence_is_the_same_grade_before_and_after_its_file(tmp_path: Path) -> None:
    made = bundle(change={"05.desired-by-hand": {"desired": max}})
    first = grade(made, RUBRIC)
    again = load(made.save(tmp_path, key(tmp_path / "k")), key(tmp_path / "k"))
    assert grade(again, RUBRIC) == first
    assert (
        made.save(tmp_path, key(tmp_path / "k")).read_bytes()
        == again.save(tmp_path, key(tmp_path / "k")).read_bytes()
    )


def test_weights_can_change_after_the_class_has_run() -> None:
    made = bundle(change={"05.steps": {"answer": [2, 10]}})
    assert grade(made, rubric(points=0, checks={"05.steps": 3, "05.hpa": 2})).score == 2
    shared = {"05.steps": {"points": 3, "partial": {"05.scale-out": 0.5, "05.hpa": 0.25}}}
    sheet = grade(made, rubric(points=0, checks=shared))
    assert sheet.score == 1.5
    assert line(sheet, "05.steps").note == "50% for 05.scale-out, which passed"


@pytest.mark.parametrize(
    ("over", "share"), [(-HOUR, 0), (0.1 * HOUR, 0), (HOUR, 0.1), (25 * HOUR, 0.2), (900 * HOUR, 0.5)]
)
def test_lateness_costs_a_share_for_each_day_begun(over: timedelta, share: float) -> None:
    late = {"due": DUE, "grace_minutes": 15, "each_day": 0.1, "most": 0.5}
    sheet = grade(bundle(), rubric(late=late), InstructorInput(DUE + over))
    assert sheet.late == pytest.approx(share)
    assert sheet.score == pytest.approx(sheet.raw * (1 - share))


def test_nobody_is_late_whose_time_is_not_known() -> None:
    assert grade(bundle(), rubric(late={"due": DUE, "each_day": 1.0})).penalty == 0


def test_a_person_grades_what_no_check_can() -> None:
    asked = rubric(points=0, manual=[{"id": "essay", "question": "Why?", "points": 5}])
    assert states(grade(bundle(), asked))["essay"] == "open"
    sheet = grade(bundle(), asked, InstructorInput(manual={"essay": (4.0, "well said")}))
    assert (sheet.score, line(sheet, "essay").note) == (4.0, "well said")
    assert grade(bundle(), asked, InstructorInput(manual={"essay": (40.0, "")})).score == 5


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ({"point": 1}, "point"),
        ({"checks": {"05.hpaa": 1}}, "05.hpaa"),
        ({"checks": {"05.hpa": -1}}, "-1"),
        ({"checks": {"05.hpa": True}}, "True"),
        ({"checks": {"05.hpa": {"partial": {"05.steps": 2}}}}, "not a share"),
        ({"notebooks": ["04"], "checks": {"05.hpa": 1}}, "05.hpa"),
        ({"late": {"due": datetime(2026, 1, 1)}}, "time zone"),  # noqa: DTZ001 - that is the mistake
        ({"manual": [{"question": "Why?"}]}, "no id"),
    ],
)
def test_a_mistake_in_a_rubric_is_named(data: dict[str, Any], word: str) -> None:
    with pytest.raises(BadInput, match=word):
        of(data)


def test_a_rubric_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rubric.toml"
    path.write_text('notebooks = ["05"]\n[checks]\n"05.hpa" = 2\n[late]\ndue = 2026-12-01T12:00:00Z\n')
    found = load_rubric(path)
    assert found.most == len(PASSING) + 1
    assert found.late
    assert found.late.due == DUE
    path.write_text("points = ")
    with pytest.raises(BadInput, match="not TOML"):
        load_rubric(path)


def test_a_bundle_that_was_touched_or_signed_by_another_is_refused(tmp_path: Path) -> None:
    mine = key(tmp_path / "key.pem")
    saved = bundle().save(tmp_path, mine)
    text = saved.read_text()
    with pytest.raises(BadInput, match="does not match its signature"):
        load(saved, key(tmp_path / "other.pem"))
    for forged in (text.replace("A", "B", 1), text[:-10], "", "\n", "x" * 100, text + text):
        saved.write_text(forged)
        with pytest.raises(BadInput, match="does not match its signature"):
            load(saved, mine)


def test_the_key_is_made_once_and_is_nobody_elses(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key.pem"
    assert key(path).signed(b"grade", key(path).sign(b"grade"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(BadInput, match="Other users can read"):
        key(path)
    (tmp_path / "no.pem").write_text("no key")
    (tmp_path / "no.pem").chmod(0o600)
    with pytest.raises(BadInput, match="is not a key"):
        key(tmp_path / "no.pem")


# Attacks, as far as they can be seen in evidence. What each of them tried to be is in its name.


def test_kubectl_scale_that_poses_as_the_hpa_earns_nothing_and_is_flagged() -> None:
    sheet = grade(replace(bundle(), writes=()), RUBRIC)
    forged = {name for name, state in states(sheet).items() if state == "forged"}
    assert forged == {"05.scale-out", "05.scale-in", "05.steps", "05.delay", "05.behavior"}
    assert sheet.flagged
    assert all(line.points == 0 for line in sheet.lines if line.state == "forged")
    assert "it was not the HPA that wrote this" in line(sheet, "05.scale-out").note


def test_what_the_hpa_did_to_another_deployment_does_not_cover_a_scale_by_hand() -> None:
    decoy = [replace(write, name="decoy") for write in bundle().writes]
    assert len(posing(replace(GOOD, began=BEGAN), decoy)) == 3


def test_a_real_write_at_another_time_does_not_cover_a_scale_by_hand() -> None:
    run = replace(GOOD, began=BEGAN)
    later = [replace(write, at=write.at + 30) for write in bundle().writes]
    assert posing(run, bundle().writes) == []
    assert len(posing(run, later)) == 3


def test_a_rise_that_min_replicas_explains_is_no_answer_to_a_queue() -> None:
    [rose] = [at for at, value in GOOD.one("desired").steps() if value == 4]
    floor = Series("minimum", "replicas", ((0.0, 2.0), (rose - 10, 4.0), (rose - 5, 2.0)))
    assert propped(GOOD) == propped(GOOD.with_series([replace(floor, points=floor.points[:1])])) == []
    [told] = propped(GOOD.with_series([floor]))
    assert f"to 4 at lab second {rose:.0f}, and minReplicas was 4" in told


def test_a_self_reported_fake_queue_earns_nothing_and_is_flagged() -> None:
    fake = replace(
        as_recorded(GOOD), series=(*GOOD.series, Series(IN_FLIGHT, "", ((0, 0), (80, 6), (500, 0))))
    )
    sheet = grade(bundle(change={"05.scale-out": {"timeline": fake}}), RUBRIC)
    assert states(sheet)["05.scale-out"] == "forged"
    assert "60 requests were reported as waiting" in line(sheet, "05.scale-out").note


def test_what_was_in_flight_is_counted_from_the_load_itself() -> None:
    rows = tuple(Row(i, 10.0, 10.0, 40.0, "ok", first=20.0) for i in range(12))
    unsent = Row(99, 10.0, 10.0, 40.0, "not_sent")
    load = LoadResult(Path("none"), {"clock": 15}, BEGAN + 2, (*rows, unsent), (), "done")
    run = Timeline(15, "test", (Series("queue", "", ((45, 12), (60, 10)), "a"),), began=BEGAN)
    sent = in_flight([load], run)
    assert (sent.peak(), sent.last(), sent.at(39), sent.at(40)) == (12, 0, None, 12)
    assert faked_queue(run.with_series((sent,))) == []
    assert faked_queue(replace(run, series=(Series("queue", "", ((45, 18),), "a"), sent))) != []


def test_a_process_that_ends_itself_earns_nothing_after_that() -> None:
    early = tuple(one for one in bundle().observations if one.check in {"05.hpa", "05.names"})
    died = replace(bundle(), observations=early, ran=(Ran(QUEUE, 9.0, "its process ended in cell 05-31"),))
    sheet = grade(died, RUBRIC)
    assert sheet.score == 2
    assert set(states(sheet).values()) == {"passed", "not reached"}
    assert "ended in cell 05-31" in line(sheet, "05.steps").observed


def test_a_failure_of_ours_is_apart_from_a_wrong_answer() -> None:
    ours = Bundle("ada", "ada", BEGAN, ran=(Ran(QUEUE, 0.0, "the cluster did not come up", ours=True),))
    sheet = grade(ours, RUBRIC)
    assert set(states(sheet).values()) == {"not judged"}
    assert len(sheet.unjudged) == len(PASSING)


def test_a_function_is_judged_by_what_it_gave_when_it_was_asked() -> None:
    asked = tried(len, [(([1, 2],), 2), ((5,), 0)])
    assert decode(encode(asked)) == asked
    assert [call.got for call in asked.calls] == [2, "TypeError: object of type 'int' has no len()"]


def test_a_function_in_evidence_of_before_is_judged_as_before() -> None:
    replayed = decode({"$": "function", "asked": {json.dumps(encode(([1, 2],))): 2}})
    assert replayed([1, 2]) == 2
    with pytest.raises(LookupError):
        replayed([1, 2, 3])


def test_the_last_time_that_a_check_was_reached_counts() -> None:
    wrong = replace(bundle().observations[0], given={}, at=BEGAN)
    made = replace(bundle(), observations=(wrong, *bundle().observations))
    assert isinstance(wrong, Observation)
    assert states(grade(made, RUBRIC))["05.hpa"] == "passed"
