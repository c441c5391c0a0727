"""The cells of a handed-in notebook, as plain data: their origin and their source.

Read as JSON and no more: outputs are discarded unseen, since a notebook can claim any output. Formats 1 to 4
are read, whatever their minor version says. Refuses anything that is not a notebook, with a message that a
student understands.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nbformat

from labkit.errors import BadInput
from labkit_grading.submissions.text import CONFLICT, decoded, lines

HINT = "Save it again in Jupyter (File, Save Notebook) and hand that file in."
FORMAT = 4
OLD = (AttributeError, KeyError, IndexError, TypeError, ValueError, RecursionError, nbformat.ValidationError)
"""What nbformat raises for an incomplete notebook of an old format."""


@dataclass(frozen=True)
class Cell:
    """One cell. `mark` is nbgrader's grade_id, empty if it has none."""

    id: str
    mark: str
    source: str
    kind: str = "code"


@dataclass(frozen=True)
class Draft:
    """A notebook's cells in order, and remarks on how it was saved."""

    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()


def read(data: bytes) -> Draft:
    """All cells; raises `BadInput` for anything but a notebook in Python."""
    if not data.strip():
        raise BadInput("the file is empty", fix=HINT)
    try:
        text, saved = decoded(data)
    except BadInput as error:
        raise BadInput(_foreign(data) or "not a notebook: it is not text", fix=HINT) from error
    document, upgraded = _upgraded(_json(text))
    cells = document.get("cells")
    if document.get("nbformat") != FORMAT or not isinstance(cells, list):
        told = f"format {document['nbformat']!s:.20}" if "nbformat" in document else "no `nbformat`"
        raise BadInput(f"not a valid notebook: {told}", fix=HINT)
    _refuse_other_languages(document)
    found = tuple(_cell(cell) for cell in cells if isinstance(cell, dict))
    return Draft(found, tuple(filter(None, (saved, upgraded))))


def _foreign(data: bytes) -> str:
    """What a file really is, if only its name says that it is a notebook."""
    kinds = {b"PK": "a zip file", b"%PDF": "a PDF", b"\x1f\x8b": "a gzip file", b"\x89PNG": "a picture"}
    return next(
        (f"not a notebook but {kind}, renamed" for mark, kind in kinds.items() if data.startswith(mark)), ""
    )


def _json(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise BadInput("broken JSON: nested too deeply for a notebook", fix=HINT) from error
    except ValueError as error:
        raise BadInput(_broken(text, error), fix=HINT) from error
    if not isinstance(document, dict):
        raise BadInput("not a notebook: JSON, but not in notebook format", fix=HINT)
    return document


def _broken(text: str, error: ValueError) -> str:
    """Why it isn't JSON, as far as that can be seen."""
    start = text.lstrip()[:200].lower()
    if CONFLICT.search(text):
        return (
            "Git's conflict markers (<<<<<<<, =======, >>>>>>>) are in it: two versions were never merged. "
            "Choose one of them in Git, open it in Jupyter, save"
        )
    if start.startswith(("<!doctype", "<html")):
        return "a web page, not the notebook: on GitHub use 'Download raw file', in Colab 'Download .ipynb'"
    if start.startswith("version https://git-lfs"):
        return "a pointer of Git LFS, not the notebook: fetch the file itself with `git lfs pull`"
    if not start.startswith(("{", "[")):
        return f"not a notebook: it begins with {text.lstrip()[:20]!r}, a notebook with {{"
    if isinstance(error, json.JSONDecodeError) and error.pos >= len(text.rstrip()) - 1:
        return "broken JSON: it is truncated: the upload or saving was interrupted"
    return f"broken JSON: {str(error)[:80]}"


def _upgraded(document: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Convert to format 4, by nbformat's own rules."""
    number = document.get("nbformat")
    if isinstance(number, bool) or number not in {1, 2, 3}:
        return document, ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warns about ids, which format 3 did not have
            read = nbformat.reader.reads(json.dumps(document))
            made = nbformat.convert(read, FORMAT)
    except OLD as error:
        raise BadInput(f"a notebook of format {number} that nbformat can't upgrade", fix=HINT) from error
    return dict(made), f"saved in notebook format {number}, upgraded"


def _refuse_other_languages(document: Mapping[str, Any]) -> None:
    kernel = _at(document, "metadata", "kernelspec")
    language = _at(document, "metadata", "language_info").get("name") or kernel.get("language") or "python"
    if str(language).lower() not in {"python", "python3", "ipython"}:
        named = f"{kernel.get('display_name') or language!s:.40}"
        raise BadInput(f"written for another kernel, {named}: the course runs on Python", fix=HINT)


def _cell(cell: Mapping[str, Any]) -> Cell:
    source = cell.get("source", "")
    parts = source if isinstance(source, list) else [source]
    if not all(isinstance(part, str) for part in parts):
        raise BadInput("not a notebook: a cell contains something other than text", fix=HINT)
    mark = _at(cell, "metadata", "nbgrader").get("grade_id", "")
    name = cell.get("id") or _at(cell, "metadata").get("id", "")  # Colab keeps it in the metadata
    return Cell(str(name), str(mark or ""), lines("".join(parts)), str(cell.get("cell_type", "")))


def _at(thing: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """The object at a path; an empty one if something else is there."""
    for key in path:
        found = thing.get(key)
        thing = found if isinstance(found, dict) else {}
    return thing
