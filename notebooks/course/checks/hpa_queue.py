"""Checks of notebook 05 on the autoscaler itself: its object, its hops, its arithmetic.

Pure. What a recorded run shows is judged in `hpa_queue_burst`, broken clusters in `hpa_queue_faults`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from labkit.checks.check import Check, Finding, differences, nothing_yet, number, numbers
from labkit.checks.tried import Case, Tried
from labkit.checks.words import one_of
from localcluster.api import JsonLike
from localcluster.api.objects import dig

NAME, DEPLOYMENT = "llm-hpa", "llm-inference-service"
LESSON_HPA = {
    "apiVersion": "autoscaling/v2",
    "spec.scaleTargetRef.kind": "Deployment",
    "spec.scaleTargetRef.name": DEPLOYMENT,
    "spec.minReplicas": 2,
    "spec.maxReplicas": 10,
    "spec.metrics.0.type": "Pods",
    "spec.metrics.0.pods.metric.name": "vllm_request_queue_size",
    "spec.metrics.0.pods.target.type": "AverageValue",
    "spec.metrics.0.pods.target.averageValue": "5",
}
TARGET_NAME = "spec.scaleTargetRef.name"
AGAIN = "Run the cell of hop 6 again, and continue from there."
HINTS = {
    "spec.scaleTargetRef.kind": (
        "An HPA scales what scaleTargetRef names. What kind of object are the servers? Case matters."
    ),
    TARGET_NAME: (
        "scaleTargetRef must name the Deployment letter by letter: lab.show('deployments') lists them."
    ),
    "spec.minReplicas": "Look at minReplicas and maxReplicas: the lesson's bounds are under `expected`.",
    "spec.maxReplicas": "Look at minReplicas and maxReplicas: the lesson's bounds are under `expected`.",
    "spec.metrics.0.type": (
        "What does the queue belong to? Each pod has its own, and Kubernetes knows it as a "
        "custom metric; `Resource` is CPU or memory, and autoscaling/v1 knows nothing "
        "else."
    ),
    "spec.metrics.0.pods.metric.name": (
        "Compare the metric's name letter by letter with the list of hop 5. vLLM's own "
        "name is used only up to hop 3."
    ),
    "spec.metrics.0.pods.target.type": "The target applies to each pod: it is an average.",
    "spec.metrics.0.pods.target.averageValue": (
        "How many waiting requests does the lesson want for each pod? Check the unit, "
        "too: 5m is five thousandths."
    ),
}

PARTS = {
    "server": ("server", "vllm"),
    "Prometheus": ("prometheus",),
    "adapter": ("adapter", "prometheus-adapter"),
    "HPA": ("hpa",),
}
"""The parts on the metric's way, and the words for them."""

# (queue of each pod), replicas that the HPA asks for: outside the tolerance of 10 %, both bounds included.
CASES: tuple[Case, ...] = (
    (([10, 10],), 4),
    (([7, 6],), 3),
    (([9, 7],), 4),
    (([50, 50],), 10),
    (([0, 0],), 2),
    (([9, 9, 9, 1, 0, 0],), 6),
    (([1, 0, 0, 0],), 2),
)

Queues = list[float]


def _held(wanted: float) -> float:
    return max(2, min(10, wanted))


