"""From measured steps to the coefficients of a profile: least squares on the formula of `profile.Profile`.

The formula bends where arithmetic takes longer than reading the weights: every position of the bend is tried.
No coefficient can be negative. Refuses measurements that can't separate the coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import combinations

import numpy as np

from localcluster.errors import BadInput
from localcluster.gpus.profile import StepPart

Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Vector = np.ndarray[tuple[int], np.dtype[np.float64]]

COEFFICIENTS = 6


@dataclass(frozen=True)
class Sample:
    """One measured step: its work, and how long it took.

    `context` counts the tokens of all its sequences together, `pairs` those of query and key in prefill.
    """

    sequences: int
    tokens: int
    context: int
    pairs: float
    seconds: float

    @classmethod
    def decode(cls, *, batch: int, context: int, seconds: float) -> Sample:
        """A decode step of `batch` sequences with `context` tokens each."""
        return cls(batch, batch, batch * context, 0.0, seconds)

    @classmethod
    def prefill(cls, tokens: int, *, seconds: float) -> Sample:
        """A prompt, alone."""
        return cls(1, tokens, tokens, tokens * (tokens + 1) / 2, seconds)

    @property
    def is_prefill(self) -> bool:
        """Whether it read a prompt."""
        return self.pairs > 0

    def predicted(self, step: StepPart) -> float:
        """What a profile predicts for such a step, in seconds."""
        matmuls = max(step.weights_s, step.token_s * self.tokens)
        fixed = step.overhead_s + step.sequence_s * self.sequences
        return fixed + matmuls + step.context_token_s * self.context + step.pair_s * self.pairs


@dataclass(frozen=True)
class Fit:
    """The coefficients, and the relative errors of the formula with them."""

    step: StepPart
    errors: tuple[float, ...]
    """One for each sample, in order; positive if the formula predicts too much."""

    @property
    def max_relative_error(self) -> float:
        """The largest error."""
        return max(abs(error) for error in self.errors)

    @property
    def median_relative_error(self) -> float:
        """The median error."""
        return float(np.median(np.abs(self.errors)))


def fit(samples: Sequence[Sample]) -> Fit:
    """The coefficients with the least sum of squared relative errors."""
    if len(samples) <= COEFFICIENTS or len({sample.is_prefill for sample in samples}) == 1:
        raise BadInput(
            f"{len(samples)} steps are not enough to determine {COEFFICIENTS} coefficients.",
            cause="There are too few, or they are all of one kind.",
            fix="Measure decode steps with several batch sizes and contexts, and prompts of several lengths.",
        )
    bends = sorted({sample.tokens for sample in samples})[:-1]
    found = [_evaluated(_with_bend(samples, bend), samples) for bend in bends]
    best = min(found, key=lambda one: sum(error**2 for error in one.errors))
    if best.step.token_s == 0:
        raise BadInput(
            "The steps don't show the cost of a token.",
            cause="All of them were limited by reading the weights.",
            fix="Also measure prompts of several thousand tokens.",
        )
    return best


def _evaluated(step: StepPart, samples: Sequence[Sample]) -> Fit:
    return Fit(step, tuple(sample.predicted(step) / sample.seconds - 1 for sample in samples))


def _with_bend(samples: Sequence[Sample], bend: int) -> StepPart:
    """Steps of at most `bend` tokens are bound by the weights, longer ones by arithmetic."""
    rows = [_row(sample, weights_bound=sample.tokens <= bend) for sample in samples]
    scaled = np.array(rows) / np.array([[sample.seconds] for sample in samples])
    return StepPart(*(float(value) for value in _not_negative(scaled)))


def _row(sample: Sample, *, weights_bound: bool) -> tuple[float, ...]:
    weights, tokens = (1.0, 0.0) if weights_bound else (0.0, float(sample.tokens))
    return 1.0, float(sample.sequences), weights, tokens, float(sample.context), sample.pairs


def _not_negative(rows: Matrix) -> Vector:
    """Least squares to a column of ones; with six unknowns, every choice of positive ones is tried."""
    size = np.linalg.norm(rows, axis=0)
    unit = rows / np.where(size > 0, size, 1.0)
    ones = np.ones(len(rows))
    best, least = np.zeros(COEFFICIENTS), float("inf")
    for count in range(1, COEFFICIENTS + 1):
        for columns in map(list, combinations(np.flatnonzero(size > 0), count)):
            values = np.linalg.lstsq(unit[:, columns], ones)[0]
            loss = float(np.sum((unit[:, columns] @ values - ones) ** 2))
            if values.min() >= 0 and loss < least:
                best, least = np.zeros(COEFFICIENTS), loss
                best[columns] = values / size[columns]
    return best


def coefficients(step: StepPart) -> dict[str, float]:
    """By name, in the order of the formula."""
    return dict(zip(StepPart.__dataclass_fields__, astuple(step), strict=True))
