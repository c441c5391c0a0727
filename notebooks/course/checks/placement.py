"""Notebook 09's checks on where pods go, and what keeps them there.

Pure. A pod that is placed does not count as serving: it must be ready, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from course.checks.placed import (
    EVERYTHING,
    GPU,
    POD,
    cpu_only,
    labels_of,
    name_of,
    no_gpu,
    node_of,
    placed,
    pods_of,
    ready,
)
from labkit.checks.check import Check, Finding, first_that_holds, nothing_yet, number
from labkit.checks.words import one_of
from localcluster.api import JsonLike
from localcluster.api.objects import dig

PRESENT = "nvidia.com/gpu.present"
POOL, TRAINING, INFERENCE = "pool", "training", "inference"
AFFINITY = f"{POD}.affinity.nodeAffinity"
REQUIRED = f"{AFFINITY}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
PREFERRED = f"{AFFINITY}.preferredDuringSchedulingIgnoredDuringExecution"
NO_SELECTOR = (
    "Nothing says which nodes they may go to. kubectl get nodes --show-labels: "
    "which label do GPU nodes have? It belongs in the spec of the *pod*, beside "
    "`containers`."
)
REQUIRE = (
    "*Never* is a requirement: which of the two fields is for that? And which "
    "operator means `not this value`?"
)
PREFER = "*Rather* is a preference: it has its own field, with a weight, and names the preferred pool."
NO_TAINT = "Without a taint no pod is kept off. Run the cell that taints the GPU nodes again."
NO_TOLERATION = (
    "Compare key and effect letter by letter with the taint: kubectl describe node. It belongs to the *pod*."
)
STILL_THERE = "NoSchedule does not evict pods. Run the cell that deletes the batch's pods again."
FREE = 12  # GPUs, while the batch holds the CPUs beside them
GIVERS = {
    "resources": ("limit", "request", "resources", GPU),
    "label": ("label", "selector"),
    "image": ("image", "env"),
    "kubelet": ("kubelet",),
    "device plugin": ("device plugin",),
    "scheduler": ("scheduler",),
}
"""What could hand a container its GPU, and the words for it."""
STAYS = {"selector": "stays", "affinity": "stays", "no_schedule": "stays", "no_execute": "leaves"}


def handed(on_gpu_nodes: Any, handed_by: Any, pods: Sequence[JsonLike] | None) -> Finding:
    """A server without a GPU request can't run anywhere, not even on a node full of GPUs."""
    if not pods:
        return nothing_yet("there are no servers", "Run the cell that applies no-gpu.yaml again.")
    ran, said = sum(ready(pod) for pod in pods), str(handed_by).lower()
    right = one_of(handed_by, GIVERS) == "resources"
    hint = first_that_holds(
        (number(on_gpu_nodes) is None, "The first one is a number of servers."),
        (
            number(on_gpu_nodes) != ran,
            ("The first one: running is not ready. Count READY 1/1 among the pods on GPU nodes."),
        ),
        (
            "label" in said or "selector" in said,
            "A label says where a pod goes. It gives nothing to a container.",
        ),
        (
            "image" in said or "env" in said,
            "A container sees the devices it is given. Which part of its spec *asks* for them?",
        ),
        (not right, "Notebook 00: which field of the container makes the scheduler subtract 1 from 4?"),
    )
    observed = f"you say {on_gpu_nodes} and {handed_by}"
    return Finding(passed=not hint, observed=observed, hint=hint)


def selector(
    deployment: JsonLike | None, pods: Sequence[JsonLike] | None, nodes: Sequence[JsonLike] | None
) -> Finding:
    """A nodeSelector for GPU nodes, one GPU for each pod, and all pods ready there."""
    wrong = no_gpu(deployment)
    if not _selects(deployment):
        wrong += [(f"its pods name no label of GPU nodes ({PRESENT}) in nodeSelector", NO_SELECTOR)]
    return placed(deployment, pods, cpu_only(nodes), wrong)


def affinity(
    deployment: JsonLike | None, pods: Sequence[JsonLike] | None, nodes: Sequence[JsonLike] | None
) -> Finding:
    """Required: never in the pool `training`. Preferred: in the pool `inference`."""
    wrong = no_gpu(deployment)
    terms = [rule for term in dig(deployment, REQUIRED) or () for rule in _rules(term)]
    if ("NotIn", POOL, TRAINING) not in terms:
        wrong.append((f"no required rule keeps them off {POOL}={TRAINING}", REQUIRE))
    wishes = [rule for wish in dig(deployment, PREFERRED) or () for rule in _rules(wish.get("preference"))]
    if ("In", POOL, INFERENCE) not in wishes:
        wrong.append((f"no preferred rule draws them to {POOL}={INFERENCE}", PREFER))
    training = {name_of(n) for n in nodes or () if labels_of(n).get(POOL) == TRAINING}
    return placed(deployment, pods, cpu_only(nodes) | training, wrong)


