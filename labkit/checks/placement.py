"""Notebook 09's checks on where pods go, and what keeps them there.

Pure. Refuses to take a pod that is placed for one that serves: it must be ready, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labkit.checks.check import Check, Finding, dig, number
from labkit.checks.placed import (
    EVERYTHING,
    GPU,
    POD,
    Json,
    cpu_only,
    labels_of,
    name_of,
    no_gpu,
    node_of,
    placed,
    pods_of,
    ready,
)

PRESENT = "nvidia.com/gpu.present"
POOL, TRAINING, INFERENCE = "pool", "training", "inference"
AFFINITY = f"{POD}.affinity.nodeAffinity"
REQUIRED = f"{AFFINITY}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
PREFERRED = f"{AFFINITY}.preferredDuringSchedulingIgnoredDuringExecution"
STAYS = {"selector": "stays", "affinity": "stays", "no_schedule": "stays", "no_execute": "leaves"}


def handed(on_gpu_nodes: Any, handed_by: Any, pods: Sequence[Json] | None) -> Finding:
    """A server without a GPU request runs nowhere, not even on a node full of GPUs."""
    ran = sum(ready(pod) for pod in pods or ())
    observed = f"you say {on_gpu_nodes} and {handed_by}; {ran} of {len(pods or ())} pods are ready"
    if number(on_gpu_nodes) != ran or not pods:
        return Finding(passed=False, observed=observed, hint="Count READY 1/1 among the pods on GPU nodes.")
    words = ("limit", "request", "resources", GPU)
    return Finding(passed=any(word in str(handed_by).lower() for word in words), observed=observed)


def selector(deployment: Json | None, pods: Sequence[Json] | None, nodes: Sequence[Json] | None) -> Finding:
    """A nodeSelector for GPU nodes, a GPU for each, and all of them ready there."""
    wrong = no_gpu(deployment)
    if not _selects(deployment):
        wrong += [f"its pods name no label of GPU nodes ({PRESENT}) in nodeSelector"]
    return placed(deployment, pods, cpu_only(nodes), wrong)


def affinity(deployment: Json | None, pods: Sequence[Json] | None, nodes: Sequence[Json] | None) -> Finding:
    """Required: never in the pool training. Preferred: rather in the pool inference."""
    wrong = no_gpu(deployment)
    terms = [rule for term in dig(deployment, REQUIRED) or () for rule in _rules(term)]
    if ("NotIn", POOL, TRAINING) not in terms:
        wrong.append(f"nothing that is required keeps them off {POOL}={TRAINING}")
    wishes = [rule for wish in dig(deployment, PREFERRED) or () for rule in _rules(wish.get("preference"))]
    if ("In", POOL, INFERENCE) not in wishes:
        wrong.append(f"nothing that is preferred draws them to {POOL}={INFERENCE}")
    training = {name_of(n) for n in nodes or () if labels_of(n).get(POOL) == TRAINING}
    return placed(deployment, pods, cpu_only(nodes) | training, wrong)


def stranded(lacking: Any, free_gpus: Any, pods: Sequence[Json] | None) -> Finding:
    """Servers wait for CPUs that others took, beside GPUs that nobody has."""
    waiting = [pod for pod in pods or () if dig(pod, "status.phase") == "Pending"]
    said = " ".join(str(c.get("message", "")) for pod in waiting for c in dig(pod, "status.conditions") or ())
    observed = f"you say {lacking}, with {free_gpus} GPUs free; the scheduler says: {said or 'nothing'}"
    if not waiting:
        return Finding(passed=False, observed=f"{observed} (no server waits)", inconclusive=True)
    hint = "Two lines back: the table of nodes has a column FREE."
    if number(free_gpus) is None or not number(free_gpus):
        return Finding(passed=False, observed=observed, hint=hint)
    return Finding(passed=str(lacking).lower() == "cpu" and "Insufficient cpu" in said, observed=observed)


def toleration(deployment: Json | None, pods: Sequence[Json] | None, nodes: Sequence[Json] | None) -> Finding:
    """The GPU nodes are tainted, the servers are let in and run; nobody else came since."""
    tainted = {name_of(n) for n in nodes or () if _tainted(n)}
    wrong = [] if tainted else [f"no node carries a taint {GPU}"]
    tolerated = dig(deployment, f"{POD}.tolerations") or ()
    if not any(t.get("key") in {GPU, None} and t.get("effect") in {"NoSchedule", None} for t in tolerated):
        wrong.append(f"its pods tolerate no taint {GPU}")
    inside = [name_of(pod) for pod in pods_of(pods, "batch") if node_of(pod) in tainted]
    wrong += [f"{', '.join(inside)} run on tainted nodes"] if inside else []
    return placed(deployment, pods, cpu_only(nodes), wrong)


def promises(selector: Any, affinity: Any, no_schedule: Any, no_execute: Any) -> Finding:
    """What becomes of a pod that runs when the label goes, or the taint comes."""
    said = {
        "selector": selector,
        "affinity": affinity,
        "no_schedule": no_schedule,
        "no_execute": no_execute,
    }
    wrong = [name for name, answer in said.items() if str(answer).lower() != STAYS[name]]
    observed = ", ".join(f"{name}: {answer}" for name, answer in said.items())
    hints = {
        "selector": "It is affinity in short: when is it looked at?",
        "affinity": "Read the long name of the field to its end.",
        "no_schedule": "Which pods were still on the node after the first taint?",
        "no_execute": "What happened on the node that was to be repaired?",
    }
    return Finding(passed=not wrong, observed=observed, hint=hints[wrong[0]] if wrong else "")


def _selects(deployment: Json | None) -> bool:
    wanted = dig(deployment, f"{POD}.nodeSelector") or {}
    return any(key.startswith(GPU) for key in wanted)


def _rules(term: Any) -> list[tuple[str, str, str]]:
    """(operator, key, value) of each expression of a term."""
    found = (term or {}).get("matchExpressions") or ()
    return [(e.get("operator"), e.get("key"), value) for e in found for value in e.get("values") or ()]


def _tainted(node: Json) -> bool:
    return any(taint.get("key") == GPU for taint in dig(node, "spec.taints") or ())


CHECKS: Sequence[Check] = (
    Check(
        "09.handed",
        "how many of the four servers got ready, and what would hand a GPU to a container",
        "The log of each says what it misses. Notebook 00: who subtracts 1 from 4, and on whose word?",
        handed,
        {"pods": "pods"},
        rows=(13,),
    ),
    Check(
        "09.selector",
        "four servers with a GPU each, on nodes that their nodeSelector names, all ready",
        "Two things are missing, and each alone is not enough: which machine, and which device.",
        selector,
        EVERYTHING,
        settles=True,
        rows=(13,),
    ),
    Check(
        "09.affinity",
        "six ready servers: `training` is ruled out (required), `inference` is wished for (preferred)",
        "NotIn belongs under requiredDuringScheduling…, In with a weight under preferredDuringScheduling….",
        affinity,
        EVERYTHING,
        settles=True,
        rows=(13,),
    ),
    Check(
        "09.stranded",
        "what the waiting servers lack, and how many GPUs are free meanwhile",
        "lab.events() of a waiting pod: `Insufficient …`, for the three nodes that have GPUs.",
        stranded,
        {"pods": "pods"},
        rows=(13,),
    ),
    Check(
        "09.toleration",
        "tainted GPU nodes, two ready servers on them, and no batch pod there any more",
        "Key and effect of the toleration are those of the taint; the operator Exists needs no value.",
        toleration,
        EVERYTHING,
        settles=True,
        rows=(13,),
    ),
    Check(
        "09.promises",
        '"stays" or "leaves", for each of the four, of a pod that runs already',
        "You have seen each of them happen above.",
        promises,
        rows=(13,),
    ),
)
