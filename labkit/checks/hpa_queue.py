"""Checks of notebook 05: how a waiting request becomes a new pod."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from labkit.checks.check import Check, Finding, called, dig, matches, number, numbers
from labkit.evidence import Series, Timeline, plainly
from labkit.load.results import LoadResult

LESSON_HPA = {
    "apiVersion": "autoscaling/v2",
    "spec.scaleTargetRef.kind": "Deployment",
    "spec.scaleTargetRef.name": "llm-inference-service",
    "spec.minReplicas": 2,
    "spec.maxReplicas": 10,
    "spec.metrics.0.type": "Pods",
    "spec.metrics.0.pods.metric.name": "vllm_request_queue_size",
    "spec.metrics.0.pods.target.type": "AverageValue",
    "spec.metrics.0.pods.target.averageValue": "5",
}
TARGET_NAME = "spec.scaleTargetRef.name"
STABILIZATION = 300.0  # lab seconds: the controller's default for scaling in
TARGET = 5.0

# (queue of each pod, replicas that the HPA asks for): away from the tolerance of 10 %, both bounds included.
CASES: tuple[tuple[list[float], int], ...] = (
    ([10, 10], 4),
    ([7, 6], 3),
    ([9, 7], 4),
    ([50, 50], 10),
    ([0, 0], 2),
    ([9, 9, 9, 1, 0, 0], 6),
    ([1, 0, 0, 0], 2),
)


def hpa(hpa: Mapping[str, Any] | None) -> Finding:
    """The object is the lesson's, and nothing else scales on another metric beside it."""
    found = matches(hpa, LESSON_HPA, name="hpa/llm-hpa")
    extra = len(dig(hpa, "spec.metrics") or []) - 1
    if found.passed and extra > 0:
        return Finding(passed=False, observed=f"{extra} more metrics stand beside the queue")
    return found


def scaling_active(hpa: Mapping[str, Any] | None) -> Finding:
    """The controller can read its metric."""
    conditions = {c["type"]: c for c in dig(hpa, "status.conditions") or []}
    active = conditions.get("ScalingActive")
    if active is None:
        return Finding(passed=False, observed="the controller has not looked at llm-hpa yet")
    status, reason = active["status"], active.get("reason", "")
    observed = f"ScalingActive is {status} ({reason}): {active.get('message', '')}"
    return Finding(passed=status == "True", observed=observed)


def hops(hops: Any) -> Finding:
    """The same number at each hop; a queue never stands quite still, so 30 % or 3 requests are the same."""
    if not isinstance(hops, Mapping):
        return Finding(passed=False, observed=f"{hops!r} is no dict from a hop to its number")
    values = numbers(hops.values())
    if values is None:
        silent = [name for name, value in hops.items() if number(value) is None]
        return Finding(passed=False, observed=f"no number from: {', '.join(map(str, silent))}")
    shown = ", ".join(f"{name}: {value:g}" for name, value in zip(hops, values, strict=True))
    if len(values) < 4:
        return Finding(passed=False, observed=f"only {len(values)} hops: {shown}")
    spread = max(values) - min(values)
    same = spread <= max(3.0, 0.3 * max(values)) and max(values) > 0
    hint = "Nothing waits: is the load still running?" if max(values) == 0 else ""
    return Finding(passed=same, observed=shown, hint=hint)


def names(renamed_by: Any, labelled_by: Any) -> Finding:
    """Who gives the lesson's name to vLLM's gauge, and who says which pod a sample is from."""
    said = (str(renamed_by).lower(), str(labelled_by).lower())
    observed = f"renamed by {renamed_by!r}, labelled by {labelled_by!r}"
    if "adapter" not in said[0]:
        return Finding(passed=False, observed=observed, hint="Compare the metric's name in hops 3 and 4.")
    wrong = "prometheus" not in said[1] or "adapter" in said[1]
    return Finding(passed=not wrong, observed=observed, hint="Compare the labels in hops 1 and 2.")


def desired_by_hand(desired: Any) -> Finding:
    """The learner's own function, tried on cases with known answers."""
    if not callable(desired):
        return Finding(passed=False, observed=f"{desired!r} is not a function")
    for queues, wanted in CASES:
        got = called(desired, list(queues))
        if number(got) != wanted:
            return Finding(passed=False, observed=f"desired({queues}) gave {got}, the HPA asks for {wanted}")
    return Finding(passed=True, observed=f"right for {len(CASES)} of {len(CASES)} cases")


