"""How a diagnosis of the doctor looks in a cell: each hop in a row, the first broken one in full below."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from labkit.doctor.finding import AFFECTED, BROKEN, OK, SIGNS, UNKNOWN, Diagnosis
from labkit.view.table import Table

# Okabe and Ito's colours, as in verdicts; the sign says it again.
_COLOURS: Mapping[str, str] = {OK: "#009E73", BROKEN: "#D55E00", AFFECTED: "#E69F00", UNKNOWN: "#E69F00"}
_GREY = "#767676"


@dataclass(frozen=True)
class Shown:
    """A diagnosis with its looks."""

    diagnosis: Diagnosis
    stamp: str

    def __str__(self) -> str:
        first = self.diagnosis.broken
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
            marks={i: _COLOURS.get(step.state, _GREY) for i, step in enumerate(steps)},
        )

    def _sign(self) -> str:
        if self.diagnosis.broken:
            return SIGNS[BROKEN]
        return SIGNS[UNKNOWN if any(step.state == UNKNOWN for step in self.diagnosis.steps) else OK]

    def _repr_html_(self) -> str:
        first = self.diagnosis.broken
        colour = _COLOURS[BROKEN if first else OK]
        rows = "".join(
            f"<tr><td style='color:{_GREY};padding:0 12px 0 0;text-align:left;vertical-align:top'>{name}</td>"
            f"<td style='text-align:left'>{escape(text)}</td></tr>"
            for name, text in (first.told if first else ())
        )
        head = f"<b style='color:{colour}'>{self._sign()} {escape(self.diagnosis.summary)}</b>"
        style = f"border-left:4px solid {colour};padding:4px 12px;margin:4px 0"
        told = f"<div style='{style}'>{head}<table style='margin:2px 0'>{rows}</table></div>"
        return f"{self._table()._repr_html_()}{told}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}
