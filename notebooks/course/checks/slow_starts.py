"""Notebook 07's checks on the effects of a long start: on an autoscaler that waits for it, and on a probe.

Pure. A tie is not a failure: whether requests arrive in a bunch is chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from labkit.checks.check import Check, Figure, Finding, first_that_holds, nothing_yet, number
from labkit.evidence import Timeline
from labkit.evidence.cold_start import ColdStart
from labkit.evidence.quantity import plainly
from localcluster.api import JsonLike
from localcluster.api.objects import dig

SERVER = "spec.template.spec.containers.0"
RESERVE, NEVER = 1.2, 10.0  # a probe's patience, as a multiple of the start
NEAR, LEAST = 0.15, 2.0  # of the requests that pile up; not less than two of them


def overshoot(slow: Timeline, fast: Timeline) -> Finding:
    """Under the same load, the run with slow starts asked for more pods."""
    first, second = (timeline.one("desired").peak() or 0.0 for timeline in (slow, fast))
    observed = f"at the peak {first:.0f} replicas with the slow start, {second:.0f} with the fast one"
    again = "Run the cell that begins with start('scale-out/slow') again: it records both."
    if min(first, second) <= 2:
        return nothing_yet(
            f"{observed}: one of them never scaled out", f"Did the load and the HPA run? {again}"
        )
    if first == second:
        hint = f"The same number in both: by chance, requests came in bunches. {again}"
        return Finding(passed=False, observed=observed, hint=hint, inconclusive=True)
    hint = (
        ""
        if first > second
        else (
            "Did both begin at two replicas, and did you swap them? slow=… is the run whose "
            "start takes minutes."
        )
    )
    return Finding(passed=first > second, observed=observed, hint=hint)


def piled_up(answer: Any, rate: float, capacity: float, start: float) -> Finding:
    """The load beyond capacity, for as long as a start takes."""
    offered, served, seconds = (number(part) or 0.0 for part in (rate, capacity, start))
    if not (offered and served and seconds):
        again = "Run the cell that measures slow_start again."
        return nothing_yet("rate, capacity or start was not measured", again)
    wanted, said = (offered - served) * seconds, number(answer)
    near = said is not None and abs(said - wanted) <= max(LEAST, NEAR * abs(wanted))
    hint = "" if near else _piled_hint(said, (offered, served, seconds))
    return Finding(passed=near, observed=f"you say {plainly(answer)}", hint=hint)


def _piled_hint(said: float | None, measured: tuple[float, float, float]) -> str:
    offered, served, seconds = measured
    if said is None:
        return "Answer with one number of requests."

    def like(value: float) -> bool:
        return abs(said - value) <= 0.05 * abs(value)

    return first_that_holds(
        (like(offered * seconds), "That is all that come. Two servers answer some of them meanwhile."),
        (like(served * seconds), "That is what two servers answer. How many are left over?"),
        (like(offered - served), "That is how many pile up in one second. How long does the start take?"),
        (like((served - offered) * seconds), "The other way round: more come than are answered."),
        (like((offered - served) * seconds / 60), "The start is measured in seconds, not in minutes."),
    )


def earlier(late: Timeline, early: Timeline) -> Finding:
    """The lower target asked for half of the new pods sooner; both counted from the crowd's arrival.

    The first new pod does not count: whether a bunch of requests triggers it is chance under any target.
    """
    again = (
        "Run both again, each recorded from before the crowd comes: scale_out(…) with target 5, then with 2."
    )
    if not all(run.one("desired").points and run.events for run in (late, early)):
        return nothing_yet("a run was not recorded", again)
    half = _half_way(late, early)
    first, second = (_asked_for(half, run) for run in (late, early))
    if first is None or second is None:
        return nothing_yet(
            "one of them never scaled out", f"Did the load run while the HPA was there? {again}"
        )
    observed = f"{half} replicas requested {first} s after the crowd with target 5, {second} s with target 2"
    if first == second:
        hint = f"At the same moment in both: by chance, requests came in bunches. {again}"
        return Finding(passed=False, observed=observed, hint=hint, inconclusive=True)
    hint = "" if second < first else "Did you swap the two runs, or did the second one not have target 2?"
    return Finding(passed=second < first, observed=observed, hint=hint)


def patience(answer: Any, start: float, period: float) -> Finding:
    """The smallest failureThreshold that lets a start of this length pass."""
    said, seconds, every = number(answer), number(start), number(period)
    if not seconds or not every:
        return nothing_yet("no start was measured", "Run the cell that measures slow_start again.")
    wanted = seconds / every
    observed = f"you say {plainly(answer)}; the start took {seconds:.0f} s, the probe asks every {every:g} s"
    passed = said is not None and wanted - 1 <= said <= 1.5 * wanted + 1
    hint = (
        ""
        if passed or said is None
        else first_that_holds(
            (
                abs(said - seconds) <= 0.1 * seconds,
                "That is in seconds. How often does the probe ask in that time?",
            ),
            (said < wanted, "With so few failures it gives up while the server is still loading."),
            (True, "The server would survive with fewer. What is the *smallest* number?"),
        )
    )
    return Finding(passed=passed, observed=observed, hint=hint)


def mended(deployment: JsonLike | None, pods: Sequence[JsonLike] | None, start: float) -> Finding:
    """A startup probe with some reserve and a limit; the server is ready and was never restarted."""
    needed = number(start)
    if not needed:
        return nothing_yet("no start was measured", "Run the cell that measures slow_start again.")
    asked = dig(deployment, f"{SERVER}.startupProbe") or {}
    if not asked:
        hint = "Without it the liveness probe restarts a server that still loads. Give it more time instead."
        return Finding(passed=False, observed="there is no startupProbe", hint=hint)
    gives_up = asked.get("failureThreshold", 3) * asked.get("periodSeconds", 10)
    own = [p for p in pods or () if dig(p, "metadata.labels.app") == "llm-model"]
    restarts = sum(dig(pod, "status.containerStatuses.0.restartCount") or 0 for pod in own)
    ready = dig(deployment, "status.readyReplicas") or 0
    observed = f"gives up after {gives_up} s; {ready} ready, {restarts} restarts"
    hint = first_that_holds(
        (gives_up < needed, "It gives up before the server can be ready: every start ends in a restart."),
        (
            gives_up < RESERVE * needed,
            f"A start takes {needed:.0f} s when all goes well. What if the disk is busy?",
        ),
        (gives_up > NEVER * needed, "A server that hangs while it loads would be left alone for that long."),
        (
            ready != 1,
            "The probe is patient enough; the server is not ready yet. Wait, then run this cell again.",
        ),
        (
            restarts > 0,
            "It was restarted before it was ready. Which probe failed? See `kubectl events --for=pod/NAME`.",
        ),
    )
    return Finding(passed=not hint, observed=observed, hint=hint)


def _half_way(*runs: Timeline) -> int:
    """Replicas halfway between the start and the lower peak; at least one more than at the start."""
    start = runs[0].one("desired").points[0][1]
    peak = min(run.one("desired").peak() or start for run in runs)
    return math.floor(start) + max(1, math.ceil((peak - start) / 2))


def _asked_for(replicas: int, run: Timeline) -> int | None:
    """Lab seconds from the crowd (the first event) until this many were asked for; None if never."""
    moment = run.one("desired").first(lambda v: v >= replicas)
    return None if moment is None else round(moment - run.events[0].at)


def total(slow_start: ColdStart) -> float:
    """Lab seconds of a start, from the new pod to the first token."""
    return slow_start.total


_START = {"start": Figure(of=("slow_start",), by=total)}

CHECKS: Sequence[Check] = (
    Check(
        "07.overshoot",
        "the same load, and more replicas at the peak when the start is slow",
        "Run both again: both must begin at two replicas and get the same load.",
        overshoot,
        rows=(11,),
    ),
    Check(
        "07.piled-up",
        "how many requests pile up while the first new pod starts",
        "How many come in that time, and how many of them do two servers answer?",
        piled_up,
        answers=("answer",),
        copying=False,
        figures=_START,
        rows=(11,),
    ),
    Check(
        "07.earlier",
        "with target 2, half of the new pods are requested sooner than with target 5",
        "Record both runs from before the crowd comes.",
        earlier,
        rows=(11,),
    ),
    Check(
        "07.patience",
        "the smallest failureThreshold that a start of this length survives",
        "How often does the probe ask while the server starts? It gives up after that many failures.",
        patience,
        answers=("answer",),
        copying=False,
        figures=_START,
        rows=(11,),
    ),
    Check(
        "07.mended",
        "a startup probe with a margin, but not endless; the server ready, no restart",
        "Compare what the probe allows with what you measured.",
        mended,
        {"deployment": "deployment/llm-inference-service", "pods": "pods"},
        figures=_START,
        settles=True,
        rows=(11,),
    ),
)
