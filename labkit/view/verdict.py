"""How a verdict, an expected refusal and a prediction look in a cell.

Refuses to judge: it shows what it is handed. The MIME type makes an executed notebook readable by machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from labkit.evidence import MIME, RUN_MIME, Verdict

# Okabe and Ito's colours: told apart by people with any kind of colour vision; the sign says it again.
_LOOK = {"passed": ("#009E73", "✔"), "failed": ("#D55E00", "✘"), "inconclusive": ("#E69F00", "?")}
_CELL = "padding:1px 12px 1px 0;text-align:left;vertical-align:top"
_WORDS = {"passed": "passed", "failed": "not yet", "inconclusive": "could not judge, run again"}


@dataclass(frozen=True)
class Shown:
    """A verdict with its looks: text, HTML, and JSON under `MIME`."""

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
            f"<tr><td style='color:#767676;{_CELL}'>{name}</td><td style='{_CELL}'>{escape(text)}</td></tr>"
            for name, text in self._parts()
        )
        head = f"<b style='color:{colour}'>{sign} {_WORDS[v.state]}</b> <code>{escape(v.id)}</code>"
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
    """Where a notebook runs, for people and (under `RUN_MIME`) for whoever reads the executed notebook."""

    run: Mapping[str, Any]

    def __str__(self) -> str:
        return f"connected: {self.run['stamp']} · seed {self.run['seed']}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {**Note(str(self))._repr_mimebundle_(), RUN_MIME: dict(self.run)}


@dataclass(frozen=True)
class Note:
    """A short message that is neither a table nor a verdict; `colour` is that of its left edge."""

    text: str
    colour: str = "#0072B2"
    mono: bool = False

    def __str__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        style = f"border-left:4px solid {self.colour};padding:2px 12px;margin:4px 0;white-space:pre-wrap"
        if self.mono:
            style += ";font-family:monospace;font-size:12px;overflow-x:auto"
        return {"text/plain": self.text, "text/html": f"<div style='{style}'>{escape(self.text)}</div>"}
