"""The class as JUnit XML, for any tool that shows test results: a suite per student, a case per check.

A wrong answer is a failure; a fault on our side, or something that a person must grade, is an error; a check
with no weight is skipped.
https://github.com/testmoapp/junitxml
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from labkit_grading.judging.sheet import Line, Sheet
from labkit_grading.submissions.remark import PERSON, printable

FAILURES = frozenset({"failed", "forged", "not reached"})


def junit(sheets: Sequence[Sheet], title: str) -> str:
    """The XML text."""
    every = [line for sheet in sheets for line in sheet.lines]
    root = ET.Element("testsuites", {"name": printable(title), **_counts(every)})
    for sheet in sheets:
        suite = ET.SubElement(root, "testsuite", {"name": printable(sheet.student), **_counts(sheet.lines)})
        for line in sheet.lines:
            _case(suite, line, sheet.folder)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _counts(lines: Sequence[Line]) -> dict[str, str]:
    kinds = [_kind(line) for line in lines]
    count = {"tests": len(kinds)} | {f"{kind}s": kinds.count(kind) for kind in ("failure", "error")}
    return {name: str(number) for name, number in (count | {"skipped": kinds.count("skipped")}).items()}


def _kind(line: Line) -> str:
    if line.state in FAILURES:
        return "failure"
    return {"not judged": "error", PERSON: "error", "self-reported": "skipped", "open": "skipped"}.get(
        line.state, "passed"
    )


def _message(line: Line) -> str:
    told = printable(line.observed or line.note or line.state)
    return f"{PERSON}: {told}" if line.state == PERSON else told


def _case(suite: ET.Element, line: Line, folder: str) -> None:
    case = ET.SubElement(suite, "testcase", name=line.id, classname=folder)
    kind = _kind(line)
    if kind == "passed":
        return
    told = ET.SubElement(case, kind, message=_message(line))
    words = (f"expected: {line.expected}", f"observed: “{line.observed}”", f"when: {line.at}", line.note)
    told.text = "\n".join(printable(word) for word in words)
