"""One student's `results.json`, as Gradescope's autograder reads it.

https://gradescope-autograders.readthedocs.io/en/latest/specs/#output-format
"""

from __future__ import annotations

import json
from typing import Any

from labkit.grading.judging.sheet import Line, Sheet


def results(sheet: Sheet) -> str:
    """The JSON text. Lateness is ours to count, so the score is the one after it."""
    data = {
        "score": sheet.score,
        "output": "\n".join(str(remark) for remark in sheet.remarks),
        "output_format": "text",
        "visibility": "after_published",
        "stdout_visibility": "hidden",
        "tests": [_test(line) for line in sheet.lines],
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _test(line: Line) -> dict[str, Any]:
    words = (
        f"expected: {line.expected}" if line.expected else "",
        f"observed: {line.observed}" if line.observed else "",
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
