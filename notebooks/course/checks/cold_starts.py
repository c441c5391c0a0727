"""Notebook 07's checks: what a start consists of, what shortens it, what a long one does to an autoscaler.

Pure. No remedy passes unmeasured: each is judged by the phases of recorded starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from labkit.checks.check import Check, Finding, first_that_holds, nothing_yet
from labkit.evidence.cold_start import ColdStart
from labkit.evidence.outcomes import outcomes
from labkit.evidence.quantity import plainly
from labkit.load import LoadResult
from localcluster.api import JsonLike
from localcluster.api.objects import dig

GPU, GPU_NODES = "nvidia.com/gpu", "nvidia.com/gpu.present"
SERVER = "spec.template.spec.containers.0"
IMAGE = "registry.lab:5000/llm-inference:small"
PULL, WARMING = ("download", "unpack", "pull"), ("import", "weights", "compile", "warm-up")
CURES = {
    "small_image": {"pull", "download", "unpack"},
    "prepulled": {"pull", "download", "unpack"},
    "local_weights": {"weights"},
    "spare": {"schedule"},
}
ENOUGH = 60  # requests that must arrive before "none failed" means anything
SOON = 30.0  # lab seconds within which a placeholder makes room
RESERVE, NEVER = 1.2, 10.0  # a probe's patience, as a multiple of the start


def phases(start: ColdStart) -> Finding:
    """Every phase was seen, from the new pod to the first token."""
    seen = {span.state for span in start.phases}
    missing = [name for name in ("schedule", *WARMING, "ready", "first token") if name not in seen]
    missing += [] if seen & set(PULL) else ["pull"]
    observed = f"{len(start.phases)} phases, {start.total:.0f} s in all"
    hint = ""
    if missing:
        observed += f"; not seen: {', '.join(missing)}"
        hint = (
            "A start has to be watched from before the pod exists. Run gone(), then the "
            "cell with start(…) again."
        )
    return Finding(passed=not missing, observed=observed, hint=hint)


def longest(answer: Any, start: ColdStart) -> Finding:
    """Which phase of the recorded start took longest."""
    said = str(answer).strip().lower()
    seconds = {span.state: start.seconds(span.state) for span in start.phases}
    observed = f"you say {plainly(answer)}" + (f" ({seconds[said]:.0f} s)" if said in seconds else "")
    longer = sum(each > seconds.get(said, 0) for each in seconds.values())
    hint = first_that_holds(
        (said == "pull", "The pull has two parts here. Which of the two columns is larger?"),
        (said == "total", "That is all of them together. Which single phase is longest?"),
        (said not in seconds, f"Name one of the phases: {', '.join(seconds)}."),
        (longer > 0, f"{longer} of the phases took longer than that: compare the widths of the bars."),
    )
    return Finding(passed=bool(seconds) and said == start.longest, observed=observed, hint=hint)


def probe(runs: Mapping[str, LoadResult]) -> Finding:
    """The same new pod under the same load: without a probe requests fail, with one none do."""
    counts = {name: outcomes(run) for name, run in runs.items()} if isinstance(runs, Mapping) else {}
    again = "Run the cell with grow(…) again: it records both, each from lab.load(…) to the end."
    if len(counts) < 2:
        return nothing_yet("fewer than two runs were recorded", again)
    without, with_probe = list(counts.values())[:2]
    observed = "; ".join(f"{name}: {c['failed']} of {c['requests']} failed" for name, c in counts.items())
    if min(without["requests"], with_probe["requests"]) < ENOUGH:
        return nothing_yet(f"{observed}, but {ENOUGH} requests are needed", again)
    hint = first_that_holds(
        (
            with_probe["failed"] > 0 and not without["failed"],
            "Did you swap the two? The run without a probe comes first.",
        ),
        (
            with_probe["failed"] > 0,
            "With the probe no request should reach a server that still loads: is the probe in the file?",
        ),
        (
            not without["failed"],
            "No request reached the new server while it loaded. Did it start under load, without a probe?",
        ),
    )
    return Finding(passed=not hint, observed=observed, hint=hint)


def prepull(daemonset: JsonLike | None, nodes: Sequence[JsonLike] | None) -> Finding:
    """The server's image is on every GPU node and no other, and the puller requests no GPU."""
    if not daemonset:
        hint = "Was the file refused, or does it use another name? The check needs a DaemonSet named prepull."
        return Finding(passed=False, observed="there is no daemonset/prepull", hint=hint)
    wanted = sum(GPU_NODES in (dig(node, "metadata.labels") or {}) for node in nodes or ())
    status = daemonset.get("status") or {}
    there, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
    image = dig(daemonset, f"{SERVER}.image")
    gpus = (dig(daemonset, f"{SERVER}.resources.limits") or {}).get(GPU)
    observed = f"{image} on {ready} of {there} nodes; {wanted} nodes have GPUs"
    hint = first_that_holds(
        (
            image != IMAGE,
            "Which image will the server ask for next, with which tag? Pulling another one does not help.",
        ),
        (
            there == 0,
            (
                "Its selector matches no node. Compare key and value letter by letter with "
                "lab.show('nodes'), or kubectl get nodes --show-labels."
            ),
        ),
        (there < wanted, "Its selector matches only some of the GPU nodes. Which label do all of them have?"),
        (
            there > wanted,
            ("A node without GPUs never runs this server, and yet it pulls 4 GB. Which label helps?"),
        ),
        (bool(gpus), "A pod that only keeps an image must not hold a GPU."),
        (ready < there, "Not ready on all nodes: see lab.show('pods'). If they still pull, run this again."),
    )
    return Finding(passed=not hint and wanted > 0, observed=observed, hint=hint)


