"""Checks of notebook 04: why the autoscaler slept through the outage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from labkit.checks.check import Check, Finding, matches, nothing_yet, number
from labkit.checks.tried import Case, Tried
from labkit.evidence import Series, Timeline, plainly
from labkit.evidence.blank import RECORD_AGAIN
from labkit.load.results import LoadResult
from localcluster.api.objects import dig

PLACEHOLDER = {
    "apiVersion": "autoscaling/v2",
    "spec.scaleTargetRef.name": "llm-inference-service",
    "spec.minReplicas": 2,
    "spec.maxReplicas": 10,
    "spec.metrics.0.type": "Resource",
    "spec.metrics.0.resource.name": "cpu",
    "spec.metrics.0.resource.target.type": "Utilization",
    "spec.metrics.0.resource.target.averageUtilization": 80,
}
PATIENCE = 10.0  # lab seconds to the first token, beyond which users suffer
BUSY = 90.0  # % of the time in which the GPU is working
FLAT = 15.0  # percentage points between the lowest and the highest CPU utilization

# (replicas, CPU utilization in %, target in %) → what the HPA asks for, 2 to 10; outside the tolerance.
CASES: tuple[Case, ...] = (
    ((2, 30, 80), 2),
    ((4, 160, 80), 8),
    ((2, 100, 80), 3),
    ((10, 30, 80), 4),
    ((6, 200, 80), 10),
)


def hpa(hpa: Mapping[str, Any] | None) -> Finding:
    """The object is the lesson's placeholder."""
    found = replace(matches(hpa, PLACEHOLDER, name="hpa/llm-hpa"), hint=_hpa(hpa))
    extra = len(dig(hpa, "spec.metrics") or []) - 1
    if found.passed and extra > 0:
        hint = "With several metrics, the HPA takes the largest result. The placeholder has only one metric."
        return Finding(passed=False, observed=f"there are {extra} more metrics beside the CPU", hint=hint)
    return found


def _hpa(hpa: Mapping[str, Any] | None) -> str:
    metric = dig(hpa, "spec.metrics.0") or {}
    if dig(metric, "type") != "Resource":
        return "The placeholder looks at a resource of the pods themselves. Which `type` of metric is that?"
    if dig(metric, "resource.target.type") != "Utilization":
        return "Eighty per cent of the request is a utilization, not a value."
    if dig(metric, "resource.target.averageUtilization") != 80:
        return "The lesson's target is 80 per cent."
    return ""


def slept(timeline: Timeline) -> Finding:
    """Users suffered and the GPU was busy, yet the HPA asked for no more pods: the CPU stayed flat."""
    desired, gpu, p95 = timeline.one("desired"), timeline.one("gpu"), latency(timeline)
    if not (desired.points and gpu.points and p95.points):
        return nothing_yet("the recording lacks replicas, GPU or latency", RECORD_AGAIN)
    observed = (
        f"p95 TTFT up to {p95.peak() or 0:.0f} s, GPU up to {gpu.peak() or 0:.0f} %, "
        f"desired at most {desired.peak():g}"
    )
    still = len({replicas for _, replicas in desired.points}) == 1
    outage = (p95.peak() or 0) > PATIENCE and (gpu.peak() or 0) >= BUSY
    if not outage:
        hint = "No user suffered: the crowd did not come. Run again from the cell with lab.record()."
        return nothing_yet(observed, hint)
    hint = "This HPA did ask for more pods: does your file scale on CPU? Then run again from lab.record()."
    return Finding(passed=still, observed=observed, hint=hint)


