"""Checks of notebook 04: why the autoscaler slept through the outage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labkit.checks.check import Check, Finding, called, dig, matches, number
from labkit.evidence import Series, Timeline, plainly
from labkit.load.results import LoadResult

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
PATIENCE = 10.0  # lab seconds to the first token: beyond it users suffer
BUSY = 90.0  # % of the time in which the GPU has work
FLAT = 15.0  # percentage points between the lowest and the highest CPU utilization

# (replicas, CPU utilization in %, target in %) → what the HPA asks for, 2 to 10; away from the tolerance.
CASES: tuple[tuple[tuple[int, float, float], int], ...] = (
    ((2, 30, 80), 2),
    ((4, 160, 80), 8),
    ((2, 100, 80), 3),
    ((10, 30, 80), 4),
    ((6, 200, 80), 10),
)


def hpa(hpa: Mapping[str, Any] | None) -> Finding:
    """The object is the lesson's placeholder."""
    found = matches(hpa, PLACEHOLDER, name="hpa/llm-hpa")
    extra = len(dig(hpa, "spec.metrics") or []) - 1
    if found.passed and extra > 0:
        return Finding(passed=False, observed=f"{extra} more metrics stand beside the CPU")
    return found


def slept(timeline: Timeline) -> Finding:
    """Users suffered and the GPU was busy, and the HPA asked for no more pods, since the CPU lay flat."""
    desired, gpu, p95 = timeline.one("desired"), timeline.one("gpu"), latency(timeline)
    if not (desired.points and gpu.points and p95.points):
        return Finding(
            passed=False, observed="the recording lacks replicas, GPU or latency", inconclusive=True
        )
    observed = (
        f"p95 TTFT up to {p95.peak() or 0:.0f} s, GPU up to {gpu.peak() or 0:.0f} %, "
        f"desired at most {desired.peak():g}"
    )
    still = desired.peak() == desired.points[0][1]
    outage = (p95.peak() or 0) > PATIENCE and (gpu.peak() or 0) >= BUSY
    hint = "Nobody suffered: did the crowd arrive?" if not outage else ""
    return Finding(passed=still and outage, observed=observed, hint=hint)


def flat(answer: Any, timeline: Timeline) -> Finding:
    """The learner's reading of the CPU: lowest and highest per cent, from the recorded series."""
    seen = [v for _, v in timeline.one("cpu").points]
    if not seen:
        return Finding(passed=False, observed="no CPU was recorded", hint="Is llm-hpa on cpu?")
    said = [number(v) for v in answer] if isinstance(answer, (list, tuple)) else []
    observed = (
        f"you say {plainly(answer)}; the series runs from {min(seen):g} to {max(seen):g} % of the request"
    )
    if len(said) != 2 or said[0] is None or said[1] is None:
        return Finding(passed=False, observed=observed, hint="Two numbers are needed: (lowest, highest).")
    right = abs(said[0] - min(seen)) <= 2 and abs(said[1] - max(seen)) <= 2
    return Finding(passed=right and max(seen) - min(seen) <= FLAT, observed=observed)


def suffered(answer: Any, timeline: Timeline) -> Finding:
    """The first moment at which p95 TTFT was above ten seconds; windows are 30 s wide."""
    said, seen = number(answer), latency(timeline).first(lambda v: v > PATIENCE)
    if seen is None:
        return Finding(passed=False, observed="p95 TTFT never rose above 10 s", inconclusive=True)
    near = said is not None and abs(said - seen) <= 20
    return Finding(
        passed=near, observed=f"you say {plainly(answer)}, the recording says {seen:.0f} lab seconds"
    )


def knew(answer: Any, timeline: Timeline) -> Finding:
    """What the HPA saw at the moment when users began to suffer: per cent of the request."""
    moment = latency(timeline).first(lambda v: v > PATIENCE)
    seen = None if moment is None else timeline.one("cpu").at(moment)
    if seen is None:
        hint = "Is llm-hpa on cpu, and did users suffer at all?"
        return Finding(passed=False, observed="the recording has no such moment", hint=hint)
    said = number(answer)
    near = said is not None and abs(said - seen) <= 3
    return Finding(
        passed=near, observed=f"you say {plainly(answer)}; at {moment:.0f} lab s the HPA saw {seen:g} %"
    )


def latency(timeline: Timeline) -> Series:
    """The 95th percentile of the time to first token; empty where none was recorded."""
    return next((s for s in timeline.of("latency") if s.label == "p95"), Series("latency", "s"))