def stranded(lacking: Any, free_gpus: Any, pods: Sequence[JsonLike] | None) -> Finding:
    """Servers wait for CPUs that others took, next to GPUs that are free."""
    waiting = [pod for pod in pods or () if dig(pod, "status.phase") == "Pending"]
    said = " ".join(str(c.get("message", "")) for pod in waiting for c in dig(pod, "status.conditions") or ())
    if not waiting or "Insufficient" not in said:
        again = "Run again from the cell that applies batch.yaml."
        return nothing_yet("no server waits for lack of a resource", again)
    answer = str(lacking).lower()
    hint = first_that_holds(
        ("gpu" in answer, "Are there no free GPUs? The table of nodes has a column FREE."),
        (
            answer == "memory",
            "Read the event once more: what is `Insufficient …` on the three nodes that have GPUs?",
        ),
        ("taint" in answer, "No node has a taint yet. What does `Insufficient …` name?"),
        (answer != "cpu", "Answer with one word, as the scheduler writes it after `Insufficient`."),
        (not number(free_gpus), "Two outputs back, the table of nodes has a column FREE. Add it up."),
        (number(free_gpus) != FREE, "Add up the column FREE, over all nodes."),
    )
    return Finding(passed=not hint, observed=f"you say {lacking}, with {free_gpus} GPUs free", hint=hint)


def toleration(
    deployment: JsonLike | None, pods: Sequence[JsonLike] | None, nodes: Sequence[JsonLike] | None
) -> Finding:
    """The GPU nodes are tainted, the servers tolerate that and run; no other pod came since."""
    tainted = {name_of(n) for n in nodes or () if _tainted(n)}
    wrong = [] if tainted else [(f"no node carries a taint {GPU}", NO_TAINT)]
    tolerated = dig(deployment, f"{POD}.tolerations") or ()
    if not any(t.get("key") in {GPU, None} and t.get("effect") in {"NoSchedule", None} for t in tolerated):
        wrong.append((f"its pods tolerate no taint {GPU}", NO_TOLERATION))
    inside = [name_of(pod) for pod in pods_of(pods, "batch") if node_of(pod) in tainted]
    wrong += [(f"{', '.join(inside)} run on tainted nodes", STILL_THERE)] if inside else []
    return placed(deployment, pods, cpu_only(nodes), wrong)


def promises(selector: Any, affinity: Any, no_schedule: Any, no_execute: Any) -> Finding:
    """What happens to a running pod when the label is removed, or the taint added."""
    said = {
        "selector": selector,
        "affinity": affinity,
        "no_schedule": no_schedule,
        "no_execute": no_execute,
    }
    wrong = [name for name, answer in said.items() if str(answer).lower() != STAYS[name]]
    observed = ", ".join(f"{name}: {answer}" for name, answer in said.items())
    hints = {
        "selector": "It is a short form of affinity: when is it checked?",
        "affinity": "Read the long name of the field to the end.",
        "no_schedule": "Which pods were still on the node after the first taint?",
        "no_execute": "What happened on the node that was to be repaired?",
    }
    return Finding(passed=not wrong, observed=observed, hint=hints[wrong[0]] if wrong else "")


def _selects(deployment: JsonLike | None) -> bool:
    wanted = dig(deployment, f"{POD}.nodeSelector") or {}
    return any(key.startswith(GPU) for key in wanted)


def _rules(term: Any) -> list[tuple[str, str, str]]:
    """(operator, key, value) of each expression of a term."""
    found = (term or {}).get("matchExpressions") or ()
    return [(e.get("operator"), e.get("key"), value) for e in found for value in e.get("values") or ()]


def _tainted(node: JsonLike) -> bool:
    return any(taint.get("key") == GPU for taint in dig(node, "spec.taints") or ())


CHECKS: Sequence[Check] = (
    Check(
        "09.handed",
        "how many servers on GPU nodes became ready, and what would give a GPU to a container",
        "Each log says what is missing. Notebook 00: what makes the scheduler subtract 1 from 4?",
        handed,
        {"pods": "pods"},
        answers=("on_gpu_nodes", "handed_by"),
        copying=False,
        rows=(13,),
    ),
    Check(
        "09.selector",
        "four servers with a GPU each, on nodes that their nodeSelector names, all ready",
        "Two things are missing, and neither is enough alone: which machine, and which device.",
        selector,
        EVERYTHING,
        settles=True,
        rows=(13,),
    ),
    Check(
        "09.affinity",
        "six ready servers: `training` is ruled out (required), `inference` is preferred",
        "NotIn belongs under requiredDuringScheduling…, In with a weight under preferredDuringScheduling….",
        affinity,
        EVERYTHING,
        settles=True,
        rows=(13,),
    ),
    Check(
        "09.stranded",
        "what the waiting servers lack, and how many GPUs are free meanwhile",
        "kubectl events of a waiting pod: what is `Insufficient …` on the three nodes that have GPUs?",
        stranded,
        {"pods": "pods"},
        answers=("lacking", "free_gpus"),
        copying=True,
        rows=(13,),
    ),
    Check(
        "09.toleration",
        "tainted GPU nodes, two ready servers on them, and no batch pod there any more",
        "The toleration has the same key and effect as the taint; the operator Exists needs no value.",
        toleration,
        EVERYTHING,
        settles=True,
        rows=(13,),
    ),
    Check(
        "09.promises",
        '"stays" or "leaves", in each of the four cases, for a running pod',
        "You have seen each of them happen above.",
        promises,
        answers=("selector", "affinity", "no_schedule", "no_execute"),
        copying=False,
        rows=(13,),
    ),
)
