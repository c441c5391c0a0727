"""Notebook 08's checks: GPUs held but not used, GPUs free but no room for a pod.

Pure. Refuses a fix that adds a node, or takes another pod's GPU away for good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from course.checks.figures import by_gpu
from labkit.checks.check import Check, Figure, Finding, first_that_holds, nothing_yet, number
from labkit.evidence.quantity import plainly
from labkit.metrics.series import Rows
from localcluster.api import JsonLike
from localcluster.api.objects import dig
from localcluster.gpus.roofline import Figures

GPU = "nvidia.com/gpu"
PACKER = "bin-packing"
SERVER = "spec.template.spec.containers.0"
SMALL, BIG = 9, 1  # pods of each kind
NODES = 4
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
FULL_NODE = 4  # GPUs of one
USED, FREE = (f'DCGM_FI_DEV_FB_{kind}{{namespace="llm-lab"}}' for kind in ("USED", "FREE"))
CARD = "NVIDIA-L4"
OVER = ("Succeeded", "Failed")

Pods = Sequence[JsonLike] | None


def used(in_use: Rows) -> dict[str, float]:
    """MiB in use, by GPU."""
    return by_gpu(in_use, USED)


def total(in_use: Rows, unused: Rows) -> dict[str, float]:
    """Total MiB, by GPU."""
    free = by_gpu(unused, FREE)
    return {gpu: mib + free.get(gpu, 0.0) for gpu, mib in used(in_use).items()}


def idle_share(in_use: Rows, unused: Rows) -> float:
    """The unused share of the VRAM of held GPUs; 0 if none was measured."""
    held = sum(total(in_use, unused).values())
    return 1 - sum(used(in_use).values()) / held if held else 0.0


def usd_per_hour() -> float:
    """The cost of the course's GPU, from its published figures."""
    return float(Figures.read().gpus[CARD]["usd_per_hour"])


def waste(answer: Any, used: Mapping[str, float], total: Mapping[str, float]) -> Finding:
    """The unused share of the VRAM of held GPUs."""
    held, taken = sum(total.values()), sum(used.values())
    if not held:
        return nothing_yet(
            "no GPU was measured", "Run the cell with lab.metrics('DCGM_FI_DEV_FB_USED…') again."
        )
    said, wanted = number(answer), 1 - taken / held

    def like(value: float, near: float = 0.02) -> bool:
        return said is not None and abs(said - value) < near

    hint = first_that_holds(
        (like(wanted), ""),
        (said is None, "Answer with one number, from 0 to 1."),
        (like(taken / held), "That is the share that is used. How much is not?"),
        (like(100 * wanted, 2), "Answer with a share: 0.5 is one half."),
        (like(held - taken, 0.05 * held), "That is in MiB. What share of the total is it?"),
    )
    return Finding(passed=like(wanted), observed=f"you say {plainly(answer)}", hint=hint)


def price(answer: Any, gpus: int, share: float, usd_per_hour: float) -> Finding:
    """Dollars a month for unused GPU-hours."""
    said, wanted = number(answer), gpus * share * usd_per_hour * 24 * 30
    if wanted <= 0:
        return nothing_yet(
            "no share or no price was measured", "Run again from the cell with lab.metrics(…)."
        )

    def like(value: float) -> bool:
        return said is not None and abs(said - value) <= 0.05 * value

    hint = first_that_holds(
        (like(wanted), ""),
        (said is None, "Answer with one number, in dollars."),
        (like(wanted / 30), "That is for one day."),
        (like(wanted / 24 / 30), "That is for one hour."),
        (like(wanted / gpus), "That is for one GPU. How many are held?"),
        (like(wanted / share), "That is what they cost in total. What part of them is idle?"),
        (like(wanted / share * (1 - share)), "That is the part that is used. What does the idle part cost?"),
    )
    return Finding(passed=like(wanted), observed=f"you say {plainly(answer)}", hint=hint)


