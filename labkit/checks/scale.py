"""Notebook 09's checks on a thousand nodes: how fast the real scheduler is, and what it waits for.

Pure. Refuses to name a bottleneck where nothing was placed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labkit.checks.check import Check, Finding, number
from labkit.evidence.pace import STAGES, Pace
from labkit.evidence.quantity import plainly

MANY = 1000
NEAR = 0.15  # of a rate that is read off a plot
CROWD = 0.1  # of all pods: a shorter queue than this is nobody's bottleneck
QPS, BURST = 50, 100  # what a scheduler may ask of the API, by default


def thousand(pace: Pace) -> Finding:
    """A thousand pods were created, bound and running."""
    counts = {stage: len(pace.times(stage)) for stage in STAGES}
    observed = ", ".join(f"{count:,} {stage}" for stage, count in counts.items())
    # More than that where a node was silent for too long, on a busy machine: its pod is made anew.
    return Finding(passed=min(counts.values()) >= MANY, observed=f"{observed}, in {pace.seconds:.1f} s")


def rate(answer: Any, pace: Pace) -> Finding:
    """Pods per second, from the first one created to the last one bound."""
    said = number(answer)
    if not pace.rate:
        return Finding(passed=False, observed="nothing was placed", inconclusive=True)
    near = said is not None and abs(said - pace.rate) <= NEAR * pace.rate
    return Finding(
        passed=near, observed=f"you say {plainly(answer)}; {len(pace.bound):,} in {pace.seconds:.1f} s"
    )


def bottleneck(answer: Any, pace: Pace) -> Finding:
    """The stage that a queue stands in front of; where there is none, whoever creates the pods."""
    if not pace.bound:
        return Finding(passed=False, observed="nothing was placed", inconclusive=True)
    queues = pace.queues()
    slowest = max(queues, key=lambda name: queues[name])
    right = slowest if queues[slowest] > CROWD * len(pace.created) else "controller"
    shown = ", ".join(f"{count} in front of the {name}" for name, count in queues.items())
    return Finding(
        passed=right in str(answer).lower(), observed=f"you say {plainly(answer)}; at most {shown}"
    )


def throttled(answer: Any) -> Finding:
    """At 50 requests a second, one request for each binding: 1,000 / 50, less what the burst lets through."""
    said = number(answer)
    least = (MANY - BURST) / QPS
    observed = f"you say {plainly(answer)} seconds"
    return Finding(passed=said is not None and least <= said <= MANY / QPS, observed=observed)


CHECKS: Sequence[Check] = (
    Check(
        "09.thousand",
        "1,000 pods created, bound and running",
        "lab.kwok(nodes=1000), then lab.pace(…), then lab.apply(…), in this order.",
        thousand,
        rows=(14,),
    ),
    Check(
        "09.rate",
        "pods per second, from the first one created to the last one bound, within 15 %",
        "pace.bound[-1] - pace.created[0] seconds, for len(pace.bound) pods.",
        rate,
        rows=(14,),
    ),
    Check(
        "09.bottleneck",
        '"controller", "scheduler" or "kubelet": the one that the others wait for',
        "Whoever is slowest has a queue in front of him: where do two curves lie far apart?",
        bottleneck,
        rows=(14,),
    ),
    Check(
        "09.throttled",
        "seconds that 1,000 bindings take at least, where the scheduler may send 50 requests in a second",
        "One request for each pod. (A burst of 100 is free.)",
        throttled,
        rows=(14,),
    ),
)
