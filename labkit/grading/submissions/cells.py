"""The cells of a handed-in notebook, as plain data: where they came from, and what stands in them.

Read as JSON and no more: outputs are thrown away unseen, since a notebook can claim any output. Refuses what
is no notebook in words that a student understands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labkit.errors import BadInput

HINT = "Save it once more in Jupyter (File, Save Notebook) and hand that file in."


@dataclass(frozen=True)
class Cell:
    """One code cell. `mark` is nbgrader's grade_id, empty where it has none."""

    id: str
    mark: str
    source: str


def read(data: bytes) -> list[Cell]:
    """The code cells; raises `BadInput` for anything but a notebook in Python."""
    document = _json(data)
    cells = document.get("cells")
    if document.get("nbformat") != 4 or not isinstance(cells, list):
        told = f"format {document['nbformat']!s:.20}" if "nbformat" in document else "no `nbformat`"
        raise BadInput(f"not a notebook of today's format: {told}", fix=HINT)
    kernel = _at(document, "metadata", "kernelspec")
    language = _at(document, "metadata", "language_info").get("name") or kernel.get("language") or "python"
    if str(language).lower() not in {"python", "ipython"}:
        named = f"{kernel.get('display_name') or language!s:.40}"
        raise BadInput(f"written for another kernel, {named}: the course runs on Python", fix=HINT)
    return [_cell(cell) for cell in cells if isinstance(cell, dict) and cell.get("cell_type") == "code"]


def _json(data: bytes) -> dict[str, Any]:
    if not data.strip():
        raise BadInput("the file is empty", fix=HINT)
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except RecursionError as error:
        raise BadInput("broken JSON: nested too deeply for a notebook", fix=HINT) from error
    except UnicodeDecodeError as error:
        raise BadInput("not a notebook: its bytes are no text", fix=HINT) from error
    except ValueError as error:
        raise BadInput(f"broken JSON: {str(error)[:80]}", fix=HINT) from error
    if not isinstance(document, dict):
        raise BadInput("not a notebook: JSON, but no notebook's", fix=HINT)
    return document


def _cell(cell: Mapping[str, Any]) -> Cell:
    source = cell.get("source", "")
    lines = source if isinstance(source, list) else [source]
    if not all(isinstance(line, str) for line in lines):
        raise BadInput("not a notebook: a cell holds something else than text", fix=HINT)
    mark = _at(cell, "metadata", "nbgrader").get("grade_id", "")
    return Cell(str(cell.get("id", "")), str(mark), "".join(lines))


def _at(thing: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """The object at a path; an empty one where something else stands there."""
    for key in path:
        found = thing.get(key)
        thing = found if isinstance(found, dict) else {}
    return thing
