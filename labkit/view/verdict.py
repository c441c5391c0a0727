"""How a verdict, an expected refusal and a prediction look in a cell.

It judges nothing: it shows what it is given. The MIME type makes an executed notebook machine-readable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from labkit.evidence import MIME, RUN_MIME, Verdict

# Okabe and Ito's colours, for the edge only: as text they are too pale on white. The sign repeats them.
_LOOK = {"passed": ("#009E73", "✔"), "failed": ("#D55E00", "✘"), "inconclusive": ("#E69F00", "?")}
_CELL = "padding:1px 12px 1px 0;text-align:left;vertical-align:top"
NO_WALLS = (
    "No isolation: the pods of this lab run as ordinary processes of your user and can read your files. "
    "Run only your own code in it."
)
_WORDS = {"passed": "passed", "failed": "not yet", "inconclusive": "could not judge, run again"}


@dataclass(frozen=True)
class Shown:
    """A verdict as text, HTML, and JSON under `MIME`."""

    verdict: Verdict

    def __str__(self) -> str:
        v = self.verdict
        _, sign = _LOOK[v.state]
        return "\n".join(
            [f"{sign} {v.id}: {_WORDS[v.state]}", *(f"  {name}: {text}" for name, text in self._parts())]
        )

    def _parts(self) -> list[tuple[str, str]]:
        v = self.verdict
        every = [("expected", v.expected), ("observed", v.observed), ("hint", v.hint)]
        return [(name, text) for name, text in every if text]

    def _repr_html_(self) -> str:
        v = self.verdict
        colour, sign = _LOOK[v.state]
        rows = "".join(
            f"<tr><td style='opacity:.75;{_CELL}'>{name}</td><td style='{_CELL}'>{escape(text)}</td></tr>"
            for name, text in self._parts()
        )
        head = f"<b>{sign} {_WORDS[v.state]}</b> <code>{escape(v.id)}</code>"
        style = f"border-left:4px solid {colour};padding:4px 12px;margin:4px 0"
        return f"<div style='{style}'>{head}<table style='margin:2px 0'>{rows}</table></div>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {
            "text/plain": str(self),
            "text/html": self._repr_html_(),
            MIME: self.verdict.to_json(),
        }


@dataclass(frozen=True)
class Hello:
    """Where a notebook runs, for people and (under `RUN_MIME`) for tools that read the executed notebook."""

    run: Mapping[str, Any]

    def __str__(self) -> str:
        said = f"connected: {self.run['stamp']} · seed {self.run['seed']}"
        return f"{said}\n{NO_WALLS}" if self.run.get("isolation") == "none" else said

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {**Note(str(self))._repr_mimebundle_(), RUN_MIME: dict(self.run)}


@dataclass(frozen=True)
class Note:
    """A short message that is neither a table nor a verdict; `colour` is that of its left edge.

    `details` are folded in a notebook, and left out of plain text.
    """

    text: str
    colour: str = "#0072B2"
    mono: bool = False
    details: str = ""

    def __str__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        style = f"border-left:4px solid {self.colour};padding:2px 12px;margin:4px 0;white-space:pre-wrap"
        if self.mono:
            style += ";font-family:monospace;font-size:12px;overflow-x:auto"
        body = escape(self.text)
        if self.details:
            body += f"<details><summary>the server's full message</summary>{escape(self.details)}</details>"
        return {"text/plain": self.text, "text/html": f"<div style='{style}'>{body}</div>"}
