"""Checks of notebook 05 on recorded runs: scaling out and in again, on the queue.

Pure. Refuses to judge a run without waiting requests, or one that was stopped too early to show anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from labkit.checks.check import Check, Finding, first_that_holds, nothing_yet, number, numbers
from labkit.evidence import Series, Timeline, plainly
from labkit.load.results import LoadResult

STABILIZATION = 300.0  # lab seconds: the controller's default for scaling in
LATE = 90.0  # lab seconds: a scrape and some syncs, which take longer on a busy machine
TARGET = 5.0
FEWEST = 2  # replicas at the start of both runs
ENOUGH = 20  # requests that each kind of client must send before its counts by pod mean anything
NEAR = 10.0  # lab seconds: two looks of the recorder and a step of the queue
RUN_AGAIN = "Run again from the cell with `seen = lab.record()`, and let the load and lab.watch(…) finish."


def unseen(timeline: Timeline) -> Finding | None:
    """Why there is nothing to judge: no replicas recorded, or no request ever waited."""
    if not timeline.one("desired").points:
        return nothing_yet("no replicas were recorded", RUN_AGAIN)
    if not timeline.total("queue").peak():
        return nothing_yet("in this recording no request ever waited", f"Did the load run? {RUN_AGAIN}")
    return None


def scale_out(timeline: Timeline) -> Finding:
    """From 2 to at least 6 replicas, first desired, then ready."""
    if nothing := unseen(timeline):
        return nothing
    desired, ready = timeline.one("desired"), timeline.one("ready")
    observed = f"desired {path(desired)}; ready {path(ready)}"
    began = desired.points[0][1]
    asked, grown = (desired.peak() or 0) >= 6, (ready.peak() or 0) >= 6
    hint = ""
    if began != 2:
        hint = (
            f"The recording began at {began:g} replicas, not at 2. {RUN_AGAIN} Wait for 2 ready pods first."
        )
    elif not asked:
        hint = (
            "Does llm-hpa read the queue (05.scaling-active), with the lesson's "
            "maxReplicas and target (05.hpa)?"
        )
    elif not grown:
        hint = (
            "The pods were requested but did not become ready: see lab.show('pods'), and "
            "`kubectl events --for=pod/NAME` for one of them."
        )
    return Finding(passed=not hint, observed=observed, hint=hint)


def steps(answer: Any, timeline: Timeline) -> Finding:
    """The replica counts that the HPA asked for on its way up, as recorded."""
    seen = way_up(timeline.one("desired"))
    if len(seen) < 2:
        return nothing_yet("in this recording desired never rose", RUN_AGAIN)
    said = numbers(answer)
    passed = said == seen
    hint = "" if passed else _step_hint(said, seen, timeline)
    return Finding(passed=passed, observed=f"you say {plainly(answer)}", hint=hint)


READ_STEPS = "Read the line `desired` of the plot from left to right, or run.one('desired').steps()."


def _step_hint(said: list[float] | None, seen: list[float], timeline: Timeline) -> str:
    if said is None:
        return "Answer with a list of numbers, such as [2, 3]: only the values, without the moments."
    readied = way_up(timeline.one("ready"))
    return first_that_holds(
        (said == seen[1:], "The first one is missing: the number that the HPA started from."),
        (said[: len(seen)] == seen, "You included the way down. Stop at the highest."),
        (said in (readied, readied[1:]), "These are the pods that were *ready*. What did the HPA ask for?"),
        (
            said in ([seen[-1]], [seen[0], seen[-1]]),
            "It did not get there in one step. Where did it stop on the way?",
        ),
        (len(set(said)) < len(said), "A step is where the number changes: name each number once."),
        (len(said) != len(seen), f"You name {len(said)}, but the way up has {len(seen)}. {READ_STEPS}"),
    )


def delay(answer: Any, timeline: Timeline) -> Finding:
    """Lab seconds from the first event of the recording (the crowd) to "the HPA asked for more"."""
    seen = reaction(timeline)
    if seen is None:
        return nothing_yet("no event was marked, or the HPA never asked for more", RUN_AGAIN)
    said = number(answer)
    near = said is not None and abs(said - seen) <= NEAR
    hint = "" if near else _delay_hint(said, seen, timeline)
    return Finding(passed=near, observed=f"you say {plainly(answer)} lab seconds", hint=hint)


def _delay_hint(said: float | None, seen: float, timeline: Timeline) -> str:
    if said is None:
        return "Answer with one number, in lab seconds."
    began, clock = timeline.events[0].at, timeline.clock
    helped = _rise(timeline.one("ready"), began)
    return first_that_holds(
        (
            abs(said + seen) <= NEAR,
            "The right moments, in the wrong order: take the later one minus the earlier one.",
        ),
        (
            abs(said - began - seen) <= NEAR,
            "That is the moment of the step on the time axis. The crowd did not come at zero.",
        ),
        (
            abs(said - began) <= NEAR,
            ("That is the moment when the crowd came. How long after that did desired move?"),
        ),
        (
            helped is not None and abs(said - helped) <= NEAR,
            "That is when a pod was *ready*. When did the HPA *ask* for it?",
        ),
        (
            abs(said - seen / clock) <= NEAR / clock,
            "That is in real seconds. The recording counts lab seconds.",
        ),
        (
            abs(said - STABILIZATION) <= NEAR,
            "That is the wait before it scales *in*. How long did it take to scale *out*?",
        ),
    )


def scale_in(timeline: Timeline) -> Finding:
    """Back to 2, but not before the stabilization window had passed."""
    if nothing := unseen(timeline):
        return nothing
    desired, queue = timeline.one("desired"), timeline.total("queue")
    observed = f"desired {path(desired)}"
    if (desired.peak() or 0) < 6:
        return nothing_yet(f"{observed}: it never scaled out, so it can't scale in", RUN_AGAIN)
    waited, quiet = quiet_before_scale_in(timeline), _quiet_at_last(queue, timeline.end())
    if desired.last() != 2 and quiet < STABILIZATION + 120:
        return nothing_yet(
            f"{observed}, and the recording ends {quiet:.0f} lab seconds after the queue was empty", RUN_AGAIN
        )
    if waited is None:
        hint = "The queue was long empty, but desired never dropped: does a behavior.scaleDown keep it up?"
        return Finding(passed=False, observed=observed, hint=hint)
    observed += f"; first drop {waited:.0f} lab seconds after the queue last called for the peak"
    hint = ""
    if waited < STABILIZATION - LATE:
        hint = "It dropped too early: what does `behavior` say in this HPA? The lesson's has none."
    elif desired.last() != 2:
        hint = "It dropped, but not to 2: compare its minReplicas with the lesson's."
    return Finding(passed=not hint, observed=observed, hint=hint)


def no_failures(load: LoadResult) -> Finding:
    """Every request was sent and answered; that some were sent late (a busy machine) does not matter."""
    total, failed = len(load.rows), load.failures()
    again = "Run the load again, and let it finish: lab.watch(…, until=users), then users.result()."
    if not total:
        return nothing_yet("no request was sent", again)
    kinds = ", ".join(f"{count} {kind}" for kind, count in failed.items())
    observed = f"{total} requests, {sum(failed.values())} failed" + (f" ({kinds})" if kinds else "")
    open_ends = Counter(row.outcome for row in load.rows if not (row.ok or row.failed))
    if not failed and (open_ends or not load.complete):
        cut = "" if load.complete else "; the load did not finish"
        told = "".join(f"; {count} {kind.replace('_', ' ')}" for kind, count in open_ends.items())
        return nothing_yet(observed + told + cut, again)
    return Finding(passed=not failed, observed=observed)


def behavior(plain: Timeline, behavior: Timeline) -> Finding:
    """The first step of an HPA with `behavior` is larger: 4 pods at once instead of at most 4 in all."""
    paths = [way_up(run.one("desired")) for run in (plain, behavior)]
    observed = f"without: {_shown(paths[0])}; with: {_shown(paths[1])}"
    for name, way in zip(("without", "with"), paths, strict=True):
        if len(way) < 2:
            again = (
                f"Run the cell that records the run {name} `behavior` again, until the HPA has "
                "asked for more."
            )
            return nothing_yet(f"{observed}; the run {name} never scaled out", again)
    hint = ""
    if not paths[0][0] == paths[1][0] == 2:
        hint = "Both runs must begin at 2 replicas: wait for 2 ready pods before you record."
    elif paths[1][1] <= paths[0][1]:
        if asked := _asked_no_more(behavior):
            return nothing_yet(
                f"{observed}; at the first step {asked:g} waited per pod, which calls for no more",
                "The HPA synced while the crowd was still arriving. Wait for 2 ready pods, then run the cell "
                "that records the run with `behavior` again.",
            )
        hint = (
            "The step is not larger: was hpa-behavior.yaml applied before the second run, and "
            "was the first run without `behavior`?"
        )
    return Finding(passed=not hint, observed=observed, hint=hint)


def _asked_no_more(run: Timeline) -> float:
    """The queue average at a run's first step, if it called for no more than that step; else 0."""
    at, step = run.one("desired").steps()[1]
    seen = run.one("queue average")
    near = [seen.at(at) or 0.0, *(value for moment, value in seen.points if at <= moment <= at + NEAR)]
    return max(near) if 0 < max(near) * FEWEST / TARGET <= step else 0.0