MISTAKES: tuple[tuple[Callable[[Queues], float], str], ...] = (
    (lambda q: math.ceil(sum(q) / 5), "It has no bounds yet: what do minReplicas and maxReplicas allow?"),
    (lambda q: max(2, math.ceil(sum(q) / 5)), "One of the two bounds is missing."),
    (lambda q: min(10, math.ceil(sum(q) / 5)), "One of the two bounds is missing."),
    (lambda q: _held(sum(q) // 5), "It rounds down. What serves the requests that are left over?"),
    (lambda q: _held(round(sum(q) / 5)), "It rounds to the nearest. Can 2 pods do the work of 2.4?"),
    (lambda q: _held(sum(q) / 5), "The HPA can't start part of a pod: which way does it round?"),
    (lambda q: _held(math.ceil(max(q) / 5)), "It uses only the longest queue. All pods share the work."),
    (lambda q: _held(math.ceil(sum(q) / len(q) / 5)), "That is one pod's average. How many do all need?"),
    (lambda q: _held(math.ceil(sum(q) / len(q))), "That is the average queue. Where is the target?"),
)  # fmt: skip


def hpa(hpa: JsonLike | None) -> Finding:
    """The object is the lesson's, and has no other metric to scale on."""
    if not hpa:
        hint = (
            f"No HPA called {NAME} is in this namespace: was the file refused? Compare its metadata (name, "
        )
        return Finding(passed=False, observed=f"there is no hpa/{NAME}", hint=f"{hint}namespace). {AGAIN}")
    wrong = {path: value for path, value in LESSON_HPA.items() if dig(hpa, path) != value}
    if wrong:
        hint = next((HINTS[path] for path in wrong if path in HINTS), "")
        return Finding(
            passed=False, observed="; ".join(differences(hpa, wrong)), hint=f"{hint} Fix the file. {AGAIN}"
        )
    extra = len(dig(hpa, "spec.metrics") or []) - 1
    if extra > 0:
        hint = f"With several metrics, the largest result counts. The lesson has one metric. {AGAIN}"
        return Finding(
            passed=False,
            observed=f"besides the queue it has {extra} other metric{'s' if extra > 1 else ''}",
            hint=hint,
        )
    return Finding(passed=True, observed=f"hpa/{NAME} has all these settings")


def scaling_active(hpa: JsonLike | None) -> Finding:
    """The controller finds what it scales, and can read its metric."""
    if not hpa:
        return Finding(
            passed=False, observed=f"there is no hpa/{NAME}", hint="Apply it first: the cell above."
        )
    conditions = {c["type"]: c for c in dig(hpa, "status.conditions") or []}
    able = conditions.get("AbleToScale", {})
    if able.get("status") == "False":
        return Finding(passed=False, observed=_said(able), hint=REASONS.get(able.get("reason", ""), ""))
    active = conditions.get("ScalingActive")
    if active is None:
        again = "It syncs every 15 lab seconds, one real second here: run this cell again."
        return nothing_yet(f"the controller has not processed {NAME} yet", again)
    hint = REASONS.get(active.get("reason", ""), "")
    return Finding(passed=active["status"] == "True", observed=_said(active), hint=hint)


REASONS = {
    "FailedGetScale": (
        "Its target can't be found. Compare scaleTargetRef (kind, name) with lab.show('deployments')."
    ),
    "FailedGetPodsMetric": (
        "There is no metric of this name for these pods. Compare the name letter "
        "by letter with the list of hop 5; if it is there, follow the hops backwards: "
        "which is the first that doesn't have it?"
    ),
    "FailedGetResourceMetric": "A Resource metric is CPU or memory, not the queue: look at `type`.",
    "FailedGetObjectMetric": "An Object metric belongs to one object. Each pod has a queue of its own.",
    "FailedGetExternalMetric": "This cluster serves no external metrics. Each pod has a queue of its own.",
    "InvalidMetricSourceType": "The metric's `type` and the block below it must be of the same kind.",
    "AmbiguousSelector": "Another HPA scales the same pods: lab.show('hpa').",
    "ScalingDisabled": "The Deployment was scaled to 0, and the HPA does nothing there. Scale it to 2.",
    "InvalidSelector": "The Deployment has no selector that finds its pods.",
}


def _said(condition: JsonLike) -> str:
    kind, status = condition["type"], condition["status"]
    return f"{kind} is {status} ({condition.get('reason', '')}): {condition.get('message', '')}"


def hops(hops: Mapping[str, float | None]) -> Finding:
    """The same number at each hop; a queue keeps moving, so a difference of 40 % or 4 requests is fine."""
    silent = [name for name, value in hops.items() if (known := number(value)) is None or math.isnan(known)]
    if silent:
        why = "05.scaling-active, above, says why" if "hpa" in silent[0].lower() else "query that hop again"
        hint = f"{silent[0]} has no number yet: {why}. {AGAIN}"
        return Finding(passed=False, observed=f"no number from: {', '.join(silent)}", hint=hint)
    values = numbers(hops.values()) or []
    shown = ", ".join(f"{name}: {value:g}" for name, value in zip(hops, values, strict=True))
    if len(values) < 4:
        hint = f"There are four: server, Prometheus, custom metrics API, HPA. {AGAIN}"
        return Finding(passed=False, observed=f"only {len(values)} hops: {shown or 'none'}", hint=hint)
    if max(values) <= 0:
        again = (
            "Is the load still running? Start it again in the cell with `steady = "
            "lab.load(…)`, and continue from there."
        )
        return nothing_yet(f"no request waits anywhere ({shown})", again)
    same = max(values) - min(values) <= max(4.0, 0.4 * max(values))
    return Finding(
        passed=same, observed=shown, hint="" if same else _apart(dict(zip(hops, values, strict=True)))
    )


def _apart(hops: Mapping[Any, float]) -> str:
    """Why hops' numbers can differ: some are from another moment, or sums where others are averages."""
    low, high = min(hops, key=lambda name: hops[name]), max(hops, key=lambda name: hops[name])
    if 1.7 <= hops[high] / (hops[low] or 0.1) <= 2.3:
        doubled = f"{high} says twice as much as {low}: is one a sum over both pods, the other an average?"
        return f"{doubled} Or has the HPA added pods in between? {AGAIN}"
    return f"They are from different moments: the HPA has added pods, or the load has ended. {AGAIN}"


def names(renamed_by: Any, labelled_by: Any) -> Finding:
    """Which part gives vLLM's gauge the lesson's name, and which says what pod a sample is from."""
    said = (one_of(renamed_by, PARTS), one_of(labelled_by, PARTS))
    observed = f"renamed by {renamed_by!r}, labelled by {labelled_by!r}"
    hint = ""
    if not all(said):
        hint = 'Answer with two of "server", "Prometheus", "adapter", "HPA".'
    elif said[0] != "adapter":
        hint = (
            "Which is the first hop that shows vllm_request_queue_size? Compare the outputs of hops 3 and 4."
        )
    elif said[1] != "Prometheus":
        hint = (
            "Which is the first hop that shows which pod a number is from? Compare the "
            "outputs of hops 1 and 2."
        )
    return Finding(passed=not hint, observed=observed, hint=hint)


def desired_by_hand(desired: Any) -> Finding:
    """The learner's own function, tried on cases with known answers."""
    if not isinstance(desired, Tried):
        hint = "Pass the function itself, without parentheses: desired=desired."
        return Finding(passed=False, observed=f"{desired!r} is not a function", hint=hint)
    for call in desired.calls:
        if number(call.got) != call.wanted:
            [queues] = call.given
            observed = f"desired({queues}) gave {_shown(call.got)}, the HPA asks for {call.wanted}"
            return Finding(passed=False, observed=observed, hint=_mistake(desired, call.got))
    return Finding(passed=True, observed=desired.cases)


def _shown(got: Any) -> str:
    return "nothing yet: it still contains `...`" if got is ... else str(got)


def _mistake(desired: Tried, got: Any) -> str:
    """The usual mistake behind such a function; empty if it isn't a known one."""
    if got is None:
        return "It returns nothing: does it end with `return wanted`?"
    if isinstance(got, str):
        return "It stopped with that error. Try it yourself: desired([10, 10])."
    answers = [number(call.got) for call in desired.calls]
    queues = [call.given[0] for call in desired.calls]
    return next((hint for rule, hint in MISTAKES if answers == [rule(one) for one in queues]), "")


def alone(hpas: Sequence[JsonLike] | None) -> Finding:
    """The lesson's HPA is the only one on the Deployment, and works: two would both stop."""
    mine = {str(dig(h, "metadata.name")): h for h in hpas or [] if dig(h, TARGET_NAME) == DEPLOYMENT}
    observed = f"HPAs on {DEPLOYMENT}: {', '.join(mine) or 'none'}"
    if NAME not in mine:
        hint = (
            f"{NAME}, which looks at the queue, is gone: lab.apply('manifests/base/hpa.yaml') brings it back."
        )
        other = " Then delete the other one, which looks at the CPU." if mine else ""
        return Finding(passed=False, observed=observed, hint=hint + other)
    if len(mine) > 1:
        hint = (
            "Two HPAs can't share pods. Which of them was there first, and looks at the queue? Keep that one."
        )
        return Finding(passed=False, observed=observed, hint=hint)
    found = scaling_active(mine[NAME])
    told = f"{observed}; {found.observed}"
    return Finding(passed=found.passed, observed=told, hint=found.hint, inconclusive=found.inconclusive)


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
        "Follow the hops backwards from the HPA: which one is the first that doesn't have the number?",
        scaling_active,
        {"hpa": "hpa/llm-hpa"},
        settles=True,
        rows=(6, 9),
    ),
    Check(
        "05.hops",
        "the same number of waiting requests at each hop",
        "Take the average over the pods at each hop, all read one right after the other.",
        hops,
        may_be_empty=("hops",),
        rows=(5, 6),
    ),
    Check(
        "05.names",
        "one hop renames vLLM's gauge, another adds the labels `namespace` and `pod`",
        "Look at the output of each hop again: where does the name change, where do the labels appear?",
        names,
        answers=("renamed_by", "labelled_by"),
        copying=False,
        rows=(6,),
    ),
    Check(
        "05.desired-by-hand",
        "ceil(sum of the queues / target), never below 2 and never above 10",
        "Work out [7, 6] on paper: how many requests wait in total, and how many may wait for each pod?",
        desired_by_hand,
        answers=("desired",),
        copying=False,
        cases={"desired": CASES},
        rows=(6,),
    ),
    Check(
        "05.mended",
        "llm-hpa reads its metric again: ScalingActive is True",
        "Ask hop 5 for the list of names: lab.get('/apis/custom.metrics.k8s.io/v1beta2').",
        scaling_active,
        {"hpa": "hpa/llm-hpa"},
        settles=True,
        rows=(6,),
    ),
    Check(
        "05.alone",
        "llm-hpa alone scales llm-inference-service, and it is active",
        "lab.show('hpa') lists them; `kubectl events --for=hpa/llm-hpa` shows what the controller does.",
        alone,
        {"hpas": "hpa"},
        settles=True,
        rows=(6, 9),
    ),
)
