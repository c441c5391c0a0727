"""Notebook 08's checks on shared GPUs: time-sliced without memory isolation, and MIG slices with it.

Pure. A crash that was not recorded can't be judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from course.checks.waste import GPU, SERVER, Pods, is_ready
from labkit.checks.check import Check, Finding, first_that_holds, nothing_yet, number
from labkit.checks.words import one_of
from labkit.evidence.states import Span, States
from localcluster.api import JsonLike
from localcluster.api.objects import dig

SLICE = "nvidia.com/mig-1g.5gb"
TENANTS, SLICED = 5, 6  # pods of each kind
UTILIZATION = "--gpu-memory-utilization="
VLLM_DEFAULT = 0.9
WALLS = {"time_slicing": "nobody", "mig": "hardware"}
KEEPERS = {
    "nobody": ("nobody", "nothing", "none", "no one"),
    "hardware": ("hardware", "gpu", "mig"),
    "Kubernetes": ("kubernetes", "scheduler", "kubelet", "api server"),
    "device plugin": ("device plugin",),
}


def one_out_of_memory(states: States) -> Finding:
    """Five greedy tenants on four shared GPUs: one can't start, the others keep running."""
    again = "Run the cell with fifth = lab.predict(…) and lab.follow() again, to the end."
    mine = {name: spans for name, spans in states.pods.items() if name.startswith("tenant") and spans}
    if len(mine) < TENANTS:
        return nothing_yet(f"{len(mine)} of {TENANTS} tenants were seen", again)
    crashed = [name for name, spans in mine.items() if _crashed(spans)]
    running = [name for name, spans in mine.items() if spans[-1].state == "Running"]
    observed = f"{len(mine)} tenants, {len(crashed)} crashed, {len(running)} run"
    if not crashed and len(running) < TENANTS:
        return nothing_yet(f"{observed}: they are still starting", again)
    hint = first_that_holds(
        (
            not crashed,
            "All five run: does each take 90 %, and does the node offer eight GPUs (lab.show('nodes'))?",
        ),
        (
            len(running) < TENANTS - 1,
            (
                "More than one is down: was something else on these GPUs? Run again from "
                "lab.delete('deployment/small-model', …)."
            ),
        ),
    )
    return Finding(passed=not hint, observed=observed, hint=hint)


def shared(deployment: JsonLike | None, pods: Pods) -> Finding:
    """Five tenants that leave room for each other on four GPUs."""
    takes = utilization(deployment)
    own = [pod for pod in pods or () if dig(pod, "metadata.labels.app") == "tenant"]
    ready = sum(map(is_ready, own))
    where = dig(deployment, "spec.template.spec.nodeSelector") or {}
    observed = f"each takes {takes:.0%} of the VRAM; {ready} of {TENANTS} ready"
    hint = first_that_holds(
        (takes > 1, "A share from 0 to 1: 0.5 is one half."),
        (takes > 0.5, "Two of them share one GPU, and together they can't take more than all of it."),
        (
            not any(key.startswith(GPU) for key in where),
            "They should share the GPUs of the time-sliced node: keep the nodeSelector.",
        ),
        (len(own) > TENANTS, "Pods of the earlier version are still there: run this cell again."),
        (
            ready < TENANTS,
            (
                "Not all are ready. Still starting? Run this cell again. Crashing? Read its log: too "
                "little memory for the model's weights is as bad as too much."
            ),
        ),
    )
    return Finding(passed=not hint, observed=observed, hint=hint)


def wall(time_slicing: Any, mig: Any) -> Finding:
    """What keeps a tenant out of its neighbour's memory."""
    said = {"time_slicing": time_slicing, "mig": mig}
    wrong = [name for name, right in WALLS.items() if one_of(said[name], KEEPERS) != right]
    hints = {
        "time_slicing": "The fifth tenant asked for one `nvidia.com/gpu` and got one. What refused it?",
        "mig": "A slice has memory of its own. Does Kubernetes guarantee that, or something below it?",
    }
    observed = f"time slicing: {time_slicing}, MIG: {mig}"
    return Finding(passed=not wrong, observed=observed, hint=hints[wrong[0]] if wrong else "")


