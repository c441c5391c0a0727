"""Notebook 09's checks on a thousand nodes: how fast the real scheduler is, and what limits it.

Pure. Names no bottleneck if nothing was placed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labkit.checks.check import Check, Finding, first_that_holds, nothing_yet, number
from labkit.evidence.pace import STAGES, Pace
from labkit.evidence.quantity import plainly

MANY = 1000
NEAR = 0.15  # of a rate read off a plot
CROWD = 0.1  # of all pods: a queue shorter than this is no bottleneck
QPS, BURST = 50, 100  # the scheduler's default rate limit for API requests


def thousand(pace: Pace) -> Finding:
    """A thousand pods were created, bound and running."""
    counts = {stage: len(pace.times(stage)) for stage in STAGES}
    observed = ", ".join(f"{count:,} {stage}" for stage, count in counts.items())
    again = "Run again from lab.delete('deployment/thousand'), and call pace.stop() only when all are ready."
    if not counts["created"]:
        return nothing_yet("no pod was created during the recording", again)
    # More than that if a node was silent for too long on a busy machine: its pod gets recreated.
    hint = first_that_holds(
        (counts["created"] < MANY, f"The first pods came before you recorded. {again}"),
        (counts["bound"] < MANY, "Some got no node: are all 1,000 nodes there (lab.nodes.kwok), and ready?"),
        (counts["running"] < MANY, f"The recording stopped before all of them ran. {again}"),
    )
    return Finding(passed=not hint, observed=f"{observed}, in {pace.seconds:.1f} s", hint=hint)


def rate(answer: Any, pace: Pace) -> Finding:
    """Pods per second, from the first one created to the last one bound."""
    if not pace.rate:
        return nothing_yet("no pod was placed", "Run the cell that applies thousand.yaml again.")
    said = number(answer)

    def like(value: float) -> bool:
        return said is not None and abs(said - value) <= NEAR * value

    created = len(pace.created) / (pace.created[-1] - pace.created[0] or 1)
    hint = first_that_holds(
        (like(pace.rate), ""),
        (said is None, "Answer with one number: pods per second."),
        (like(1 / pace.rate), "That is how many seconds one pod takes. How many pods is that per second?"),
        (like(pace.seconds), "That is how long it took. How many pods is that per second?"),
        (like(len(pace.bound)), "That is how many in total. How many is that per second?"),
        (like(created), "That is how fast they were *created*. When was the last one bound?"),
    )
    return Finding(passed=like(pace.rate), observed=f"you say {plainly(answer)} pods a second", hint=hint)


def bottleneck(answer: Any, pace: Pace) -> Finding:
    """The stage with a queue in front of it; if there is none, the component that creates the pods."""
    if not pace.bound:
        return nothing_yet("no pod was placed", "Run the cell that applies thousand.yaml again.")
    queues, said = pace.queues(), str(answer).lower()
    slowest = max(queues, key=lambda name: queues[name])
    right = slowest if queues[slowest] > CROWD * len(pace.created) else "controller"
    known = [name for name in ("controller", *queues) if name in said]
    hint = first_that_holds(
        (known == [right], ""),
        (len(known) != 1, 'Answer with one of "controller", "scheduler", "kubelet".'),
        (
            right == "controller",
            "All three curves are close together: there is no queue. Then which one sets the pace?",
        ),
        (known == ["controller"], "Pods are created faster than they move on. Where do they wait?"),
        (True, "Another one has the longer queue. Between which two curves is the distance largest?"),
    )
    return Finding(passed=not hint, observed=f"you say {plainly(answer)}", hint=hint)


def throttled(answer: Any) -> Finding:
    """At 50 requests per second and one request per binding: 1,000 / 50, minus what the burst allows."""
    said = number(answer)
    least, most = (MANY - BURST) / QPS, MANY / QPS
    right = said is not None and least <= said <= most
    hint = first_that_holds(
        (right, ""),
        (said is None, "Answer with one number, in seconds."),
        (said == QPS * MANY, "A pod takes less than a second: 50 of them are bound in one."),
        (said == QPS / MANY, "The other way round: how often do 50 go into 1,000?"),
        (
            said is not None and said < least,
            "Too short: after the burst, 50 requests per second, and one request for each pod.",
        ),
        (True, "Too long: how often do 50 go into what is left after the burst?"),
    )
    return Finding(passed=right, observed=f"you say {plainly(answer)} seconds", hint=hint)


CHECKS: Sequence[Check] = (
    Check(
        "09.thousand",
        "1,000 pods created, bound and running",
        "Run lab.nodes.kwok(1000), then lab.pace(…), then lab.apply(…), in this order.",
        thousand,
        rows=(14,),
    ),
    Check(
        "09.rate",
        "pods per second, from the first one created to the last one bound, within 15 %",
        (
            "How many pods were bound, and how long did it take from the first one created "
            "to the last one bound?"
        ),
        rate,
        answers=("answer",),
        copying=True,
        rows=(14,),
    ),
    Check(
        "09.bottleneck",
        '"controller", "scheduler" or "kubelet": the one that the others wait for',
        "The slowest one has a queue in front of it: where are two curves far apart?",
        bottleneck,
        answers=("answer",),
        copying=True,
        rows=(14,),
    ),
    Check(
        "09.throttled",
        "seconds that 1,000 bindings take at least, if the scheduler may send 50 requests per second",
        "It takes one request for each pod. (A burst of 100 is free.)",
        throttled,
        answers=("answer",),
        copying=False,
        rows=(14,),
    ),
)