def scale_out(timeline: Timeline) -> Finding:
    """From 2 to at least 6, desired first and ready after it."""
    desired, ready = timeline.one("desired"), timeline.one("ready")
    if not desired.points:
        return Finding(passed=False, observed="nothing was recorded", inconclusive=True)
    observed = f"desired {_path(desired)}; ready {_path(ready)}"
    began = desired.points[0][1]
    grown = (desired.peak() or 0) >= 6 and (ready.peak() or 0) >= 6
    hint = f"The recording began at {began:g} replicas, not 2: lab.reset() first." if began != 2 else ""
    return Finding(passed=grown and began == 2, observed=observed, hint=hint)


def steps(answer: Any, timeline: Timeline) -> Finding:
    """The replica counts that the HPA asked for on its way up, as the recording has them."""
    said = numbers(answer)
    seen = _way_up(timeline.one("desired"))
    observed = f"you say {plainly(answer)}, the recording says {[int(v) for v in seen]}"
    return Finding(passed=said == seen, observed=observed)


def delay(answer: Any, timeline: Timeline) -> Finding:
    """Lab seconds from the first event of the recording (the crowd) to "the HPA asked for more"."""
    said, seen = number(answer), reaction(timeline)
    if seen is None:
        observed = "no event was marked, or the HPA never asked for more"
        return Finding(passed=False, observed=observed, inconclusive=True)
    near = said is not None and abs(said - seen) <= 10
    return Finding(
        passed=near, observed=f"you say {plainly(answer)}, the recording says {seen:.0f} lab seconds"
    )


def scale_in(timeline: Timeline) -> Finding:
    """Back to 2, and not before the stabilization window had passed."""
    desired, waited = timeline.one("desired"), quiet_before_scale_in(timeline)
    observed = f"desired {_path(desired)}"
    if waited is None:
        hint = "Was the recording stopped before the HPA came back to 2?"
        return Finding(passed=False, observed=observed, hint=hint)
    observed += f"; first fall {waited:.0f} lab seconds after the queue last asked for the peak"
    back = desired.last() == 2 and (desired.peak() or 0) >= 6
    return Finding(passed=back and waited >= STABILIZATION - 45, observed=observed)


def no_failures(load: LoadResult) -> Finding:
    """Every request was sent and answered. That some left late (a busy machine) takes nothing from it."""
    total, failed = len(load.rows), load.failures()
    kinds = ", ".join(f"{count} {kind}" for kind, count in failed.items())
    observed = f"{total} requests, {sum(failed.values())} failed" + (f" ({kinds})" if kinds else "")
    open_ends = Counter(row.outcome for row in load.rows if not (row.ok or row.failed))
    if not failed and (open_ends or not load.complete):
        cut = "" if load.complete else "; the load did not reach its end"
        told = "".join(f"; {count} {kind.replace('_', ' ')}" for kind, count in open_ends.items())
        return Finding(passed=False, observed=observed + told + cut, inconclusive=True)
    return Finding(passed=total > 0 and not failed, observed=observed)


def behavior(plain: Timeline, behavior: Timeline) -> Finding:
    """The first step of an HPA with `behavior` is larger: 4 pods at once instead of at most 4 in all."""
    paths = [_way_up(run.one("desired")) for run in (plain, behavior)]
    observed = f"without: {_shown(paths[0])}; with: {_shown(paths[1])}"
    if any(len(path) < 2 for path in paths):
        return Finding(passed=False, observed=observed, hint="One of the two runs never scaled out.")
    return Finding(passed=paths[0][0] == paths[1][0] == 2 and paths[1][1] > paths[0][1], observed=observed)


def alone(hpas: Sequence[Mapping[str, Any]] | None) -> Finding:
    """One HPA on the Deployment, and it works: two would both stop."""
    mine = [h for h in hpas or [] if dig(h, "spec.scaleTargetRef.name") == LESSON_HPA[TARGET_NAME]]
    names = ", ".join(str(dig(h, "metadata.name")) for h in mine) or "none"
    if len(mine) != 1:
        return Finding(passed=False, observed=f"HPAs on llm-inference-service: {names}")
    found = scaling_active(mine[0])
    return Finding(passed=found.passed, observed=f"HPAs on llm-inference-service: {names}; {found.observed}")