def mig(deployment: JsonLike | None, pods: Pods) -> Finding:
    """Six small models, each with one slice."""
    limits = dig(deployment, f"{SERVER}.resources.limits") or {}
    asked = {name: str(count) for name, count in limits.items() if name.startswith("nvidia.com/")}
    own = [pod for pod in pods or () if dig(pod, "metadata.labels.app") == "sliced"]
    nodes = {str(dig(pod, "spec.nodeName")) for pod in own}
    ready = sum(map(is_ready, own))
    told = ", ".join(f"{name}: {count}" for name, count in asked.items()) or "no GPU"
    observed = f"each asks for {told}; {ready} of {SLICED} ready on {len(nodes)} nodes"
    hint = first_that_holds(
        (not asked, "Without a limit a container gets no device, not even a slice."),
        (
            set(asked) == {GPU},
            "That is a whole GPU. What does the new node announce (kubectl describe node, Allocatable)?",
        ),
        (GPU in asked, "Ask for a slice *instead* of a GPU, not both: no node offers both."),
        (
            set(asked) != {SLICE},
            "No node announces that name. Compare it letter by letter with the node's Allocatable.",
        ),
        (asked != {SLICE: "1"}, "One slice for each: there are seven slices and six models."),
        (
            ready != SLICED,
            "Not all six are ready: see lab.show('pods'). If they are still starting, run this cell again.",
        ),
    )
    return Finding(passed=not hint, observed=observed, hint=hint)


def walled(states: States) -> Finding:
    """The one that does not fit fails, and no other does."""
    again = "Run again from the cell with lab.follow(), then the one that applies too-large.yaml."
    crashed = [name for name, spans in states.pods.items() if _crashed(spans)]
    others = [name for name in states.pods if name.startswith("sliced")]
    hurt = [name for name in others if any(span.state != "Running" for span in states.pods[name])]
    if len(others) < SLICED:
        return nothing_yet(f"{len(others)} of {SLICED} sliced models were seen", again)
    if "too-large" not in states.pods:
        return nothing_yet("too-large was not seen", again)
    undisturbed = f"{len(others) - len(hurt)} of {len(others)} undisturbed"
    hint = first_that_holds(
        (
            bool(hurt),
            f"{', '.join(hurt)} did not run all the time: were all six ready before you recorded?",
        ),
        (
            "too-large" not in crashed,
            "too-large has not failed. Did it have time to start, and does it have only one slice?",
        ),
        (crashed != ["too-large"], "Another pod failed, too: see lab.show('pods'), and the log of that pod."),
    )
    observed = f"failed: {', '.join(crashed) or 'none'}; {undisturbed}"
    return Finding(passed=not hint, observed=observed, hint=hint)


def utilization(deployment: JsonLike | None) -> float:
    """The share of the VRAM that each server of a Deployment takes."""
    words = [str(word) for word in dig(deployment, f"{SERVER}.args") or ()]
    said = [number(word.removeprefix(UTILIZATION)) for word in words if word.startswith(UTILIZATION)]
    return (said[-1] if said else VLLM_DEFAULT) or VLLM_DEFAULT


def _crashed(spans: Sequence[Span]) -> bool:
    """Whether a look saw it down or restarted, which ends a span, too."""
    down = {"Error", "CrashLoopBackOff", "OOMKilled", "StartError"}
    return any(span.state in down for span in spans) or any(a.state == b.state for a, b in pairwise(spans))


CHECKS: Sequence[Check] = (
    Check(
        "08.one-oom",
        "five tenants that take 90 % each on four shared GPUs: one crashes, four run",
        "Record from before you apply until one is stuck.",
        one_out_of_memory,
        rows=(3, 12),
    ),
    Check(
        "08.shared",
        "five tenants ready on the four GPUs of the shared node, at most half of a GPU each",
        "Two of the five share one GPU. How much may each take at most, so that both fit?",
        shared,
        {"deployment": "deployment/tenant", "pods": "pods"},
        settles=True,
        rows=(12,),
    ),
    Check(
        "08.wall",
        "who or what keeps a tenant out of its neighbour's memory: with time slicing, and with MIG",
        "Compare which pod failed in each of the two experiments, and which were unaffected.",
        wall,
        answers=("time_slicing", "mig"),
        copying=False,
        rows=(12, 14),
    ),
    Check(
        "08.mig",
        "six small models ready, each with one nvidia.com/mig-1g.5gb",
        "kubectl describe node gpu-node-a100: under which name does it offer its slices?",
        mig,
        {"deployment": "deployment/sliced", "pods": "pods"},
        settles=True,
        rows=(14,),
    ),
    Check(
        "08.walled",
        "the model that is too large for its slice crashes, and the six others keep running undisturbed",
        "Record from before you apply it until it is stuck.",
        walled,
        rows=(14,),
    ),
)