def desired_by_hand(desired: Any) -> Finding:
    """The learner's own function, tried on cases with known answers."""
    if not callable(desired):
        return Finding(passed=False, observed=f"{desired!r} is not a function")
    for given, wanted in CASES:
        got = called(desired, *given)
        if number(got) != wanted:
            shown = ", ".join(f"{v:g}" for v in given)
            observed = f"desired({shown}) gave {got}, the HPA asks for {wanted}"
            return Finding(passed=False, observed=observed)
    return Finding(passed=True, observed=f"right for {len(CASES)} of {len(CASES)} cases")


def lower_target(answer: Any) -> Finding:
    """Servers that poll show 25 % with nobody there, however many there are: a target of 20 % never ends."""
    said = number(answer)
    hint = "That is the first step only. What is the utilization of each pod after it?" if said == 3 else ""
    return Finding(passed=said == 10, observed=f"you say {plainly(answer)} replicas", hint=hint)


def missing_request(reason: Any, container: Any) -> Finding:
    """Why an HPA on per cent of the request has no number where there is no request."""
    said = (str(reason).strip(), str(container).strip())
    observed = f"reason {reason!r}, container {container!r}"
    if said[0] != "FailedGetResourceMetric":
        hint = (
            "Each condition of the HPA has a type, a status, a reason and a message. The reason is one word."
        )
        return Finding(passed=False, observed=observed, hint=hint)
    return Finding(passed=said[1] == "model-server", observed=observed, hint="Read the message to its end.")


def mended(deployment: Mapping[str, Any] | None, hpa: Mapping[str, Any] | None) -> Finding:
    """The Deployment asks for 4 cores again, and the HPA can read its metric."""
    request = dig(deployment, "spec.template.spec.containers.0.resources.requests.cpu")
    active = {c["type"]: c for c in dig(hpa, "status.conditions") or []}.get("ScalingActive", {})
    observed = (
        f"CPU request {request or 'none'}; ScalingActive {active.get('status')} ({active.get('reason')})"
    )
    return Finding(passed=request == "4" and active.get("status") == "True", observed=observed)


def side_by_side(
    on_cpu: Timeline, on_queue: Timeline, cpu_load: LoadResult, queue_load: LoadResult
) -> Finding:
    """Under the same load the queue brings pods and keeps more promises; the CPU brings none."""
    peaks = [run.one("desired").peak() for run in (on_cpu, on_queue)]
    kept = [load.slo(ttft=PATIENCE).share for load in (cpu_load, queue_load)]
    if peaks[0] is None or peaks[1] is None:
        return Finding(passed=False, observed="one of the recordings has no replicas", inconclusive=True)
    observed = (
        f"CPU: {peaks[0]:g} replicas, {kept[0]:.0%} in time; queue: {peaks[1]:g} replicas, {kept[1]:.0%}"
    )
    good = peaks[1] > peaks[0] and kept[1] > kept[0]
    doubts = [*cpu_load.doubts, *queue_load.doubts]
    if doubts and not good:
        return Finding(passed=False, observed="; ".join([observed, *doubts]), inconclusive=True)
    return Finding(passed=good, observed=observed)


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
        "The series is called latency and labelled p95; first(test) finds a moment.",
        suffered,
        rows=(5,),
    ),
    Check(
        "04.knew",
        "the CPU utilization that the HPA saw at that moment, within 3 points",
        "The series is called cpu; at(time) reads it.",
        knew,
        rows=(5,),
    ),
    Check(
        "04.flat",
        "the lowest and the highest CPU utilization of the whole run: less than 15 points apart",
        "min and max of the values in run.one('cpu').points.",
        flat,
        rows=(5,),
    ),
    Check(
        "04.desired-by-hand",
        "ceil(replicas · utilization / target), never under 2 and never over 10",
        "How many replicas would bring the utilization to the target, if the work spread evenly?",
        desired_by_hand,
        rows=(9,),
    ),
    Check(
        "04.lower-target",
        "how many replicas two idle servers grow to under a target of 20 %",
        "Apply your function again to its own result. Does an idle server's CPU fall when another one joins?",
        lower_target,
        rows=(5, 9),
    ),
    Check(
        "04.missing-request",
        "the reason of ScalingActive=False, and the container that lacks the request",
        "lab.show('hpa/llm-hpa') prints conditions and events.",
        missing_request,
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
        "the same load: under the queue more replicas, and more requests answered in time, than under CPU",
        "Did the second run begin with two idle servers and meet the same crowd?",
        side_by_side,
        rows=(5, 9),
    ),
)
