"""The class for other programs: nbgrader's CSV, and JSON with every line.

Columns are those of `nbgrader export`: https://nbgrader.readthedocs.io/en/stable/plugins/export-plugin.html
followed by `status`. A student whose work needs a person has no score there, so that no gradebook takes it
for a zero. A name can never become a formula in a spreadsheet.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import Any

from labkit_grading.judging.names import cell
from labkit_grading.judging.rubric import Rubric
from labkit_grading.judging.sheet import Sheet
from labkit_grading.submissions.remark import QUOTED, neutral, printable
from localcluster.stored import plain

COLUMNS = (
    "assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email",
    "raw_score", "late_submission_penalty", "score", "max_score", "status",
)  # fmt: skip


def grades_csv(sheets: Iterable[Sheet], rubric: Rubric) -> str:
    """The CSV, with one row per student."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(_row(sheet, rubric) for sheet in sheets)
    return text.getvalue()


def _row(sheet: Sheet, rubric: Rubric) -> dict[str, Any]:
    done = not sheet.for_a_person
    return {
        "assignment": cell(neutral(rubric.title)),
        "duedate": rubric.late.due.isoformat() if rubric.late else "",
        "timestamp": sheet.submitted.isoformat() if sheet.submitted else "",
        "student_id": cell(printable(sheet.student)),
        "raw_score": f"{sheet.raw:g}" if done else "",
        "late_submission_penalty": f"{sheet.penalty:g}" if done else "",
        "score": f"{sheet.score:g}" if done else "",
        "max_score": f"{sheet.most:g}",
        "status": sheet.status,
    }


def grades_json(sheets: Iterable[Sheet], rubric: Rubric, failed: dict[str, str]) -> str:
    """Everything as JSON; `failed` lists evidence that could not be graded, and why."""
    data = {
        "title": rubric.title,
        "most": rubric.most,
        "quoted": QUOTED.replace("in “…”", "under `observed`, `note` and `remarks`"),
        "students": [to_json(sheet) for sheet in sheets],
        "not_graded": failed,
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def to_json(sheet: Sheet) -> dict[str, Any]:
    """One student's sheet as plain data."""
    return {
        "student": sheet.student,
        "score": sheet.score,
        "raw": sheet.raw,
        "penalty": sheet.penalty,
        "most": sheet.most,
        "status": sheet.status,
        "needs_a_person": list(sheet.for_a_person),
        "flagged": sheet.flagged,
        "everybody": sheet.everybody,
        "untouched": sheet.untouched,
        "seconds": sheet.seconds,
        "lines": plain(sheet.lines),
        "remarks": plain(sheet.remarks),
    }
