"""One student's `results.json`, as Gradescope's autograder reads it.

https://gradescope-autograders.readthedocs.io/en/latest/specs/#output-format
"""

from __future__ import annotations

import json
from typing import Any

from labkit_grading.judging.sheet import Line, Sheet
from labkit_grading.submissions.remark import PERSON, QUOTED


def results(sheet: Sheet) -> str:
    """The JSON text. The score includes the late penalty, which we compute ourselves.

    A student whose work needs a person gets no score yet: Gradescope has no notion of a pending one.
    """
    told = [f"{PERSON}: {why}" for why in sheet.for_a_person]
    data = {
        "score": sheet.score,
        "output": "\n".join([QUOTED, *told, *(str(remark) for remark in sheet.remarks)]),
        "output_format": "text",
        "visibility": "hidden" if sheet.for_a_person else "after_published",
        "stdout_visibility": "hidden",
        "tests": [_test(line) for line in sheet.lines],
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _test(line: Line) -> dict[str, Any]:
    words = (
        f"expected: {line.expected}" if line.expected else "",
        f"observed: “{line.observed}”" if line.observed else "",
        f"seen at {line.at} in cell {line.cell}" if line.at else "",
        line.note,
    )
    return {
        "name": line.id,
        "score": line.points,
        "max_score": line.of,
        "status": "passed" if line.state in {"passed", "graded"} else "failed",
        "output": "\n".join(filter(None, words)),
        "output_format": "text",
    }