def keep_alive(kept: Mapping[str, float], fresh: Mapping[str, float]) -> Finding:
    """Requests by pod: with kept connections the new pods get none, with fresh ones they get their share."""
    if not (isinstance(kept, Mapping) and isinstance(fresh, Mapping) and kept and fresh):
        return Finding(passed=False, observed="two dicts from pod to requests are needed")
    served = [sum(1 for v in counts.values() if (number(v) or 0) >= 1) for counts in (kept, fresh)]
    observed = f"{served[0]} of {len(kept)} pods served the kept connections, {served[1]} the fresh ones"
    return Finding(passed=served[0] < served[1], observed=observed)


def reaction(timeline: Timeline) -> float | None:
    """Lab seconds between the first event and the first rise of `desired` after it."""
    if not timeline.events:
        return None
    began = timeline.events[0].at
    before = timeline.one("desired").at(began)
    rose = None if before is None else timeline.one("desired").first(lambda v: v > before, after=began)
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


def _way_up(desired: Series) -> list[float]:
    values = [v for _, v in desired.steps()]
    top = values.index(max(values)) + 1 if values else 0
    return values[:top]


def _path(series: Series) -> str:
    return _shown([v for _, v in series.steps()])


def _shown(values: Sequence[float]) -> str:
    return " → ".join(f"{v:g}" for v in values) or "never seen"


CHECKS: Sequence[Check] = (
    Check(
        "05.hpa",
        "llm-hpa scales llm-inference-service from 2 to 10 on vllm_request_queue_size, AverageValue 5",
        "Compare your file with the lesson's object, field by field: lab.show('hpa/llm-hpa').",
        hpa,
        {"hpa": "hpa/llm-hpa"},
        rows=(6, 9),
    ),
    Check(
        "05.scaling-active",
        "the HPA reads its metric: ScalingActive is True (ValidMetricFound)",
        "Walk the hops backwards from the HPA: which one is the first that doesn't know the number?",
        scaling_active,
        {"hpa": "hpa/llm-hpa"},
        settles=True,
        rows=(6, 9),
    ),
    Check(
        "05.hops",
        "the same number of waiting requests at each hop",
        "Sum over the pods at each hop, and read them one right after the other.",
        hops,
        rows=(5, 6),
    ),
    Check(
        "05.names",
        "one hop renames vLLM's gauge, another one adds the labels `namespace` and `pod`",
        "Look at the output of each hop again: where does the name change, where do the labels appear?",
        names,
        rows=(6,),
    ),
    Check(
        "05.desired-by-hand",
        "ceil(sum of the queues / target), never under 2 and never over 10",
        "math.ceil(sum(queues) / 5) first, then min and max.",
        desired_by_hand,
        rows=(6,),
    ),
    Check(
        "05.scale-out",
        "desired goes from 2 to at least 6, and the pods become ready",
        "Is ScalingActive True, and does the queue per pod rise over 5? lab.show('hpa/llm-hpa').",
        scale_out,
        rows=(10,),
    ),
    Check(
        "05.steps",
        "the replica counts that the HPA asked for on its way up, the first one included",
        "Read the red line of the plot from left to right: [2, …, 10].",
        steps,
        rows=(10,),
    ),
    Check(
        "05.delay",
        "lab seconds from the crowd's arrival (the first event) to the first step of desired, within 10",
        "run.events[0].at is the one moment, run.one('desired').steps() holds the other.",
        delay,
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
        "not one request failed while pods came and went",
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
        "05.mended",
        "llm-hpa reads its metric again: ScalingActive is True",
        "Ask hop 5 for the list of names: lab.raw('/apis/custom.metrics.k8s.io/v1beta2').",
        scaling_active,
        {"hpa": "hpa/llm-hpa"},
        settles=True,
        rows=(6,),
    ),
    Check(
        "05.alone",
        "exactly one HPA scales llm-inference-service, and it is active",
        "lab.show('hpa') lists them; the conditions of each say with whom it shares its pods.",
        alone,
        {"hpas": "hpa"},
        settles=True,
        rows=(6, 9),
    ),
    Check(
        "05.keep-alive",
        "fewer pods serve clients that keep their connections than clients that open new ones",
        "kube-proxy chooses a pod for each new connection, not for each request.",
        keep_alive,
        rows=(10,),
    ),
)
