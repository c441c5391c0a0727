"""Notebook 10's checks: what replaces the simulated parts, scaling to and from zero, the capstone's bill.

Pure. A run on a machine that was too busy is inconclusive, not wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from course.capstone import Terms, score
from course.checks.placed import gpus_of, is_ready
from labkit.checks.check import Check, Finding, first_that_holds, nothing_yet, number
from labkit.checks.words import one_of
from labkit.evidence import Timeline
from labkit.evidence.quantity import plainly
from labkit.load.results import LoadResult
from localcluster.api import JsonLike
from localcluster.api.objects import dig

# The answer must contain a word of its own line, and of no other.
DOES = {
    "announces": ("device plugin", "device-plugin"),
    "labels": ("feature discovery", "gfd"),
    "measures": ("dcgm",),
    "installs": ("driver", "operator"),
}
# Seconds from a queue to a first token on a machine that must be rented first; sources in the notebook.
NODE_MINUTES = (6, 7)
KEDA_TRIGGER = "spec.triggers.0"
PLACES = 13  # pods with one GPU each, on a cluster of twelve


def replaced(announces: Any, labels: Any, measures: Any, installs: Any) -> Finding:
    """Which of NVIDIA's components does what labkit's node agent simulates here."""
    said = {"announces": announces, "labels": labels, "measures": measures, "installs": installs}
    known = {**DOES, "kubelet": ("kubelet",), "Prometheus": ("prometheus",)}
    wrong = [name for name, answer in said.items() if one_of(answer, known) != name]
    observed = ", ".join(f"{name}: {answer}" for name, answer in said.items())
    hints = {
        "announces": "announces: what tells the kubelet that there are GPUs? First row of the table above.",
        "labels": "labels: what writes nvidia.com/gpu.product on a node? Second row of the table above.",
        "measures": "measures: what exports DCGM_FI_DEV_…? Prometheus only scrapes it.",
        "installs": (
            "installs: what installs the driver if the machine's image has none? Fourth "
            "row of the table above."
        ),
    }
    return Finding(passed=not wrong, observed=observed, hint=hints[wrong[0]] if wrong else "")


def node_minutes(answer: Any) -> Finding:
    """Minutes from the queue to a new node's first token: the sum of all steps."""
    said, (least, most) = number(answer), NODE_MINUTES
    passed = said is not None and least - 0.5 <= said <= most + 0.5
    hint = first_that_holds(
        (passed, ""),
        (said is None, "Answer with one number, in minutes."),
        (said is not None and said > 60, "That is in seconds. How many minutes?"),
        (said is not None and said < least, "A part is missing: all four rows happen one after the other."),
        (True, "Too much: take 210 s for the node, and each row once."),
    )
    return Finding(passed=passed, observed=f"you say {plainly(answer)} minutes", hint=hint)


def thirteenth(deployment: JsonLike | None, nodes: Sequence[JsonLike] | None) -> Finding:
    """All thirteen run, since a node was added."""
    ready, wanted = dig(deployment, "status.readyReplicas") or 0, dig(deployment, "spec.replicas")
    gpus = sum(gpus_of(node) for node in nodes or () if is_ready(node))
    hint = first_that_holds(
        (ready == PLACES, ""),
        (
            wanted != PLACES,
            "Thirteen pods are needed: was the Deployment scaled? Run the cell that applies it again.",
        ),
        (gpus < PLACES, "There are still fewer than thirteen GPUs on ready nodes. Order a machine."),
        (True, "There are enough GPUs now. Is one free, and has its image been pulled? Run this cell again."),
    )
    return Finding(passed=ready == PLACES, observed=f"{ready} of {PLACES} ready, on {gpus} GPUs", hint=hint)


def same_sum(answer: Any) -> Finding:
    """KEDA's HPA computes like any other: 23 waiting, 5 per pod."""
    said = number(answer)
    hint = first_that_holds(
        (said == 5, ""),
        (said is None, "Answer with one number of replicas."),
        (said == 4, "Four pods cover 20 of them. What about the other three?"),
        (said is not None and 4 < said < 5, "The HPA can't start part of a pod: which way does it round?"),
        (said == 23, "That would be one pod for each request. How many may wait for each pod?"),
    )
    return Finding(passed=said == 5, observed=f"you say {plainly(answer)}", hint=hint)