def flat(answer: Any, timeline: Timeline) -> Finding:
    """The learner's reading of the CPU: lowest and highest percentage in the recorded series."""
    seen = [v for _, v in timeline.one("cpu").points]
    if not seen:
        hint = "Does llm-hpa scale on cpu? Fix your file, apply it, and run again from lab.record()."
        return Finding(passed=False, observed="no CPU utilization was recorded", hint=hint)
    said = [number(v) for v in answer] if isinstance(answer, (list, tuple)) else []
    observed = f"you say {plainly(answer)}"
    if len(said) != 2 or said[0] is None or said[1] is None:
        return Finding(passed=False, observed=observed, hint="Answer with two numbers: (lowest, highest).")
    right = abs(said[0] - min(seen)) <= 2 and abs(said[1] - max(seen)) <= 2
    hint = ""
    if (said[0], said[1]) == (0, 100) or said[1] > 2 * max(seen):
        hint = "That is the other series, the GPU's. Which one does the HPA look at?"
    elif said[0] > said[1]:
        hint = "The lowest comes first."
    elif max(said[0], said[1]) <= 1:
        hint = "Answer in per cent of the request, as in the series: a quarter is 25."
    elif right:
        hint = "That is what was recorded, but it is not flat: was anything else running in these pods?"
    return Finding(passed=right and max(seen) - min(seen) <= FLAT, observed=observed, hint=hint)


def suffered(answer: Any, timeline: Timeline) -> Finding:
    """The first moment at which p95 TTFT was above ten seconds; windows are 30 s wide."""
    said, seen = number(answer), latency(timeline).first(lambda v: v > PATIENCE)
    if seen is None:
        return nothing_yet("p95 TTFT never rose above 10 s", RECORD_AGAIN)
    near = said is not None and abs(said - seen) <= 20
    observed = f"you say {plainly(answer)} lab seconds"
    return Finding(passed=near, observed=observed, hint=_suffered(said, seen, latency(timeline)))


def _suffered(said: float | None, seen: float, p95: Series) -> str:
    """The likely mistake: the worst moment, the value, real seconds, or a time before anyone suffered."""
    if said is None:
        return "Answer with a moment: a number of lab seconds. first(test) gives one."
    if any(abs(said - value) < 0.1 and value > PATIENCE for _, value in p95.points):
        return "That is how long they waited. When did it begin?"
    if said > seen:
        return "Users already waited before that. Find the first moment, not the worst."
    return "No user had waited that long by then. From which moment on is p95 above 10?"


def knew(answer: Any, timeline: Timeline) -> Finding:
    """What the HPA saw when users began to suffer, in % of the request."""
    moment = latency(timeline).first(lambda v: v > PATIENCE)
    seen = None if moment is None else timeline.one("cpu").at(moment)
    if seen is None:
        hint = "Does llm-hpa scale on cpu? Fix your file, apply it, and run again from lab.record()."
        if moment is None:
            return nothing_yet("p95 TTFT never rose above 10 s", RECORD_AGAIN)
        return Finding(passed=False, observed="the recording has no CPU at that moment", hint=hint)
    said = number(answer)
    near = said is not None and abs(said - seen) <= 3
    hint = "" if said is not None else "Answer with a number, in per cent of the request."
    if said is not None and abs(said - seen / 100) <= 0.03:
        hint = "Answer in per cent, as the HPA has it."
    elif said == 80:
        hint = "That is the target. What did the HPA see?"
    elif said is not None and abs(said - (latency(timeline).at(moment or 0) or 0)) <= 1:
        hint = "That is the users' wait. What did the HPA look at?"
    return Finding(passed=near, observed=f"you say {plainly(answer)} %", hint=hint)


def latency(timeline: Timeline) -> Series:
    """The 95th percentile of the time to first token; empty if none was recorded."""
    return next((s for s in timeline.of("latency") if s.label == "p95"), Series("latency", "s"))


def desired_by_hand(desired: Any) -> Finding:
    """The learner's own function, tried on cases with known answers."""
    if not isinstance(desired, Tried):
        hint = "Pass the function itself, without calling it: `desired`."
        return Finding(passed=False, observed=f"{desired!r} is not a function", hint=hint)
    for call in desired.calls:
        if number(call.got) != call.wanted:
            shown = ", ".join(f"{v:g}" for v in call.given)
            observed = f"desired({shown}) gave {call.got}, the HPA asks for {call.wanted}"
            return Finding(
                passed=False, observed=observed, hint=_arithmetic(call.got, call.given, call.wanted)
            )
    return Finding(passed=True, observed=desired.cases)


