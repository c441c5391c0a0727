"""Which parameters of each check are the learner's answers: the grader takes a student's word for these only.

`tests/golden/answers.txt` is the whole table. A line of it changes only on purpose.
"""

from pathlib import Path

from labkit import checks

TABLE = Path(__file__).parents[2] / "golden" / "answers.txt"


def test_the_answers_of_all_checks_are_those_that_were_read() -> None:
    lines = [f"{check.id}: {', '.join(check.answers) or '-'}" for check in checks.CHECKS.values()]
    assert lines == TABLE.read_text().splitlines()