def free(in_all: Any, on_one_node: Any, nodes: Pods, pods: Pods) -> Finding:
    """How many GPUs are free in total, and how many of them on one node."""
    room = free_gpus(nodes, pods)
    if not room:
        return nothing_yet("no GPU is free", "Run again from the cell that applies tenants.yaml.")
    said = (number(in_all), number(on_one_node))
    observed = f"you say {in_all} in total, {on_one_node} on one node"
    total, most = float(sum(room.values())), float(max(room.values()))
    hint = first_that_holds(
        (said == (total, most), ""),
        (said == (most, total), "The other way round: first the total."),
        (said[0] != total, "Add up the column FREE: GPUs that are taken don't count."),
        (said[1] == total, "No node has all of them. What is the largest number in the column FREE?"),
        (True, "Look for the largest number in the column FREE."),
    )
    return Finding(passed=not hint, observed=observed, hint=hint)


def pending(answer: Any) -> Finding:
    """What the two-GPU pod lacks, in the scheduler's words."""
    said = str(answer).lower()
    others = "cpu" in said or "memory" in said
    about_gpus, right = GPU in said or "gpu" in said, "insufficient" in said
    hint = first_that_holds(
        (
            about_gpus and any(word in said for word in ("total", "in all", "cluster")),
            "There are three free GPUs, and it needs two. Does the scheduler ever add up GPUs across nodes?",
        ),
        (
            "taint" in said or "preempt" in said,
            "That is about other nodes, or about preemption. What do the three GPU nodes lack?",
        ),
        (
            right and not about_gpus,
            "Not enough of what? The word after it is a resource's full name.",
        ),
        (
            others,
            "The scheduler names one thing that those nodes lack. Which?",
        ),
        (about_gpus and not right, "That is what they lack. Which word does the scheduler put before it?"),
    )
    passed = about_gpus and right and not hint
    return Finding(passed=passed, observed=f"you say {plainly(answer)}", hint=hint)


def placed(nodes: Pods, pods: Pods) -> Finding:
    """The two-GPU pod runs, and so do all others, on the same four nodes, all schedulable."""
    running = Counter(str(dig(p, "metadata.labels.app")) for p in pods or () if is_ready(p))
    closed = [str(dig(n, "metadata.name")) for n in nodes or () if dig(n, "spec.unschedulable")]
    workers = sum(CONTROL_PLANE not in (dig(n, "metadata.labels") or {}) for n in nodes or ())
    observed = (
        f"{running['big-model']} of {BIG} big and {running['small-model']} of {SMALL} small models ready, "
        f"{workers} nodes"
    )
    hint = ""
    if workers > NODES:
        hint = "There is an extra node. Solve this on the four nodes only."
    elif running["big-model"] < BIG:
        hint = "It needs two free GPUs on one node. Which single pod is in the way, and how do you keep its "
        hint += "replacement off that node (kubectl cordon)?"
    elif running["small-model"] < SMALL:
        hint = "A small model is not running any more. All nine must run in the end."
    elif closed:
        hint = f"{', '.join(closed)} is still cordoned: kubectl uncordon opens it again."
    return Finding(passed=not hint, observed=observed, hint=hint)


def packed(deployment: JsonLike | None, pods: Pods) -> Finding:
    """Nine small models on as few nodes as possible, placed by the scheduler itself."""
    who = dig(deployment, "spec.template.spec.schedulerName") or "default-scheduler"
    own = [pod for pod in pods or () if dig(pod, "metadata.labels.app") == "small-model"]
    counts = sorted(Counter(str(dig(p, "spec.nodeName")) for p in own if is_ready(p)).values(), reverse=True)
    observed = f"placed by {who}: {', '.join(map(str, counts)) or 'none'} on a node"
    hint = first_that_holds(
        (
            who == "default-scheduler",
            "A pod's spec says which scheduler places it; if it says nothing, the default scheduler does.",
        ),
        (
            who != PACKER,
            (
                f"There is no scheduler called {who}, so the pods are not placed. "
                "Compare the name with cluster/localcluster/data/scheduler.yaml."
            ),
        ),
        (
            sum(counts) != SMALL,
            "Not all nine are ready: see lab.show('pods'). If they are still starting, run this cell again.",
        ),
        (
            counts[:2] != [FULL_NODE, FULL_NODE],
            (
                "The scheduler is right, the nodes are not: did pods exist before you applied? "
                "Run the cell above again, it begins with none."
            ),
        ),
    )
    return Finding(passed=not hint, observed=observed, hint=hint)


