"""docs/fields.md and the list that `labkit fields` shows, written from the table: `scripts/fields`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from tests.cluster.fields.answers import HONOURED, KINDS, MEANINGLESS, OFF, REFUSED, UPSTREAM, Answer

PAGE = Path(__file__).parents[3] / "docs" / "fields.md"
_HEAD = """# What becomes of each field

The API server of an embedded lab is the real one, so it takes every field of Kubernetes. This page says what
then becomes of it: of every field of a pod, and of each other object that the node agent, the balancer or the
policy enforcer reads. Nothing is ignored in silence. `scripts/fields` writes the page from
`tests/cluster/fields/table.toml`; a test fails if the running API server has a field without a line here.

| answer | what it means | fields |
|---|---|---|
"""
_MEANING = {
    HONOURED: "the node agent or labkit's network does what the API says; the test shows it",
    UPSTREAM: "the released program of Kubernetes does it, unchanged",
    REFUSED: "what is said instead: a reason of a Failed or Pending pod, or an event; the test shows it",
    OFF: "its feature gate is off in this release, so the API server drops the field",
    MEANINGLESS: "why it makes no difference on these nodes",
}
_BELOW = """
An answer holds for everything below its field, too. The fields below an honoured one are listed with their
type.
A refused field of a pod that starts all the same has a Warning event `UnsupportedField`, once for each pod.
`labkit fields` lists what is refused, wholly or in part.
"""


def page(found: list[Answer]) -> str:
    """The whole page."""
    counts = Counter(answer.kind for answer in found)
    rows = "".join(f"| {kind} | {_MEANING[kind]} | {counts[kind]} |\n" for kind in KINDS)
    return _HEAD + rows + _BELOW + "".join(_sections(found))


def refused(found: list[Answer]) -> str:
    """Each field that is refused, wholly or for some values, and what is said: a line for each."""
    lines = (f"{a.type}.{a.field}\t{a.text}\n" for a in found if a.kind == REFUSED or "refused" in a.text)
    return "".join(lines)


def _sections(found: list[Answer]) -> Iterator[str]:
    for kind, answers in groupby(found, key=lambda answer: answer.type):
        yield f"\n## {kind}\n\n| field | answer | |\n|---|---|---|\n"
        yield from (f"| {a.field} | {a.kind} | {_said(a)} |\n" for a in answers)


def _said(answer: Answer) -> str:
    text = f"feature gate {answer.text}" if answer.kind == OFF else answer.text
    tests = ", ".join(f"`{test}`" for test in answer.tests)
    return ": ".join(part for part in (text, tests) if part)
