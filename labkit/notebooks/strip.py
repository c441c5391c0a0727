"""The one form in which notebooks are stored: without outputs, counts and stray metadata.

A diff then shows what an author changed, and nothing else. Refuses files that are not valid notebooks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat

from labkit.errors import BadInput

KEPT_TAGS = frozenset({"parameters", "solution", "raises-exception"})
KEPT = ("labkit",)
"""Metadata of a notebook that an author writes: what it needs (`labkit/notebooks/needs.py`)."""
METADATA: dict[str, Any] = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def stored(path: Path) -> str:
    """The text that the file should have."""
    notebook = read(path)
    ours = {key: notebook.metadata[key] for key in KEPT if key in notebook.metadata}
    notebook.metadata = nbformat.from_dict(METADATA | ours)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for cell in notebook.cells:
        tags = [t for t in cell.metadata.get("tags", []) if t in KEPT_TAGS]
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        cell.pop("attachments", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return str(nbformat.writes(notebook)) + "\n"


def strip(path: Path) -> bool:
    """Bring the file into its stored form; return whether it had to be changed."""
    text = stored(path)
    if path.read_text() == text:
        return False
    path.write_text(text)
    return True


def read(path: Path) -> Any:
    """The notebook, checked against the format; raises `BadInput` for anything else."""
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, AttributeError, TypeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(
            f"{path} is not a notebook: {first}.",
            cause="It was cut short, or edited as text.",
            fix="Restore it: git checkout -- " + str(path),
        ) from error
    return notebook
