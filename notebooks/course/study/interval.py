"""A mean with its 95 % confidence interval, by Student's t, since a study has few runs.

Refuses an interval from one value: it is infinitely wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

# Two-sided 95 %, by degrees of freedom from 1 on: https://www.itl.nist.gov/div898/handbook/eda/section3/eda3672.htm
T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
LARGE = 1.96


@dataclass(frozen=True)
class Interval:
    """`mean` ± `half`, from `count` values."""

    mean: float
    half: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """The interval of a few values, assumed to be independent and roughly normal."""
        count = len(values)
        if count < 2:
            return cls(fmean(values) if values else math.nan, math.inf, count)
        t = T[count - 2] if count - 2 < len(T) else LARGE
        return cls(fmean(values), t * stdev(values) / math.sqrt(count), count)

    @property
    def says(self) -> int:
        """1 or -1 if the interval is entirely above or below 0; 0 if it includes 0."""
        if self.mean - self.half > 0:
            return 1
        return -1 if self.mean + self.half < 0 else 0