def trade(spread: Any, packed: Any) -> Finding:
    """How many of nine servers are lost with one node, spread and packed."""
    said = (number(spread), number(packed))
    hint = first_that_holds(
        (said == (3.0, 4.0), ""),
        (None in said, "Answer with two numbers of servers."),
        (said == (4.0, 3.0), "The other way round: first spread, then packed."),
        (said == (6.0, 5.0), "Those are the servers that survive. How many are lost?"),
        (said[0] != 3.0, "Spread: nine servers, evenly on three nodes. One node dies."),
        (said[1] == 1.0, "That is the luckiest node. Which one is the worst to lose?"),
        (True, "Packed: how many GPUs does the fullest node have, all of them taken?"),
    )
    return Finding(passed=not hint, observed=f"you say {spread} spread, {packed} packed", hint=hint)


def free_gpus(nodes: Pods, pods: Pods) -> dict[str, int]:
    """The allocatable GPUs of each GPU node, minus those requested by its pods."""
    room = {
        str(dig(n, "metadata.name")): int((dig(n, "status.allocatable") or {}).get(GPU, 0))
        for n in nodes or ()
    }
    for pod in pods or ():
        node = str(dig(pod, "spec.nodeName"))
        if node in room and dig(pod, "status.phase") not in OVER:
            limits = [
                (c.get("resources") or {}).get("limits") or {} for c in dig(pod, "spec.containers") or ()
            ]
            room[node] -= sum(int(each.get(GPU, 0)) for each in limits)
    return {name: count for name, count in room.items() if count}


def is_ready(pod: JsonLike) -> bool:
    """Whether a pod is ready to serve."""
    conditions = dig(pod, "status.conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


_NOW = {"nodes": "nodes", "pods": "pods"}

CHECKS: Sequence[Check] = (
    Check(
        "08.waste",
        "the unused share of the VRAM of all held GPUs (0 to 1)",
        "For all nine GPUs together: how much memory is there, and how much of it is not used?",
        waste,
        answers=("answer",),
        copying=False,
        figures={
            "used": Figure(of=("in_use",), by=used),
            "total": Figure(of=("in_use", "unused"), by=total),
        },
        rows=(12,),
    ),
    Check(
        "08.price",
        "dollars for 30 days of unused GPU-hours",
        "What part of each GPU is idle, what does an hour cost, and how many hours are in 30 days?",
        price,
        answers=("answer",),
        copying=False,
        figures={
            "share": Figure(of=("in_use", "unused"), by=idle_share),
            "usd_per_hour": Figure(of=(), by=usd_per_hour),
        },
        rows=(12,),
    ),
    Check(
        "08.free",
        "how many GPUs are free in total, and how many at most on one node",
        "Read the column FREE of the table of nodes.",
        free,
        _NOW,
        answers=("in_all", "on_one_node"),
        copying=True,
        rows=(12,),
    ),
    Check(
        "08.pending",
        "the words with which the scheduler rules out each GPU node",
        "Read the event FailedScheduling: a count of nodes, and what each of them lacks.",
        pending,
        answers=("answer",),
        copying=True,
        rows=(3, 12),
    ),
    Check(
        "08.placed",
        "the two-GPU model and the nine small ones run on the same four nodes, none of them cordoned",
        "On which node would two GPUs be free if one of its small models went elsewhere?",
        placed,
        _NOW,
        settles=True,
        rows=(12,),
    ),
    Check(
        "08.packed",
        "nine small models, placed by the profile bin-packing: two nodes full, one on the third",
        (
            "cluster/localcluster/data/scheduler.yaml has two profiles. Which one fills a node before the "
            "next, and how does a pod ask for it?"
        ),
        packed,
        {"deployment": "deployment/small-model", "pods": "pods"},
        settles=True,
        rows=(12,),
    ),
    Check(
        "08.trade",
        "how many of the nine servers are lost with one node, spread and packed (the worst node)",
        "Look at both tables of nodes.",
        trade,
        answers=("spread", "packed"),
        copying=False,
        rows=(12, 14),
    ),
)
