"""A guess that the learner commits to before the run, and holds against what happened.

Refuses to grade it: a wrong guess with a reason behind it teaches more than a right one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labkit.view.notebook import show
from labkit.view.verdict import Note


@dataclass(frozen=True)
class Prediction:
    """What was asked, and what the learner thinks."""

    question: str
    answer: Any

    @property
    def made(self) -> bool:
        """Whether there is an answer in the place of `...`."""
        return self.answer is not Ellipsis

    def compare(self, seen: Any) -> None:
        """Show the guess beside what was seen."""
        guess = f"You predicted {self.answer}" if self.made else "You made no prediction"
        show(Note(f"{self.question}\n{guess}; it was {seen}.{self._off(seen)}", colour="#CC79A7"))

    def _off(self, seen: Any) -> str:
        if not (isinstance(self.answer, int | float) and isinstance(seen, int | float)):
            return ""
        if self.answer == seen:
            return " Exactly."
        return f" Off by {self.answer - seen:+g}. Which step of your reasoning would have to change?"


def predict(question: str, answer: Any) -> Prediction:
    """Commit to an answer; shows it, so that it stands in the notebook before the run."""
    made = Prediction(question, answer)
    words = (
        f"you say {answer}" if made.made else "write your answer in place of the dots, then run this again"
    )
    show(Note(f"{question}\nPrediction: {words}.", colour="#CC79A7"))
    return made
