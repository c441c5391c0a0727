"""Cases for a learner's function, drawn from a student's seed where it is graded; no edition has them.

Bounds and edges are always among them. The others are drawn, all are shuffled, and a few come twice, so that
neither their order nor their number tells anything. What is right is computed here, by the course's own rule.
Refuses to be clever: no case depends on how one rounds a float, or on the tolerance of the HPA.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

from labkit.checks.tried import Case

Given = tuple[Any, ...]
Point = tuple[int, float]
DRAWN, TWICE = 12, 3
TARGET, LEAST, MOST = 5, 2, 10
TOLERANCE = 0.1
"""Of the HPA: where the ratio is this near to 1, it leaves the replicas alone."""


def draw(check: str, seed: int) -> dict[str, tuple[Case, ...]]:
    """By the name of the answer: what a check's functions are tried on; empty for a check without any."""
    return {name: _cases(rule, seed) for name, rule in RULES.get(check, {}).items()}


def _cases(rule: _Rule, seed: int) -> tuple[Case, ...]:
    random = Random(seed)
    edges, more, right = rule
    given = [*edges, *(more(random) for _ in range(DRAWN))]
    given += random.sample(given, TWICE)
    random.shuffle(given)
    return tuple((one, right(*one)) for one in given)


def _held(replicas: float) -> int:
    return max(LEAST, min(MOST, math.ceil(replicas)))


def by_queue(queues: Sequence[int]) -> int:
    """Replicas for the queue of each pod, as in notebook 05."""
    return _held(sum(queues) / TARGET)


def _queues(random: Random) -> Given:
    """Queues outside the tolerance; no result hangs on a rounding error."""
    while True:
        pods = random.randint(1, 9)
        queues = [random.choice((0, random.randint(0, 4), random.randint(3, 15))) for _ in range(pods)]
        if sum(queues) % TARGET and abs(sum(queues) / pods / TARGET - 1) > TOLERANCE + 0.01:
            return (queues,)


def by_cpu(replicas: int, utilization: int, target: int) -> int:
    """Replicas for a utilization in per cent of the request, as in notebook 04."""
    return _held(replicas * utilization / target)


def _utilization(random: Random) -> Given:
    """As `_queues`."""
    while True:
        replicas, target = random.randint(2, 10), random.choice((40, 50, 60, 70, 75, 80, 90))
        utilization = random.randint(5, 250)
        if replicas * utilization % target and abs(utilization / target - 1) > TOLERANCE + 0.01:
            return replicas, utilization, target


def waiting(goal: float, rate: float) -> int:
    """Requests that may wait ahead of you, as in notebook 03."""
    return max(0, math.floor(goal * rate) - 1)


def _promise(random: Random) -> Given:
    """A goal and a rate whose product is no whole number, nor near one."""
    while True:
        goal, rate = random.randint(1, 40), round(random.uniform(0.05, 2.5), 3)
        if 0.05 < goal * rate % 1 < 0.95:
            return goal, rate


def unbeaten(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats, by GPU-seconds, as in notebook 06."""
    return sorted(point for point in points if not any(_beats(other, point) for other in points))


def _beats(one: Point, other: Point) -> bool:
    return one != other and one[0] <= other[0] and one[1] >= other[1]


def _points(random: Random) -> Given:
    """Different points, some of them with a cost or a share in common."""
    costs, shares = random.sample(range(50, 900, 10), 6), random.sample(range(1, 20), 6)
    points = {(random.choice(costs), random.choice(shares) / 20) for _ in range(random.randint(2, 9))}
    return (random.sample(sorted(points), len(points)),)


def full(queues: Sequence[int], threshold: int) -> float:
    """The saturation of a pool of servers, as in notebook 12."""
    return sum(queues) / threshold / len(queues)


def _pool(random: Random) -> Given:
    """Servers with and without a queue."""
    queues = [
        random.choice((0, random.randint(1, 4), random.randint(5, 40))) for _ in range(random.randint(1, 8))
    ]
    return queues, random.randint(1, 12)


def _alone(*lists: list[Any]) -> Iterator[Given]:
    yield from ((one,) for one in lists)


_Rule = tuple[Sequence[Given], Callable[[Random], Given], Callable[..., Any]]
QUEUES = tuple(
    _alone([0], [0, 0, 0], [1, 0], [5, 5], [12], [7, 6], [50], [26, 25], [90, 80, 70], [40, 0, 0, 6], [0] * 9)
)
"""No queue, both bounds and just beside them, one long queue among empty ones."""
UTILIZATIONS = (
    *((2, 0, 80), (2, 30, 80), (2, 80, 80), (2, 121, 80), (10, 250, 80)),
    *((10, 10, 80), (4, 160, 80), (4, 90, 40), (9, 100, 80), (5, 45, 75)),
)
"""Idle, both bounds and just beside them, on target, another target."""
PROMISES = ((1, 0.617), (3, 0.617), (4, 0.617), (1, 0.05), (40, 2.49), (10, 0.617))
"""No place at all, the first one, many."""
FRONTIERS = tuple(
    _alone(
        [(500, 0.1)],
        [(100, 0.5), (100, 0.7)],
        [(100, 0.5), (200, 0.5)],
        [(300, 0.9), (200, 0.95), (100, 0.99)],
        [(300, 0.9), (200, 0.5), (100, 0.1)],
        [(100, 0.0), (200, 1.0)],
    )
)
"""One point, the same cost, the same share, one that beats all, none that is beaten."""
POOLS = (
    ([0], 5),
    ([0, 0, 0], 1),
    ([5, 5], 5),
    ([15, 0, 0, 0], 1),
    ([40, 0, 0, 0], 8),
    ([3], 12),
    ([1, 2, 3], 2),
)
"""Nobody waits, all just full, one long queue among empty ones, one server."""
RULES: Mapping[str, Mapping[str, _Rule]] = {
    "03.target": {"allowed": (PROMISES, _promise, waiting)},
    "04.desired-by-hand": {"desired": (UTILIZATIONS, _utilization, by_cpu)},
    "05.desired-by-hand": {"desired": (QUEUES, _queues, by_queue)},
    "06.frontier": {"frontier": (FRONTIERS, _points, unbeaten)},
    "12.valve": {"saturation": (POOLS, _pool, full)},
}
