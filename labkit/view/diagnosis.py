"""How the doctor's diagnosis looks in a cell: each hop in a row, what to mend first in full below."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from labkit.doctor.finding import AFFECTED, BROKEN, OK, SIGNS, UNKNOWN, WARNING, Diagnosis
from labkit.view.picture import GREEN, GREY, ORANGE, RED
from labkit.view.table import Table

# Colours of edges, as in verdicts; the sign repeats what they say.
_COLOURS: Mapping[str, str] = {
    OK: GREEN,
    BROKEN: RED,
    WARNING: ORANGE,
    AFFECTED: ORANGE,
    UNKNOWN: ORANGE,
}


@dataclass(frozen=True)
class Shown:
    """A diagnosis as text and HTML."""

    diagnosis: Diagnosis
    stamp: str

    def __str__(self) -> str:
        first = self.diagnosis.first
        told = [f"  {name}: {text}" for name, text in first.told] if first else []
        return "\n".join([str(self._table()), f"{self._sign()} {self.diagnosis.summary}", *told])

    def _table(self) -> Table:
        steps = self.diagnosis.steps
        return Table(
            f"the path of the number, namespace {self.diagnosis.namespace}",
            ["HOP", "STATE", "SEEN"],
            [[step.hop, f"{SIGNS[step.state]} {step.state}", step.finding.seen] for step in steps],
            stamp=self.stamp,
            wraps="SEEN",
            marks={i: _COLOURS.get(step.state, GREY) for i, step in enumerate(steps)},
        )

    def _sign(self) -> str:
        if self.diagnosis.first:
            return SIGNS[self.diagnosis.first.state]
        return SIGNS[UNKNOWN if any(step.state == UNKNOWN for step in self.diagnosis.steps) else OK]

    def _repr_html_(self) -> str:
        first = self.diagnosis.first
        colour = _COLOURS[first.state if first else OK]
        rows = "".join(
            f"<tr><td style='opacity:.75;padding:0 12px 0 0;text-align:left;vertical-align:top'>{name}</td>"
            f"<td style='text-align:left'>{escape(text)}</td></tr>"
            for name, text in (first.told if first else ())
        )
        head = f"<b>{self._sign()} {escape(self.diagnosis.summary)}</b>"
        style = f"border-left:4px solid {colour};padding:4px 12px;margin:4px 0"
        told = f"<div style='{style}'>{head}<table style='margin:2px 0'>{rows}</table></div>"
        return f"{self._table()._repr_html_()}{told}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}
