"""The page of what a person grades: manual questions, and checks whose answer could not be taken. Pure.

By question, not by student: all answers to one question are graded in one go, by the same measure.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from labkit_grading.judging.names import cell
from labkit_grading.judging.sheet import Line, Sheet
from labkit_grading.submissions.remark import PERSON

Question = tuple[str, str, float, list[tuple[Sheet, Line]]]
"""An id, what is asked, its points, and each student with their line."""


def questions(sheets: Sequence[Sheet]) -> list[Question]:
    """Everything that some student's grade needs, or has got, from a person."""
    by_hand = {"open", "graded", PERSON}
    names = dict.fromkeys(line.id for sheet in sheets for line in sheet.lines if line.state in by_hand)
    found: list[Question] = []
    for name in names:
        lines = [(sheet, line) for sheet in sheets for line in sheet.lines if line.id == name]
        mine = [(sheet, line) for sheet, line in lines if line.state in by_hand]
        first = mine[0][1]
        found.append((name, first.expected, first.of, sorted(mine, key=lambda one: one[1].state == "graded")))
    return found


def left(every: Sequence[Question]) -> list[str]:
    """The rows of `labkit regrade --manual` that are still to be filled in."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for name, _, _, lines in every:
        open_ = [sheet for sheet, line in lines if line.state != "graded"]
        writer.writerows([cell(sheet.student), name, "", ""] for sheet in open_)
    return text.getvalue().splitlines()
