"""A run of equal steps, worked out at once: the reason why a busy replica costs next to no CPU.

Between two moments that matter (a request comes in or ends, a prompt is read, the cache is full) every decode
step has the same sequences and reads a little more context than the one before. So the k-th step ends at
`start + k·first + growth·k(k-1)/2`, and any number of steps is accounted for in one go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from model_server.request import Request

EPSILON = 1e-9
"""Seconds by which a clock may fall short of a step's end through rounding."""


@dataclass
class Span:
    """`steps` equal steps of the same batch; `done` of them are accounted for."""

    start: float
    steps: int
    first: float
    growth: float
    batch: list[tuple[Request, int]]
    done: int = 0

    def end_of(self, step: int) -> float:
        """The moment at which `step` steps are over."""
        return self.start + step * self.first + self.growth * step * (step - 1) / 2

    @property
    def end(self) -> float:
        """The moment at which all of it is over."""
        return self.end_of(self.steps)

    def completed(self, at: float) -> int:
        """How many steps are over at a moment."""
        if at + EPSILON >= self.end:
            return self.steps
        passed = max(0.0, at + EPSILON - self.start)
        if self.growth == 0.0:
            return min(self.steps, int(passed / self.first))
        half = self.first - self.growth / 2
        guess = int((math.sqrt(half * half + 2 * self.growth * passed) - half) / self.growth)
        guess = max(0, min(self.steps, guess))
        while guess < self.steps and self.end_of(guess + 1) <= at + EPSILON:
            guess += 1
        while guess > 0 and self.end_of(guess) > at + EPSILON:
            guess -= 1
        return guess

    def cut(self, at: float) -> None:
        """End it with the step that is under way at this moment, so that the scheduler looks again."""
        self.steps = min(self.steps, self.completed(at) + 1)