def keda(manifest: Any) -> Finding:
    """Down to none after five minutes, and up again on a metric that exists without any server."""
    if dig(manifest, "kind") != "ScaledObject":
        hint = "Pass what lab.manifest(…) reads from your file: manifest=manifest."
        return Finding(passed=False, observed=f"{type(manifest).__name__} is not a ScaledObject", hint=hint)
    spec, metadata = dig(manifest, "spec") or {}, dig(manifest, f"{KEDA_TRIGGER}.metadata") or {}
    query = str(metadata.get("query", "")).replace("\n", " ")
    wrong = {
        "minReplicaCount is not 0": spec.get("minReplicaCount") != 0,
        "cooldownPeriod is not five minutes": spec.get("cooldownPeriod") not in {None, 300},
        "the query does not ask the gateway": not _asks_the_gateway(query),
        "with no server, the sum has no value": any(
            "vllm:" in side and not says_zero(side) for side in sides(query)
        ),
        "one request does not wake it": str(metadata.get("activationThreshold", "0")) != "0",
        "threshold is not 5": str(metadata.get("threshold")) != "5",
    }
    found = [words for words, holds in wrong.items() if holds]
    hint = KEDA_HINTS[list(wrong).index(found[0])] if found else ""
    observed = "; ".join(found) or "scales to zero, and wakes at one request"
    return Finding(passed=not found, observed=observed, hint=hint)


def _asks_the_gateway(query: str) -> bool:
    """By the picker's own metric, or by the name that this notebook used before."""
    return "flow_control_queue_size" in query or "gateway_queued_requests" in query


def sides(query: str) -> list[str]:
    """What the query adds up, outside of all parentheses; nothing if it is no sum of two."""
    depth, sides = 0, [""]
    for sign in query:
        depth += (sign == "(") - (sign == ")")
        if sign == "+" and depth == 0:
            sides.append("")
        else:
            sides[-1] += sign
    return sides if len(sides) > 1 else []


def says_zero(side: str) -> bool:
    """Whether a side of a sum is 0 where it has no series; in parentheses, since `or` binds less than `+`."""
    return _ZERO.search(side) is not None


_ZERO = re.compile(r"\(.*\bor\s+vector\(\s*0\s*\)\s*\)")

KEDA_HINTS = (
    "The bounds: which minimum does the file set now?",
    "The waiting time: cooldownPeriod is in seconds, and has a default (see KEDA's documentation).",
    "With no server left, what still counts requests? The comment in the file names its metric.",
    "A sum has a value only where both sides have one. Notebook 05 makes 0 of nothing with `or vector(0)`.",
    "activationThreshold: it wakes *above* this value. Which value is a single request above?",
    "threshold: about five waiting requests for each pod, as throughout the course. It is in quotes.",
)


def to_zero(timeline: Timeline) -> Finding:
    """From at least one server to none, at the HPA's request."""
    desired = timeline.one("desired")
    again = "Run again from the cell that scales to one replica, and record until desired is 0."
    if not desired.points:
        return nothing_yet("no replicas were recorded", again)
    path = " → ".join(f"{value:g}" for _, value in desired.steps())
    if desired.points[0][1] < 1:
        return nothing_yet(f"desired {path}: it began at zero", again)
    woke = len(desired.steps()) > 2 and 0 in {v for _, v in desired.points} and desired.last() != 0
    hint = "It came back within the recording: stop it as soon as desired is 0." if woke else ""
    return Finding(passed=desired.last() == 0, observed=f"desired {path}", hint=hint)


