"""A table that looks right in a notebook, in a terminal and in an exported page.

It fetches nothing: it is given rows. Every cell is text, and HTML in it is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

_TEXT = "text-align:left;vertical-align:top;font-size:13px"
_CELL = f"padding:2px 8px 2px 6px;{_TEXT};white-space:nowrap;font-family:monospace"
_SENTENCE = f"padding:2px 0;{_TEXT};white-space:normal;line-height:1.35"
_SMALL = "opacity:.75;font-size:11px"


@dataclass(frozen=True)
class Table:
    """Columns and rows of text, with a title and the stamp of the lab."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]] = ()
    stamp: str = ""
    empty: str = "nothing found"
    marks: Mapping[int, str] = field(default_factory=dict)
    """Row number → colour of its left edge, for what changed or is wrong."""
    wraps: str = ""
    """The column with long text: in HTML its lines wrap."""

    def __str__(self) -> str:
        if not self.rows:
            return f"{self.title}: {self.empty}"
        lines = [self.columns, *self.rows]
        widths = [max(len(str(line[i])) for line in lines) for i in range(len(self.columns))]
        text = [
            "   ".join(str(c).ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        return "\n".join(text)

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='{_CELL}'>{escape(c)}</th>" for c in self.columns)
        body = "".join(self._row(i, row) for i, row in enumerate(self.rows))
        none = "" if self.rows else f"<div style='{_CELL}'>{escape(self.empty)}</div>"
        table = (
            f"<table style='border-collapse:collapse'><tr>{head}</tr>{body}</table>" if self.rows else none
        )
        title = f"<b>{escape(self.title)}</b> " if self.title else ""
        return f"<div>{title}<span style='{_SMALL}'>{escape(self.stamp)}</span>{table}</div>"

    def _row(self, index: int, row: Sequence[str]) -> str:
        colour = self.marks.get(index, "transparent")
        looks = [_SENTENCE if column == self.wraps else _CELL for column in self.columns]
        cells = "".join(f"<td style='{s}'>{escape(str(c))}</td>" for s, c in zip(looks, row, strict=True))
        return f"<tr style='box-shadow:inset 3px 0 0 {colour}'>{cells}</tr>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}
