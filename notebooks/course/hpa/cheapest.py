"""The cheapest fleet for work with deadlines, as a dynamic programme over time slots.

The state is the number of ready replicas and the work done so far. All rounding is in the fleet's favour: a
replica works from the beginning of the slot in which it becomes ready to the end of that in which it ends,
and neither slot is paid for. So the result is a lower bound for fleets that change at any moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Costs = NDArray[np.float64]
"""GPU-seconds (infinite: impossible) by price of a broken promise, ready replicas, work done in advance."""

LEAST, PRICES, ROUNDS = 0.5, 8, 3
"""Prices of a broken promise: the lowest (GPU-seconds), how many at once, and how often, ever closer."""


@dataclass(frozen=True)
class Work:
    """What is to be done, by slot of `slot` s. Work is in units; a replica does `units` in a slot.

    At a slot's end, between `due` and `arrived` units are done. `requests` are the units of each request that
    arrives in a slot. A start takes `start` s, at least two slots; there are `gpus` replicas at most.
    """

    slot: float
    units: int
    start: float
    gpus: int
    arrived: Sequence[int]
    due: Sequence[int]
    requests: Sequence[Sequence[int]]


def cheapest(work: Work, *, broken: int) -> float:
    """A lower bound of the GPU-seconds of any fleet that breaks at most `broken` promises.

    Each price of a broken promise (a Lagrange multiplier) gives a bound: what the cheapest fleet pays, less
    the price of those allowed. Infinite if no fleet keeps enough promises.
    """
    most = work.gpus * work.slot * len(work.due)
    low, high, bound = LEAST, 2 * most + LEAST, 0.0
    for _ in range(ROUNDS):
        prices = np.geomspace(low, high, PRICES)
        bounds = _least(work, prices) - prices * broken
        best = int(np.argmax(bounds))
        bound = max(bound, float(bounds[best]))
        low, high = prices[max(0, best - 1)], prices[min(best + 1, PRICES - 1)]
    return bound if bound <= most else float("inf")


def _least(work: Work, prices: Costs) -> Costs:
    """By price: the GPU-seconds of the cheapest fleet, plus what it pays for broken promises."""
    costs = np.zeros((len(prices), work.gpus + 1, 1))
    held = work.slot * np.arange(work.gpus + 1)[:, None]
    before = 0
    for slot, (arrived, due) in enumerate(zip(work.arrived, work.due, strict=True)):
        if slot:
            costs = _resized(costs, work, joins=slot >= int(work.start / work.slot))
        costs = _done(costs, 0, arrived - before)
        for units in work.requests[slot]:
            costs = np.minimum(costs, _done(costs, units, arrived - before) + prices[:, None, None])
        for replicas in range(1, work.gpus + 1):
            costs[:, replicas] = _done(costs[:, replicas], replicas * work.units, arrived - before)
        costs = costs[..., due - before :] + held
        before = due
    least: Costs = (costs - held).min(axis=(1, 2))  # the last slot of a replica is free
    return np.maximum(least, 0.0)


def _resized(costs: Costs, work: Work, *, joins: bool) -> Costs:
    """The cheapest way to each number of replicas, from any other."""
    fewer, more = costs, costs.copy()
    for number in range(work.gpus if joins else 0):
        np.minimum(more[:, number + 1], more[:, number] + work.start - work.slot, out=more[:, number + 1])
    for number in reversed(range(work.gpus)):
        np.minimum(fewer[:, number], fewer[:, number + 1] - work.slot, out=fewer[:, number])
    return np.minimum(fewer, more)


def _done(costs: Costs, units: int, most: int) -> Costs:
    """After more work: as much as has arrived, at most."""
    after = np.full((*costs.shape[:-1], most + 1), np.inf)
    below = max(0, min(most - units, costs.shape[-1]))
    after[..., units : units + below] = costs[..., :below]
    if below < costs.shape[-1]:
        after[..., most] = costs[..., below:].min(axis=-1)
    return after
