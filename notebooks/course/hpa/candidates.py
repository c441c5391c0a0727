"""About a thousand policies to choose from: replicas held, CPU targets, and queue targets with their pace.

A grid, not a search, so that every point in the picture has neighbours to compare with.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from course.hpa.policy import DOWN, Behavior, Policy, Rules, Step, Target
from course.hpa.scenario import QUEUE

Named = tuple[str, Policy | int]

TARGETS = (1, 2, 3, 5, 8, 12, 20)  # waiting requests per pod
LEAST, MOST = (2, 3, 4), (4, 6, 8, 10)
WINDOWS = (0, 30, 60, 120, 300)  # seconds of scale-down stabilization
PACES = {
    "out 4 pods or 100 % in 15 s": (Step("Pods", 4, 15), Step("Percent", 100, 15)),
    "out 1 pod in 30 s": (Step("Pods", 1, 30),),
}
CPU_TARGETS = range(30, 101, 5)  # % of the request; an idle server shows 25, so less adds pods without load


def candidates() -> dict[str, dict[str, Policy | int]]:
    """All candidates by family (static, CPU, queue) and by a descriptive name."""
    static = {f"{n} replicas": n for n in range(2, 11)}
    return {"static": dict(static), "CPU": dict(_cpu()), "queue": dict(_queue())}


def _cpu() -> Iterator[Named]:
    for target, most in product(CPU_TARGETS, MOST):
        yield f"CPU {target} %, 2 to {most}", Policy(2, most, (_cpu_target(target),))


def _queue() -> Iterator[Named]:
    for target, least, most in product(TARGETS, LEAST, MOST):
        name = f"queue {target}, {least} to {most}"
        metric = (Target("Pods", QUEUE, "AverageValue", 1000 * target),)
        yield f"{name}, no behavior", Policy(least, most, metric)
        for window, (pace, steps) in product(WINDOWS, PACES.items()):
            behavior = Behavior(Rules(0, "Max", steps), Rules(window, DOWN.select, DOWN.steps))
            yield f"{name}, {pace}, in after {window} s", Policy(least, most, metric, behavior)


def _cpu_target(percent: int) -> Target:
    return Target("Resource", "cpu", "Utilization", percent)