def _arithmetic(got: Any, given: tuple[Any, ...], wanted: int) -> str:
    """The likely mistake behind a wrong result."""
    said, exact = number(got), given[0] * given[1] / given[2]
    if got is ...:
        return "The function still has `...` where the number belongs."
    if said is None:
        return "It has to return a number. Python's message is above: fix that first."
    if said == math.ceil(exact) and wanted in {2, 10}:
        return "The rule has a second line: there are bounds."
    if said == math.ceil(given[1] / given[2]) or abs(said - max(2.0, given[1] / given[2])) < 0.01:
        return "That is only the ratio. How many replicas are there now?"
    if said < exact and said >= math.floor(exact):
        return "The HPA never rounds down: too few pods would be above the target again."
    return "Put the figures into the rule by hand, and compare."


def lower_target(answer: Any) -> Finding:
    """Idle servers poll at 25 % CPU, however many there are, so a target of 20 % never stops scaling."""
    said = number(answer)
    hint = "" if said is not None else "Answer with a number of replicas."
    if said == 3:
        hint = "That is only the first step. What is the utilization of each pod after it?"
    elif said == 2:
        hint = "25 is more than 20, and outside the tolerance: the HPA acts, although there are no users."
    elif said is not None and said > 10:
        hint = "The rule has a second line: there are bounds."
    return Finding(passed=said == 10, observed=f"you say {plainly(answer)} replicas", hint=hint)


def missing_request(reason: Any, container: Any) -> Finding:
    """Why an HPA on a percentage of the request has no value if there is no request."""
    said = (str(reason).strip(), str(container).strip())
    observed = f"reason {reason!r}, container {container!r}"
    if said[0] != "FailedGetResourceMetric":
        hint = (
            "Each condition of the HPA has a type, a status, a reason and a message. The reason is one word."
        )
        if said[0] in {"AbleToScale", "ScalingActive", "ScalingLimited"}:
            hint = "That is the condition's type. Its reason is in the column after its status."
        elif said[0].lower() == "failedgetresourcemetric":
            hint = "Copy it exactly, with its capitals: programs compare reasons letter by letter."
        return Finding(passed=False, observed=observed, hint=hint)
    hint = "Read the message to the end: it names a container, then a pod."
    if said[1].startswith("llm-inference-service"):
        hint = "That is a pod, or its Deployment. Which of its containers lacks the request?"
    return Finding(passed=said[1] == "model-server", observed=observed, hint=hint)


def mended(deployment: Mapping[str, Any] | None, hpa: Mapping[str, Any] | None) -> Finding:
    """The Deployment requests 4 cores again, and the HPA can read its metric."""
    request = dig(deployment, "spec.template.spec.containers.0.resources.requests.cpu")
    active = {c["type"]: c for c in dig(hpa, "status.conditions") or []}.get("ScalingActive", {})
    observed = (
        f"CPU request {request or 'none'}; ScalingActive {active.get('status')} ({active.get('reason')})"
    )
    hint = "The request is there. The HPA and new pods need up to two lab minutes: run this cell again."
    if request is None:
        hint = "The pods have no CPU request: per cent of what? Apply the folder that you applied before."
    elif request != "4":
        hint = (
            "That is not the earlier figure. The earlier Deployment is in a folder of manifests/04-hpa-cpu."
        )
    return Finding(passed=request == "4" and active.get("status") == "True", observed=observed, hint=hint)


def side_by_side(
    on_cpu: Timeline, on_queue: Timeline, cpu_load: LoadResult, queue_load: LoadResult
) -> Finding:
    """Under the same load, the queue brings pods and keeps more promises; the CPU brings none."""
    peaks = [run.one("desired").peak() for run in (on_cpu, on_queue)]
    kept = [load.slo(ttft=PATIENCE).share for load in (cpu_load, queue_load)]
    if peaks[0] is None or peaks[1] is None:
        return nothing_yet("one of the recordings has no replicas", RECORD_AGAIN)
    if on_cpu is on_queue or not (_fits(on_cpu, cpu_load) and _fits(on_queue, queue_load)):
        hint = "Each recording goes with its own load: do both runs again, each to the end."
        return nothing_yet("a recording and a load are from two different runs", hint)
    observed = (
        f"CPU: {peaks[0]:g} replicas, {kept[0]:.0%} in time; queue: {peaks[1]:g} replicas, {kept[1]:.0%}"
    )
    good = peaks[1] > peaks[0] and kept[1] > kept[0]
    doubts = [*cpu_load.doubts, *queue_load.doubts, *_late(on_queue, queue_load)]
    if doubts and not good:
        return Finding(passed=False, observed="; ".join([observed, *doubts]), inconclusive=True)
    return Finding(passed=good, observed=observed)