def keep_alive(kept: Mapping[str, float], fresh: Mapping[str, float]) -> Finding:
    """Requests by pod: with kept connections new pods get none, with new ones they get their share."""
    again = "Run the cell that calls served(…) twice again: each time 24 users, two pods, then four."
    if not (isinstance(kept, Mapping) and isinstance(fresh, Mapping)):
        return nothing_yet("two dicts from pod to requests are needed", again)
    sums = [sum(number(v) or 0 for v in counts.values()) for counts in (kept, fresh)]
    if min(sums) < ENOUGH:
        return nothing_yet(f"{sums[0]:g} requests on kept connections, {sums[1]:g} on fresh ones", again)
    served = [sum(1 for v in counts.values() if (number(v) or 0) >= 1) for counts in (kept, fresh)]
    observed = f"{served[0]} of {len(kept)} pods served the kept connections, {served[1]} the fresh ones"
    swapped = served[0] > served[1]
    hint = "Did you swap the two? kept=served(keepalive=True)." if swapped else ""
    return Finding(passed=served[0] < served[1], observed=observed, hint=hint)


def reaction(timeline: Timeline) -> float | None:
    """Lab seconds between the first event and the first rise of `desired` after it."""
    return _rise(timeline.one("desired"), timeline.events[0].at) if timeline.events else None


