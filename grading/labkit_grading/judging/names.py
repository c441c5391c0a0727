"""A text in a cell of a table: never a formula, and the same text when it is read back.

Spreadsheets take a cell for a formula if it begins with one of `MARKS`, also in full width, and some do so
after blanks and invisible characters. An apostrophe in front makes it text. A text that has one already gets
another, so that no two texts look alike.
"""

from __future__ import annotations

import unicodedata

MARKS = frozenset("=+-@|%\t\r\n")
QUOTE = "'"


def cell(text: str) -> str:
    """The text as a cell has it.

    >>> cell("＝1+1"), cell("'x"), cell("Ada")
    ("'＝1+1", "''x", 'Ada')
    """
    return f"{QUOTE}{text}" if text.startswith(QUOTE) or _begins(text) else text


def of_cell(text: str) -> str:
    """The text that `cell` was given."""
    inner = text.removeprefix(QUOTE)
    return inner if text == cell(inner) else text


def _begins(text: str) -> bool:
    """Whether a spreadsheet could see a formula, looking past what it ignores."""
    if text and text[0] in MARKS:
        return True
    seen = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c)[0] not in "CZ")
    return bool(seen) and seen[0] in MARKS
