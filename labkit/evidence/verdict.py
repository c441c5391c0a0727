"""What a check finds: a value, never an exception.

"Could not run" is never "wrong answer": it is `inconclusive`, and asks for another run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from localcluster.stored import made, plain

MIME = "application/vnd.labkit.check+json"
"""MIME type of the notebook output with a verdict; papermill keeps it, so a run can be read back."""


RUN_MIME = "application/vnd.labkit.run+json"
"""MIME type of the output in which `labkit.connect` says where and how the notebook runs."""


@dataclass(frozen=True)
class Verdict:
    """Whether a step of the course passed: what was expected, what was seen, and how to find out more."""

    id: str
    passed: bool
    expected: str
    observed: str
    hint: str = ""
    inconclusive: bool = False

    def __post_init__(self) -> None:
        if self.passed and self.inconclusive:
            raise ValueError("a verdict can't be both passed and inconclusive")

    @property
    def state(self) -> str:
        """`passed`, `failed` or `inconclusive`."""
        if self.inconclusive:
            return "inconclusive"
        return "passed" if self.passed else "failed"

    @property
    def points(self) -> int:
        """1 if the step passed, else 0: the last line of a check's cell, which nbgrader counts."""
        return int(self.passed)

    def to_json(self) -> dict[str, Any]:
        """The JSON that a notebook's output has under `MIME`."""
        return {**plain(self), "state": self.state}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Verdict:
        """Read what `to_json` returned; raises `ValueError` for anything else."""
        return made(cls, data, newer=True)


RUN_AGAIN = "Run the cells above again, then this one."


def could_not_run(check: str, why: str, *, hint: str = RUN_AGAIN) -> Verdict:
    """The verdict of a check that could not judge."""
    return Verdict(check, passed=False, expected="", observed=why, hint=hint, inconclusive=True)