def _rise(series: Series, began: float) -> float | None:
    """Lab seconds from a moment to the first rise after it."""
    before = series.at(began)
    rose = None if before is None else series.first(lambda v: v > before, after=began)
    return None if rose is None else rose - began


def quiet_before_scale_in(timeline: Timeline, *, target: float = TARGET) -> float | None:
    """Lab seconds from the last moment at which the queue asked for the peak to the first fall."""
    desired, queue = timeline.one("desired"), timeline.total("queue")
    peak = desired.peak() or 0.0
    reached = desired.first(lambda v: v == peak) or 0.0
    fell = desired.first(lambda v: v < peak, after=reached)
    if fell is None:
        return None
    ends = [later for (t, v), (later, _) in pairwise(queue.points) if t <= fell and v > target * (peak - 1)]
    return fell - min(ends[-1] if ends else reached, fell)


def _quiet_at_last(queue: Series, end: float) -> float:
    """Lab seconds without a waiting request at the end of the recording."""
    busy = [later for (_, v), (later, _) in pairwise([*queue.points, (end, 0.0)]) if v > 0]
    return end - (busy[-1] if busy else 0.0)


def way_up(desired: Series) -> list[float]:
    """The values of a series up to its highest one."""
    values = _values(desired)
    top = values.index(max(values)) + 1 if values else 0
    return values[:top]


def path(series: Series) -> str:
    """The values that a series went through."""
    return _shown(_values(series))


def _values(series: Series) -> list[float]:
    return [v for _, v in series.steps()]


def _shown(values: Sequence[float]) -> str:
    return " → ".join(f"{v:g}" for v in values) or "never seen"


CHECKS: Sequence[Check] = (
    Check(
        "05.scale-out",
        "desired goes from 2 to at least 6, and the pods become ready",
        "Is ScalingActive True, and does the queue per pod rise above 5? See lab.show('hpa/llm-hpa').",
        scale_out,
        rows=(10,),
    ),
    Check(
        "05.steps",
        "the replica counts that the HPA asked for on its way up, including the first one",
        READ_STEPS,
        steps,
        answers=("answer",),
        copying=True,
        rows=(10,),
    ),
    Check(
        "05.delay",
        "lab seconds from the crowd's arrival (the first event) to the first step of desired, within 10",
        "run.events[0].at is one moment, run.one('desired').steps() holds the other.",
        delay,
        answers=("answer",),
        copying=True,
        rows=(10,),
    ),
    Check(
        "05.scale-in",
        "back to 2 replicas, not before 300 lab seconds of quiet",
        "The HPA takes the highest recommendation of the last 300 s: wait longer, or look for late requests.",
        scale_in,
        rows=(10,),
    ),
    Check(
        "05.no-failures",
        "no request failed while pods came and went",
        "Which kind? `refused` and `reset` mean traffic before a pod was ready, or too long after.",
        no_failures,
        rows=(1, 10),
    ),
    Check(
        "05.behavior",
        "from 2 replicas, the first step is larger with `behavior` than without",
        "Both runs must begin at 2 replicas and meet the same burst.",
        behavior,
        rows=(6,),
    ),
    Check(
        "05.keep-alive",
        "fewer pods serve clients that keep their connections than clients that open new ones",
        "kube-proxy chooses a pod for each new connection, not for each request.",
        keep_alive,
        rows=(10,),
    ),
)
