"""A guess that the learner commits to before the run, and compares with what happened.

A number, a word, or a curve: a list of (lab second, replicas). It is never graded: a wrong guess with a
reason behind it teaches more than a right one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labkit.evidence import Series, plainly
from labkit.view.notebook import show
from labkit.view.verdict import Note


@dataclass(frozen=True)
class Prediction:
    """What was asked, and what the learner thinks."""

    question: str
    answer: Any

    @property
    def made(self) -> bool:
        """Whether an answer has replaced the `...`."""
        return self.answer is not Ellipsis

    @property
    def curve(self) -> Series:
        """The guess as a series for `lab.plot(run, predicted=[…])`; empty if it isn't a curve."""
        return Series("predicted", "replicas", _points(self.answer), "your prediction")

    def compare(self, seen: Any) -> None:
        """Show the guess next to what was seen: a value or, for a curve, the recorded series.

        If `seen` is one of the learner's own answers and still open, nothing is given away.
        """
        if seen is ...:
            show(Note(f"{self.question}\nWrite your own answer above first.", colour="#CC79A7"))
            return
        if isinstance(seen, Series):
            show(Note(f"{self.question}\n{self._against(seen)}", colour="#CC79A7"))
            return
        guess = f"You predicted {plainly(self.answer)}" if self.made else "You made no prediction"
        show(Note(f"{self.question}\n{guess}; it was {plainly(seen)}.{self._off(seen)}", colour="#CC79A7"))

    def _against(self, seen: Series) -> str:
        if not self.curve.points:
            return "You drew no curve: write [(0, 2), (60, 6), …], pairs of time and replicas."
        end = max(t for t, _ in seen.points)
        apart, height = self.curve.apart(seen, end), seen.area(0, end) / end
        score = max(0.0, 1 - apart / height)
        off = f"{apart:.1f} of {height:.1f} replicas on average"
        return f"Your curve was off by {off}: score {100 * score:.0f} of 100."

    def _off(self, seen: Any) -> str:
        if not self.made:
            return " Next time, commit to a guess first: the difference is what you learn from."
        if self.answer == seen or str(self.answer).strip().lower() == str(seen).strip().lower():
            return " Exactly."
        if not (isinstance(self.answer, int | float) and isinstance(seen, int | float)):
            return ""
        less, more = ("few", "many") if _whole(self.answer) and _whole(seen) else ("low", "high")
        off = f"{plainly(abs(self.answer - seen))} too {less if self.answer < seen else more}"
        return f" That is {off}. Which step of your reasoning would have to change?"


def predict(question: str, answer: Any) -> Prediction:
    """Commit to an answer and show it, so that the notebook has it before the run."""
    made = Prediction(question, answer)
    words = (
        f"you say {plainly(answer)}"
        if made.made
        else "none yet. Replace the dots with your answer, and run this cell before you go on"
    )
    show(Note(f"{question}\nPrediction: {words}.", colour="#CC79A7"))
    return made


def _whole(value: float) -> bool:
    """Whether the value seems to be a count."""
    return float(value).is_integer()


def _points(answer: Any) -> tuple[tuple[float, float], ...]:
    """An answer such as [(0, 2), (60, 6)], sorted by time; empty if it isn't such a list."""
    try:
        return tuple(sorted((float(at), float(value)) for at, value in answer))
    except (TypeError, ValueError):
        return ()
