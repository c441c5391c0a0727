"""Adapts a notebook's text to learners: links, and whose files are applied.

The course's notebooks stay plain, so that they read the same everywhere; an edition is for JupyterLab.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_FILE = re.compile(r"(?<![\[`])`((?:manifests|cluster)/[\w./-]+\.(?:ya?ml|json|toml|md))`(?![`\]])")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
# In an edition, ANSWERS says "exercises" from the start.
_TOLD_ALREADY = (
    re.compile(
        r"\s+\(?Your files? (?:is|are) the ones? that (?:is|are)\s+applied if the\s+first cell says\s+"
        r'`ANSWERS = "exercises"`\.\)?'
    ),
    re.compile(r',\s+(?:and\s+)?set\s+`ANSWERS = "exercises"`\s+at\s+the\s+top'),
)


def for_learners(text: str) -> str:
    """The text of a Markdown cell as an edition has it."""
    for told in _TOLD_ALREADY:
        text = told.sub("", text)
    return linked(text)


def linked(text: str) -> str:
    """Turn each course file into a link that JupyterLab opens, relative to the notebooks' folder."""
    parts, at = [], 0
    for fence in _FENCE.finditer(text):
        parts += [_links(text[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*parts, _links(text[at:])])


def _links(prose: str) -> str:
    return _FILE.sub(r"[`\1`](../\1)", prose)


def comparing(exercises: Sequence[str]) -> str:
    """The last cell: how to compare the course's answers with your own."""
    names = ", ".join(f"`{name}`" for name in exercises)
    return (
        "## Compare your answers\n\n"
        f"Exercises in this notebook: {names}.\n\n"
        "When a check has passed, you can see the course's solution: in a terminal (File > New > Terminal),\n"
        f"`labkit solution {exercises[0]}`; for a file also with `--diff`. Where the course was handed to\n"
        "you without its solutions, ask your instructor."
    )