def cures(starts: Mapping[str, ColdStart]) -> Finding:
    """Each remedy made the start shorter, in the phase that it is meant for."""
    again = (
        "Run the cells that measure a start again, in order: as it is, small image, "
        "pre-pulled, local weights."
    )
    found = list(starts.values())[:4] if isinstance(starts, Mapping) else []
    if len(found) < 4 or not all(start.phases for start in found):
        return nothing_yet(f"{len(found)} of four starts were recorded", again)
    as_it_is, small, prepulled, local = found
    observed = ", ".join(f"{name}: {start.total:.0f} s" for name, start in starts.items())
    pulls = [pulled(start) for start in (as_it_is, small, prepulled)]
    told = ", ".join(f"{p:.0f} s" for p in pulls)
    hint = first_that_holds(
        (
            not pulls[0] > pulls[1],
            (f"The pulls took {told}: was the image already on the node? Run publish(…) again, then both."),
        ),
        (
            not pulls[1] > pulls[2],
            (f"The pulls took {told}: was the DaemonSet ready on each node before the third start?"),
        ),
        (local.seconds("weights") >= prepulled.seconds("weights"), WEIGHTS_AS_BEFORE),
    )
    if not hint and not all(after.total < before.total for before, after in pairwise(found)):
        return Finding(passed=False, observed=observed, hint=BY_CHANCE, inconclusive=True)
    return Finding(passed=not hint, observed=observed, hint=hint)


BY_CHANCE = (
    "Each cure shortened its own phase, and yet one start took longer than the one "
    "before: the machine was busy. Run the cell that measures that start again, then "
    "this one."
)
WEIGHTS_AS_BEFORE = "The weights took no less time than before: do they come from the node's disk?"


def bought(small_image: Any, prepulled: Any, local_weights: Any, spare: Any) -> Finding:
    """Which phase each remedy shortens."""
    said = dict(zip(CURES, (small_image, prepulled, local_weights, spare), strict=True))
    wrong = [name for name, answer in said.items() if str(answer).strip().lower() not in CURES[name]]
    hints = {
        "small_image": "Compare the first two rows of the table: in which columns do they differ?",
        "prepulled": "Compare the second and the third row of the table.",
        "local_weights": "Compare the third and the fourth row of the table.",
        "spare": "The server loads as long as before. What would it wait for if no placeholder made room?",
    }
    observed = ", ".join(f"{name}: {answer}" for name, answer in said.items())
    return Finding(passed=not wrong, observed=observed, hint=hints[wrong[0]] if wrong else "")


