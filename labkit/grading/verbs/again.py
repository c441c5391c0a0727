"""What a check's argument may be worked out from again: the grader's own objects, and what the lab has said.

Refuses everything that would do something: a cell's load, its recording, its objects are asked for once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.autoscaling.simulator import Outcome
from labkit.errors import BadInput
from labkit.grading.judging.codec import KIND
from labkit.grading.kernel.wire import Giver, is_ours
from labkit.grading.verbs.confined import Confined
from labkit.lab import Lab
from labkit.what_if import WhatIf


@dataclass
class Again:
    """The lab, as an expression of the course may ask it once more."""

    _lab: Lab
    _confined: Confined
    _said: dict[tuple[str, float | None], Any] = field(default_factory=dict)

    @property
    def clock(self) -> float:
        """Lab seconds in one real second."""
        return self._lab.clock

    def keep(self, promql: Any, since: Any, value: Any) -> None:
        """Remember what a query gave."""
        self._said[str(promql), since] = value

    def metrics(self, promql: str, *, since: float | None = None) -> Any:
        """What it gave when the cell asked; raises `LookupError` where none did."""
        return self._said[promql, since]

    def what_if(self, shape: Any, policy: Any, **options: Any) -> Outcome:
        """The model is asked anew: with the same question it says the same."""
        model = WhatIf(self._lab.kube, self._lab.session.seed, self._lab.session.stamp)
        chosen = self._confined.manifest(policy) if isinstance(policy, str | Path) else policy
        return model.ask(shape, chosen, **options)


@dataclass(frozen=True)
class Handed:
    """Names with what the student's process says they are."""

    _giver: Giver
    _data: Any

    def own(self, name: str) -> Any:
        """The grader's original; raises `BadInput` where it is none, or plain data that proves nothing."""
        given = (
            self._data if isinstance(self._data, dict) and self._data.get(KIND) == "dict" else {"items": ()}
        )
        data = next((value for key, value in given["items"] if key == name), None)
        value = self._giver.decode(data) if is_ours(data) else None
        if value is None or (_numbered(data) and isinstance(value, dict | list | str)):
            raise BadInput(f"{name} is not the grader's own.", fix="It is worked out from what is.")
        return value


def _numbered(data: Any) -> bool:
    return isinstance(data, dict) and data.get(KIND) == "ref"