def _late(run: Timeline, load: LoadResult) -> list[str]:
    """A doubt if pods were asked for but none was ready before the last request: a starved machine."""
    ready, asked = run.one("ready"), run.one("desired")
    if not ready.points or not load.rows or (asked.peak() or 0) <= ready.points[0][1]:
        return []
    risen = ready.first(lambda replicas: replicas > ready.points[0][1])
    in_time = risen is not None and risen <= max(row.due for row in load.rows)
    return [] if in_time else ["the new pods became ready only after the last request: a busy machine?"]


def _fits(run: Timeline, load: LoadResult) -> bool:
    """Whether a load ran during the recording; True if one of the moments is not known."""
    if not (run.began and load.started):
        return True
    start = (load.started - run.began) * run.clock
    return -PATIENCE <= start <= run.end()


CHECKS: Sequence[Check] = (
    Check(
        "04.hpa",
        "llm-hpa scales llm-inference-service from 2 to 10 on cpu, Utilization 80 %",
        "Compare your file with the lesson's placeholder: which resource does it name?",
        hpa,
        {"hpa": "hpa/llm-hpa"},
        rows=(9,),
    ),
    Check(
        "04.slept",
        "users wait more than 10 s, the GPU is busy, and desired stays where it was",
        "Did the crowd come while the recording ran?",
        slept,
        rows=(5,),
    ),
    Check(
        "04.suffered",
        "the first moment at which p95 TTFT is above 10 s, within 20 lab seconds",
        "The series is called latency and has the label p95; first(test) finds a moment.",
        suffered,
        answers=("answer",),
        copying=True,
        rows=(5,),
    ),
    Check(
        "04.knew",
        "the CPU utilization that the HPA saw at that moment, within 3 points",
        "The series is called cpu; at(time) reads it.",
        knew,
        answers=("answer",),
        copying=True,
        rows=(5,),
    ),
    Check(
        "04.flat",
        "the lowest and the highest CPU utilization of the whole run: less than 15 points apart",
        "Take min and max of the values in on_cpu.one('cpu').points.",
        flat,
        answers=("answer",),
        copying=True,
        rows=(5,),
    ),
    Check(
        "04.desired-by-hand",
        "ceil(replicas · utilization / target), never below 2 and never above 10",
        "How many replicas would bring the utilization to the target, if the work spread evenly?",
        desired_by_hand,
        answers=("desired",),
        copying=False,
        cases={"desired": CASES},
        rows=(9,),
    ),
    Check(
        "04.lower-target",
        "how many replicas two idle servers grow to with a target of 20 %",
        "Apply your function again to its own result. Does an idle server's CPU fall when another one joins?",
        lower_target,
        answers=("answer",),
        copying=False,
        rows=(5, 9),
    ),
    Check(
        "04.missing-request",
        "the reason of ScalingActive=False, and the container that lacks the request",
        "lab.show('hpa/llm-hpa') prints conditions and events.",
        missing_request,
        answers=("reason", "container"),
        copying=True,
        rows=(9,),
    ),
    Check(
        "04.mended",
        "the model server asks for 4 CPUs, and ScalingActive is True",
        "Which file holds the Deployment as it was before?",
        mended,
        {"deployment": "deployment/llm-inference-service", "hpa": "hpa/llm-hpa"},
        settles=True,
        rows=(9,),
    ),
    Check(
        "04.side-by-side",
        "the same load: more replicas and more requests answered in time with the queue than with CPU",
        "Did the second run begin with two idle servers and meet the same crowd?",
        side_by_side,
        rows=(5, 9),
    ),
)