def spare(priority: JsonLike | None, deployment: JsonLike | None) -> Finding:
    """A placeholder that holds a GPU, has the lowest priority, and leaves at once."""
    if not priority or not deployment:
        missing = "priorityclass/placeholder" if not priority else "deployment/spare"
        return Finding(passed=False, observed=f"there is no {missing}", hint=NO_SPARE)
    value, spec = priority.get("value", 0), dig(deployment, "spec.template.spec") or {}
    name, grace = spec.get("priorityClassName"), spec.get("terminationGracePeriodSeconds", 30)
    gpus = str((dig(deployment, f"{SERVER}.resources.limits") or {}).get(GPU, 0))
    observed = f"priority {value}, class of the pods: {name}, grace {grace} s, {gpus} GPU"
    hint = first_that_holds(
        (value > 0, "Above 0 it would push out other pods. Which pod has to give way here?"),
        (
            value == 0,
            "The scheduler preempts only pods of *lower* priority, and pods without a class have 0.",
        ),
        (name is None, "The class exists, but the pods don't name it."),
        (
            name != "placeholder",
            f"Its pods name the class {name}, but the one in this file is called placeholder.",
        ),
        (grace > 1, "The server waits until the placeholder ends. What does a placeholder have to finish?"),
        (
            gpus != "1",
            "Without a GPU it keeps no place free; with more than one it takes up more than needed.",
        ),
    )
    return Finding(passed=not hint, observed=observed, hint=hint)


NO_SPARE = (
    "Was one half of the file refused? Then none of it was applied. The cell "
    "above shows what the server said."
)


def preempted(start: ColdStart, pods: Sequence[JsonLike] | None) -> Finding:
    """The server had its GPU within seconds, and the placeholder waits for another."""
    took = start.seconds("schedule")
    spares = [p for p in pods or () if dig(p, "metadata.labels.app") == "spare"]
    waiting = [pod for pod in spares if not dig(pod, "spec.nodeName")]
    again = "Run again from the cell that applies spare.yaml, then the one with start(…)."
    if not spares:
        return nothing_yet("there is no placeholder", again)
    observed = f"a GPU after {took:.0f} lab seconds; {len(waiting)} placeholder waits"
    hint = first_that_holds(
        (not waiting, f"No placeholder waits, so none was preempted. Were all twelve GPUs taken? {again}"),
        (took > SOON, "It had to wait for the placeholder to end: how long is its grace period?"),
    )
    return Finding(passed=not hint, observed=observed, hint=hint)


def pulled(start: ColdStart) -> float:
    """Lab seconds until the image had been pulled."""
    return sum(start.seconds(phase) for phase in PULL)


CHECKS: Sequence[Check] = (
    Check(
        "07.phases",
        "every phase of one start, from the new pod to the first token",
        "Call lab.time_start() before you apply, and .first_token() after it.",
        phases,
        rows=(11,),
    ),
    Check(
        "07.longest",
        "the name of the phase that took longest",
        "Find the widest bar, or the largest number in the table.",
        longest,
        answers=("answer",),
        copying=True,
        rows=(11,),
    ),
    Check(
        "07.probe",
        f"without a readiness probe requests fail, with it none do; {ENOUGH} requests or more in each run",
        "Run the cell with grow(…) again, to the end.",
        probe,
        rows=(11,),
    ),
    Check(
        "07.prepull",
        "llm-inference:small on every node with GPUs, on no other, ready, holding no GPU",
        "There are two TODOs in the file.",
        prepull,
        {"daemonset": "daemonset/prepull", "nodes": "nodes"},
        settles=True,
        rows=(11,),
    ),
    Check(
        "07.cures",
        "four starts, each shorter than the one before, in the phase that the cure is for",
        "Measure all four, in order.",
        cures,
        rows=(11,),
    ),
    Check(
        "07.bought",
        "the phase that each cure shortens (pull, weights, schedule, …)",
        "Compare neighbouring rows of the table.",
        bought,
        answers=("small_image", "prepulled", "local_weights", "spare"),
        copying=False,
        rows=(11,),
    ),
    Check(
        "07.spare",
        "a PriorityClass below 0, and a placeholder of that class with one GPU and no grace period",
        "There are three TODOs in the file.",
        spare,
        {"priority": "priorityclass/placeholder", "deployment": "deployment/spare"},
        rows=(11,),
    ),
    Check(
        "07.preempted",
        f"the server has a GPU within {SOON:.0f} lab seconds, and a placeholder waits instead",
        "kubectl get events shows which pod was preempted by which.",
        preempted,
        {"pods": "pods"},
        rows=(11,),
    ),
)
