"""The table of fields, read: an answer for each field of each type, and which types are reached.

A type is named as in the OpenAPI document, without its package. An answer holds for everything below its
field, unless it is "honoured": then each field of the type below has an answer of its own.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("table.toml")
TESTS = Path(__file__).parents[1]
HONOURED, UPSTREAM, REFUSED, OFF, MEANINGLESS = "honoured", "upstream", "refused", "off", "meaningless"
KINDS = (HONOURED, UPSTREAM, REFUSED, OFF, MEANINGLESS)
COMPONENTS = ("kube-apiserver", "kube-scheduler", "kube-controller-manager", "kube-proxy")

Document = Mapping[str, Any]
"""Schemas by name, as in `components.schemas` of /openapi/v3."""


@dataclass(frozen=True)
class Answer:
    """What becomes of one field.

    `text`: of an honoured one a note, if there is one; of the others by whom, how, which gate, or why.
    `tests` show it: `live/test_pods.py::test_…`, relative to tests/cluster.
    """

    type: str
    field: str
    kind: str
    text: str
    tests: tuple[str, ...] = ()


def answers(path: Path = TABLE) -> list[Answer]:
    """All of them, in the order of the file."""
    table = tomllib.loads(path.read_text())
    return [_answer(kind, field, row) for kind, rows in table.items() for field, row in rows.items()]


def _answer(kind: str, field: str, row: dict[str, Any]) -> Answer:
    kinds = [name for name in KINDS if name in row]
    if len(kinds) != 1 or set(row) - {*KINDS, "test", "note"}:
        raise ValueError(f"{kind}.{field}: wants one of {', '.join(KINDS)}; it has {', '.join(row)}")
    said = row[kinds[0]]
    tests = [*(said if isinstance(said, list) else [said] if kinds[0] == HONOURED else [])]
    tests += [row["test"]] if "test" in row else []
    return Answer(kind, field, kinds[0], row.get("note", "") if kinds[0] == HONOURED else said, tuple(tests))


def faults(document: Document, found: list[Answer]) -> Iterator[str]:
    """Fields without a line, and lines without a field."""
    lines = {(a.type, a.field): a for a in found}
    fields = set(reached(document, found))
    for kind, field in sorted(fields - lines.keys()):
        yield f"{kind}.{field} has no line"
    for kind, field in sorted(lines.keys() - fields):
        yield f"{kind}.{field} is no field of the API, or lies below one that is not honoured"


def reached(document: Document, found: list[Answer]) -> Iterator[tuple[str, str]]:
    """Each field that needs a line: of the types with a line that nothing refers to, and below."""
    short = _short(document)
    lines = {(a.type, a.field): a for a in found}
    todo = list(_roots(short))
    seen = set(todo) & {a.type for a in found}
    todo = list(seen)
    while todo:
        kind = todo.pop()
        for field, schema in short[kind].get("properties", {}).items():
            if kind in _roots(short) and field in {"apiVersion", "kind", "status"}:
                continue
            yield kind, field
            line = lines.get((kind, field))
            below = _below(schema)
            if line and line.kind == HONOURED and below and below not in seen:
                seen.add(below)
                todo.append(below)


def _short(document: Document) -> dict[str, Any]:
    """Schemas by their last name; where two packages have it, the one that the other names does not lead."""
    return {name.rpartition(".")[2]: schema for name, schema in document.items()}


def _roots(short: Mapping[str, Any]) -> set[str]:
    """The kinds of objects."""
    return {name for name, schema in short.items() if "x-kubernetes-group-version-kind" in schema}


def _below(schema: Mapping[str, Any]) -> str:
    """The type that a field refers to, or a list or map of it; empty for plain values."""
    for place in (schema, schema.get("items") or {}, schema.get("additionalProperties") or {}):
        if not isinstance(place, Mapping):
            continue
        for one in (place, *place.get("allOf", ())):
            if "$ref" in one:
                return str(one["$ref"]).rpartition(".")[2]
    return ""


def missing_tests(found: list[Answer]) -> Iterator[str]:
    """Tests that are named and not there, or whose file does not know the field; and lines that need one."""
    for answer in found:
        place = f"{answer.type}.{answer.field}"
        if answer.kind in {HONOURED, REFUSED} and not answer.tests:
            yield f"{place}: no test is named"
        texts = [_text(test) for test in answer.tests]
        for test, text in zip(answer.tests, texts, strict=True):
            name = test.partition("::")[2]
            if f"def {name}(" not in text:
                yield f"{place}: there is no {test}"
        if texts and not any(answer.field in text for text in texts):
            yield f"{place}: {', '.join(answer.tests)}: the file does not name the field"


def _text(test: str) -> str:
    path = TESTS / test.partition("::")[0]
    return path.read_text() if path.is_file() else ""