def asleep(failed: Any, counted_by: Any, load: LoadResult) -> Finding:
    """No request was answered and nothing woke up, since nothing counted the requests."""
    lost, said = sum(load.failures().values()), str(counted_by).lower()
    if not load.rows or not lost:
        again = "Run again from the cell that applies zero-object.yaml, and let the load finish."
        return nothing_yet("no request was sent while it slept", again)
    hint = first_that_holds(
        (number(failed) is None, "The first one is a number of requests."),
        (number(failed) != lost, "The first one: slept.failures() counts them by kind. Add them up."),
        ("server" in said, "There is no server, so none could count."),
        ("service" in said, "A Service is a rule about addresses. It holds no requests, and counts none."),
        ("hpa" in said, "The HPA only reads a count. What has to do the counting?"),
        ("gateway" not in said, 'Answer with one of "servers", "Service", "gateway", "HPA".'),
    )
    return Finding(passed=not hint, observed=f"you say {failed} and {counted_by}", hint=hint)


def capstone(run: Timeline, load: LoadResult) -> Finding:
    """All terms are met."""
    if not run.began or not load.rows:
        return nothing_yet(
            "no day was recorded", "Run the cell with lab.record() again, to the end of the load."
        )
    found = score(run, load, Terms())
    unclear = not found.met and bool(found.doubts)
    if unclear:
        again = "Let the load finish, on a machine with nothing else to do: run both cells again."
        observed = f"{found!r} ({'; '.join(found.doubts)})"
        return Finding(passed=False, observed=observed, hint=again, inconclusive=True)
    terms = Terms()
    hint = first_that_holds(
        (found.met, ""),
        (
            found.failed > 0,
            "Requests failed: how (see load.failures())? Were pods deleted in the middle of an answer?",
        ),
        (
            found.gpu_seconds > terms.gpu_seconds and found.attainment < terms.share,
            "Too expensive and too slow: first the server. How many requests does one GPU handle at a time?",
        ),
        (
            found.attainment < terms.share,
            (
                "Within the budget, but too slow: does one GPU do all it can, and does the "
                "autoscaler act early enough?"
            ),
        ),
        (found.peak > terms.gpus, "Too many GPUs at once: which field limits their number?"),
        (True, "Fast enough, but too expensive: how many GPUs are held without requests, and for how long?"),
    )
    return Finding(passed=found.met, observed=f"{found!r}", hint=hint)


CHECKS: Sequence[Check] = (
    Check(
        "10.replaced",
        "the parts that announce GPUs, label nodes, measure GPUs, and install the driver",
        "All four can be DaemonSets of one operator; the table above names them.",
        replaced,
        answers=("announces", "labels", "measures", "installs"),
        copying=False,
        rows=(3,),
    ),
    Check(
        "10.node-minutes",
        "minutes from the first waiting request to the first token of a server on a new node",
        "Add up the whole column, and watch the units.",
        node_minutes,
        answers=("answer",),
        copying=False,
        rows=(11,),
    ),
    Check(
        "10.thirteenth",
        "thirteen ready pods with one GPU each",
        "lab.nodes.plug_in('gpu-node-4', gpus=4) does what an autoscaler would do within a few minutes.",
        thirteenth,
        {"deployment": "deployment/thirteen-gpus", "nodes": "nodes"},
        settles=True,
        rows=(3,),
    ),
    Check(
        "10.same-sum",
        "how many replicas KEDA's HPA asks for at 23 waiting requests, threshold 5",
        "It is an HPA with AverageValue: see notebook 05.",
        same_sum,
        answers=("answer",),
        copying=False,
        rows=(6,),
    ),
    Check(
        "10.keda",
        "a ScaledObject that scales to zero after five minutes, and wakes at one request",
        "Check its bounds, its waiting time, and its query: with no server left, what still counts requests?",
        keda,
        answers=("manifest",),
        copying=False,
        rows=(6,),
    ),
    Check(
        "10.to-zero",
        "desired goes from one server to zero",
        "lab.show('hpa/llm-hpa'): does it read its metric? And is the queue empty?",
        to_zero,
        rows=(6,),
    ),
    Check(
        "10.asleep",
        "how many requests failed while there was no server, and what would have counted them",
        "A Service can't hold requests. What is in front of it, on a cluster that scales to zero?",
        asleep,
        answers=("failed", "counted_by"),
        copying=True,
        rows=(6,),
    ),
    Check(
        "10.capstone",
        str(Terms()),
        "Is it the server or the autoscaler? hpa.what_if(…) shows it in a second; see notebooks 03 and 06.",
        capstone,
        rows=(10,),
    ),
)
