"""Hand-ins of a class: released notebooks with a student's work in them, and with all that goes wrong."""

import ast
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat

from labkit_grading.submissions.released import Assignment, assignment

ROOT = Path(__file__).parents[3]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
QUEUE = "05-hpa-queue"
HPA = "manifests/05-hpa-queue/exercises/hpa.yaml"
POLICY = "manifests/05-hpa-queue/exercises/only-ours.yaml"
ANSWER = 'renamed_by, labelled_by = "adapter", "Prometheus"'


def released() -> Assignment:
    return assignment(ROOT, [ROOT / "notebooks" / f"{QUEUE}.ipynb"])


def notebook(change: Callable[[Any], object] = lambda _: None) -> bytes:
    """The released notebook with one right answer in it, as a student saves it."""
    made = nbformat.from_dict(released().notebooks[QUEUE])
    by_mark(made, "answer-05-names").source = ANSWER
    change(made)
    return str(nbformat.writes(made)).encode()


def by_mark(made: Any, mark: str) -> Any:
    return next(cell for cell in made.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == mark)


def folder(place: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return place


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def linked(name: str, target: str) -> bytes:
    """A zip file with a link in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, target)
    return buffer.getvalue()


def in_another_language(made: Any) -> None:
    made.metadata = nbformat.from_dict(
        {"kernelspec": {"display_name": "R", "language": "R", "name": "ir"}, "language_info": {"name": "R"}}
    )


def deep() -> bytes:
    return b'{"nbformat": 4, "cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def cut_short() -> bytes:
    return notebook()[:5000]


def billion_laughs() -> bytes:
    lines = [
        'a: &a ["lol"]',
        *(f"{n}: &{n} [{', '.join([f'*{p}'] * 9)}]" for p, n in zip("abcd", "bcde", strict=True)),
    ]
    return "\n".join(lines).encode()


def plain(data: bytes) -> Any:
    return json.loads(data)


def called(name: str) -> Iterator[tuple[str, ...]]:
    """The calls of a verb whose words stand in the notebooks, with `x` for what only a run knows."""
    released = assignment(ROOT, NOTEBOOKS).notebooks.values()
    sources = [cell.source for one in released for cell in one.cells if cell.cell_type == "code"]
    for node in (node for source in sources for node in ast.walk(ast.parse(source))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == f"lab.{name}":
            words = [_text(word) for word in node.args]
            if all(words):
                yield tuple(words)


def _text(node: ast.AST) -> str:
    """A text with `x` in place of what is put in; empty for what is no text."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    if not all(isinstance(part, ast.Constant | ast.FormattedValue) for part in parts):
        return ""
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in parts)
