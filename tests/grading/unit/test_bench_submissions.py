"""The class that `make bench` grades: seeded, mixed, and known to deserve just its points."""

from collections import Counter
from pathlib import Path

from labkit_grading.submissions.handed_in import clean
from labkit_grading.submissions.intake import take_in
from tests.bench.submissions import CHECKS, KINDS, assignment, generate


def test_the_same_seed_makes_the_same_class() -> None:
    assert generate(30) == generate(30)
    assert generate(30) != generate(30, seed=1)


def test_a_hundred_are_as_many_of_each_kind_as_said_and_a_few_of_all_kinds() -> None:
    found = Counter(student.kind for student in generate(100))
    assert found == {kind: share for kind, (share, _) in KINDS.items()}
    assert {student.kind for student in generate(len(KINDS))} == set(KINDS)


def test_what_they_hand_in_is_taken_and_only_the_hostile_are_flagged(tmp_path: Path) -> None:
    students = {student.name: student for student in generate(12)}
    for student in students.values():
        student.hand_in(tmp_path)
    for submission in take_in(tmp_path).submissions:
        student = students[submission.student]
        handed = clean(submission, assignment())
        flagged = any(remark.kind == "flagged" for remark in handed.remarks)
        assert flagged <= (student.kind == "hostile"), handed.remarks
        assert (handed.answers > 0) == (student.kind != "empty")


def test_points_are_deserved_exactly_but_for_the_honest_part_of_an_attack() -> None:
    for student in generate(12):
        earned = set(student.work.earns)
        assert student.deserves(earned)
        assert not student.deserves(set(CHECKS)) or earned == set(CHECKS)
        assert student.deserves(set()) == (student.kind in {"empty", "hostile"})
