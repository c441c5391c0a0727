"""The size of a request: how many tokens go in, and how many come out.

A distribution is a table of quantiles, whatever it was made from: a constant, a formula or a recorded
trace. Prompts are token ids, not text, so their count is exact.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from labkit.errors import BadInput

_GRID = 101
_DIGITS = 1 << 17
_LARGEST = _DIGITS // 2


@dataclass(frozen=True)
class Tokens:
    """Token counts as quantiles at equal steps from 0 to 1; values in between are interpolated."""

    quantiles: tuple[float, ...]

    def __post_init__(self) -> None:
        rising = list(self.quantiles) == sorted(self.quantiles)
        if not (self.quantiles and rising and self.quantiles[0] >= 1 and self.quantiles[-1] <= _LARGEST):
            raise BadInput(
                f"Token counts {self.quantiles} are not a distribution.",
                cause=f"Quantiles must rise, from at least 1 token to {_LARGEST:,} at most.",
                fix="Tokens.fixed(200), Tokens.between(50, 400) or Tokens.lognormal(median=128, p95=450).",
            )

    @classmethod
    def fixed(cls, count: int) -> Tokens:
        """Always `count`."""
        return cls((float(count),))

    @classmethod
    def between(cls, low: int, high: int) -> Tokens:
        """Any count from `low` to `high`, all equally likely."""
        return cls((float(low), float(high)))

    @classmethod
    def lognormal(cls, *, median: float, p95: float, top: int = 16_384) -> Tokens:
        """A long right tail, defined by two figures that a dashboard shows; cut off at `top` tokens.

        >>> Tokens.lognormal(median=128, p95=450).at(0.5)
        128
        """
        ratio = (p95 / median) ** (1 / NormalDist().inv_cdf(0.95))
        steps = [min(max(i / (_GRID - 1), 0.001), 0.999) for i in range(_GRID)]
        return cls(tuple(min(max(1.0, median * ratio ** NormalDist().inv_cdf(q)), top) for q in steps))

    @classmethod
    def of(cls, counts: Iterable[int]) -> Tokens:
        """The quantiles of recorded counts."""
        return cls(quantiles_of([float(max(1, c)) for c in counts], points=_GRID))

    def at(self, q: float) -> int:
        """The token count below which a share `q` of all requests stays."""
        return max(1, round(interpolate(self.quantiles, q)))

    def draw(self, rng: random.Random) -> int:
        """One count."""
        return self.at(rng.random())


@dataclass(frozen=True)
class Workload:
    """The sizes of requests: `input` and `output` tokens, a constant or a distribution each."""

    input: Tokens | int = 128
    output: Tokens | int = 200

    def draw(self, rng: random.Random) -> tuple[int, int]:
        """The sizes of one request."""
        return _tokens(self.input).draw(rng), _tokens(self.output).draw(rng)

    def as_json(self) -> dict[str, list[float]]:
        """What the generator process reads back with `of_json`."""
        return {
            "input": list(_tokens(self.input).quantiles),
            "output": list(_tokens(self.output).quantiles),
        }

    @classmethod
    def of_json(cls, data: dict[str, list[float]]) -> Workload:
        """The inverse of `as_json`."""
        return cls(input=Tokens(tuple(data["input"])), output=Tokens(tuple(data["output"])))


class Prompts:
    """Ready-made request bodies: a slice of one long list of one-digit token ids, so 2 bytes a token.

    Each request's slice starts elsewhere, so that prompts differ and a prefix cache has nothing to reuse.
    """

    def __init__(self, model: str, *, seed: int) -> None:
        rng = random.Random(seed)
        self._ids = ",".join(rng.choices("123456789", k=_DIGITS)).encode()
        head = {"model": model, "stream": True, "ignore_eos": True, "temperature": 0}
        usage = {"include_usage": True, "continuous_usage_stats": True}
        self._head = json.dumps(head | {"stream_options": usage})[:-1].encode()

    def body(self, number: int, *, tokens_in: int, tokens_out: int) -> bytes:
        """The body of request `number`: exactly `tokens_in` prompt tokens, `tokens_out` asked for."""
        start = 2 * (number * 7919 % (_DIGITS - tokens_in))
        ids = self._ids[start : start + 2 * tokens_in - 1]
        return b'%s, "max_tokens": %d, "prompt": [%s]}' % (self._head, tokens_out, ids)


def quantiles_of(values: Sequence[float], *, points: int) -> tuple[float, ...]:
    """The values at `points` equal steps of the sorted list, both ends included."""
    ordered = sorted(values)
    return tuple(interpolate(ordered, i / (points - 1)) for i in range(points))


def interpolate(table: Sequence[float], q: float) -> float:
    """The value at share `q` (0 to 1) of an ascending table, linear between its entries."""
    place = q * (len(table) - 1)
    low = int(place)
    high = min(low + 1, len(table) - 1)
    return table[low] + (table[high] - table[low]) * (place - low)


def _tokens(value: Tokens | int) -> Tokens:
    return value if isinstance(value, Tokens) else Tokens.fixed(value)
