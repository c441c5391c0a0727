"""Notebook 08's checks: GPUs held and not used, GPUs free and yet no place, GPUs that are shared.

Pure. Refuses a repair that adds a node or takes somebody's GPU away for good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from labkit.checks.check import Check, Finding, dig, number
from labkit.evidence.quantity import plainly
from labkit.evidence.states import Span, States

GPU, SLICE = "nvidia.com/gpu", "nvidia.com/mig-1g.5gb"
SERVER = "spec.template.spec.containers.0"
SMALL, BIG, TENANTS, SLICED = 9, 1, 5, 6  # pods of each kind
NODES = 4
FULL_NODE = 4  # GPUs of one
UTILIZATION = "--gpu-memory-utilization="
VLLM_DEFAULT = 0.9
OVER = ("Succeeded", "Failed")
WALLS = {"time_slicing": ("nobody", "nothing", "none", "no one"), "mig": ("hardware", "gpu", "mig")}

Json = Mapping[str, Any]
Pods = Sequence[Json] | None


def waste(answer: Any, used: Mapping[str, float], total: Mapping[str, float]) -> Finding:
    """The share of the VRAM of held GPUs that nobody uses."""
    held, taken = sum(total.values()), sum(used.values())
    if not held:
        return Finding(passed=False, observed="no GPU was measured yet", inconclusive=True)
    said, wanted = number(answer), 1 - taken / held
    used_up = f"{taken / 1024:.0f} of {held / 1024:.0f} GiB are used on {len(total)} GPUs"
    observed = f"you say {plainly(answer)}; {used_up}"
    hint = ""
    if said is not None and abs(said - taken / held) < 0.02:
        hint = "That is the share that is used."
    elif said is not None and abs(said - 100 * wanted) < 2:
        hint = "As a share, please: 0.5 is one half."
    return Finding(passed=said is not None and abs(said - wanted) < 0.02, observed=observed, hint=hint)


def price(answer: Any, gpus: int, share: float, usd_per_hour: float) -> Finding:
    """Dollars a month for GPU-hours that nobody uses."""
    said, wanted = number(answer), gpus * share * usd_per_hour * 24 * 30
    observed = f"you say {plainly(answer)}; {gpus} GPUs, {share:.0%} idle, {usd_per_hour} $ per hour"
    hint = ""
    if said is not None and abs(said - wanted / 30) < 0.02 * wanted / 30:
        hint = "That is a day."
    near = said is not None and abs(said - wanted) <= 0.05 * wanted
    return Finding(passed=near and wanted > 0, observed=observed, hint=hint)


def free(in_all: Any, on_one_node: Any, nodes: Pods, pods: Pods) -> Finding:
    """How many GPUs are free in all, and how many of them on one node."""
    room = free_gpus(nodes, pods)
    said = (number(in_all), number(on_one_node))
    observed = f"you say {in_all} in all, {on_one_node} on one node"
    hints = ("Add up the column FREE.", "The largest number in the column FREE.")
    right = (float(sum(room.values())), float(max(room.values(), default=0)))
    wrong = [hint for hint, a, b in zip(hints, said, right, strict=True) if a != b]
    return Finding(passed=not wrong and bool(room), observed=observed, hint=wrong[0] if wrong else "")


def pending(answer: Any) -> Finding:
    """What the two-GPU pod lacks, in the scheduler's words."""
    said = str(answer).lower()
    about_gpus = GPU in said or "gpu" in said
    hint = ""
    if about_gpus and any(word in said for word in ("total", "in all", "cluster")):
        hint = "There are three free GPUs, and it wants two. Does the scheduler ever add nodes up?"
    return Finding(
        passed=about_gpus and "insufficient" in said, observed=f"you say {plainly(answer)}", hint=hint
    )


def placed(nodes: Pods, pods: Pods) -> Finding:
    """The two-GPU pod runs, all others too, on the same four nodes, all open."""
    running = Counter(str(dig(p, "metadata.labels.app")) for p in pods or () if _ready(p))
    closed = [str(dig(n, "metadata.name")) for n in nodes or () if dig(n, "spec.unschedulable")]
    observed = (
        f"{running['big-model']} of {BIG} big and {running['small-model']} of {SMALL} small models ready, "
        f"{len(nodes or ())} nodes"
    )
    hint = ""
    if len(nodes or ()) > NODES:
        hint = "Without another node, please."
    elif running["big-model"] < BIG:
        hint = "It needs two free GPUs on one node. Which single pod is in the way, and how do you keep its "
        hint += "successor off that node (kubectl cordon)?"
    elif running["small-model"] < SMALL:
        hint = "A small model has lost its place. All nine had one before."
    elif closed:
        hint = f"{', '.join(closed)} takes no pods any more: kubectl uncordon."
    return Finding(passed=not hint, observed=observed, hint=hint)


def packed(deployment: Json | None, pods: Pods) -> Finding:
    """Nine small models on as few nodes as they need, by the scheduler's own doing."""
    who = dig(deployment, "spec.template.spec.schedulerName") or "default-scheduler"
    own = [pod for pod in pods or () if dig(pod, "metadata.labels.app") == "small-model"]
    counts = sorted(Counter(str(dig(p, "spec.nodeName")) for p in own if _ready(p)).values(), reverse=True)
    observed = f"placed by {who}: {', '.join(map(str, counts)) or 'none'} on a node"
    wanted = sum(counts) == SMALL and counts[:2] == [FULL_NODE, FULL_NODE]
    hint = ""
    if who != "bin-packing":
        hint = "Who places a pod stands in its spec; without a word it is the default scheduler."
    return Finding(passed=wanted and not hint, observed=observed, hint=hint)


def trade(spread: Any, packed: Any) -> Finding:
    """How many of nine servers one dying node takes along, spread and packed."""
    said, right = (number(spread), number(packed)), (3.0, 4.0)
    observed = f"you say {spread} spread, {packed} packed"
    hints = ("Nine servers on three nodes, evenly.", "The fullest node has four GPUs, all taken.")
    wrong = [hint for hint, a, b in zip(hints, said, right, strict=True) if a != b]
    return Finding(passed=not wrong, observed=observed, hint=wrong[0] if wrong else "")


def one_out_of_memory(states: States) -> Finding:
    """Five greedy tenants on four shared GPUs: one can't start, the others run on."""
    if not states.pods:
        return Finding(passed=False, observed="nothing was recorded", inconclusive=True)
    crashed = [name for name, spans in states.pods.items() if _crashed(spans)]
    running = [name for name, spans in states.pods.items() if spans[-1].state == "Running"]
    observed = f"{len(states.pods)} tenants, {len(crashed)} crashed, {len(running)} run"
    return Finding(passed=bool(crashed) and len(running) >= TENANTS - 1, observed=observed)


def shared(deployment: Json | None, pods: Pods) -> Finding:
    """Five tenants that leave room for each other on four GPUs."""
    takes = utilization(deployment)
    own = [pod for pod in pods or () if dig(pod, "metadata.labels.app") == "tenant"]
    ready = sum(map(_ready, own))
    where = dig(deployment, "spec.template.spec.nodeSelector") or {}
    observed = f"each takes {takes:.0%} of the VRAM; {ready} of {TENANTS} ready"
    hint = ""
    if takes > 0.5:
        hint = "Two of them meet on one GPU, and together they may take all of it at the most."
    elif not any(key.startswith(GPU) for key in where):
        hint = "They should share the GPUs of the node that is sliced in time: keep the nodeSelector."
    return Finding(passed=not hint and ready == TENANTS == len(own), observed=observed, hint=hint)


def wall(time_slicing: Any, mig: Any) -> Finding:
    """Who keeps a tenant from its neighbour's memory."""
    said = {"time_slicing": time_slicing, "mig": mig}
    wrong = [name for name, right in WALLS.items() if not _says(said[name], right)]
    hints = {
        "time_slicing": "The fifth tenant asked for one `nvidia.com/gpu`, and was given one. Who refused it?",
        "mig": "A slice has memory of its own. Is that a promise of Kubernetes, or of something below?",
    }
    observed = f"time slicing: {time_slicing}, MIG: {mig}"
    return Finding(passed=not wrong, observed=observed, hint=hints[wrong[0]] if wrong else "")


def mig(deployment: Json | None, pods: Pods) -> Finding:
    """Six small models, each with one slice."""
    limits = dig(deployment, f"{SERVER}.resources.limits") or {}
    asked = {name: str(count) for name, count in limits.items() if name.startswith("nvidia.com/")}
    own = [pod for pod in pods or () if dig(pod, "metadata.labels.app") == "sliced"]
    nodes = {str(dig(pod, "spec.nodeName")) for pod in own}
    ready = sum(map(_ready, own))
    told = ", ".join(f"{name}: {count}" for name, count in asked.items()) or "no GPU"
    observed = f"each asks for {told}; {ready} of {SLICED} ready on {len(nodes)} nodes"
    hint = ""
    if asked != {SLICE: "1"}:
        hint = "What does the new node announce (kubectl describe node, Allocatable)? Ask for that."
    return Finding(passed=not hint and ready == SLICED, observed=observed, hint=hint)


def walled(states: States) -> Finding:
    """The one that does not fit fails alone."""
    crashed = [name for name, spans in states.pods.items() if _crashed(spans)]
    others = [name for name in states.pods if name.startswith("sliced")]
    hurt = [name for name in others if any(span.state != "Running" for span in states.pods[name])]
    observed = (
        f"failed: {', '.join(crashed) or 'nobody'}; {len(others) - len(hurt)} of {len(others)} undisturbed"
    )
    if not others:
        return Finding(passed=False, observed="no sliced model was recorded", inconclusive=True)
    return Finding(passed=crashed == ["too-large"] and len(others) == SLICED and not hurt, observed=observed)


def free_gpus(nodes: Pods, pods: Pods) -> dict[str, int]:
    """Allocatable GPUs of each node that has some, less what pods on it ask for."""
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


def utilization(deployment: Json | None) -> float:
    """The share of the VRAM that each server of a Deployment takes."""
    words = [str(word) for word in dig(deployment, f"{SERVER}.args") or ()]
    said = [number(word.removeprefix(UTILIZATION)) for word in words if word.startswith(UTILIZATION)]
    return (said[-1] if said else VLLM_DEFAULT) or VLLM_DEFAULT


def _ready(pod: Json) -> bool:
    conditions = dig(pod, "status.conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _crashed(spans: Sequence[Span]) -> bool:
    """A look saw it lie there, or saw it restarted: that ends a span, too."""
    down = {"Error", "CrashLoopBackOff", "OOMKilled", "StartError"}
    return any(span.state in down for span in spans) or any(a.state == b.state for a, b in pairwise(spans))


def _says(answer: Any, right: Sequence[str]) -> bool:
    said = str(answer).lower()
    return any(word in said for word in right)


_NOW = {"nodes": "nodes", "pods": "pods"}

CHECKS: Sequence[Check] = (
    Check(
        "08.waste",
        "the share of VRAM of the GPUs that are held which nobody uses (0 to 1)",
        "Used over total, of all nine GPUs together; and then the rest.",
        waste,
        rows=(12,),
    ),
    Check(
        "08.price",
        "dollars for 30 days of the GPU-hours that nobody uses",
        "GPUs × share × price × hours.",
        price,
        rows=(12,),
    ),
    Check(
        "08.free",
        "how many GPUs are free in all, and how many at the most on one node",
        "Read the column FREE of the table of nodes.",
        free,
        _NOW,
        rows=(12,),
    ),
    Check(
        "08.pending",
        "the words with which the scheduler turns each GPU node down",
        "Read the event FailedScheduling: a count of nodes, and what each of them lacks.",
        pending,
        rows=(3, 12),
    ),
    Check(
        "08.placed",
        "the two-GPU model runs, the nine small ones too, on the four nodes that there are, all open",
        "One small model must move.",
        placed,
        _NOW,
        settles=True,
        rows=(12,),
    ),
    Check(
        "08.packed",
        "nine small models, placed by the profile bin-packing: two nodes full, one on the third",
        "One TODO stands in the file.",
        packed,
        {"deployment": "deployment/small-model", "pods": "pods"},
        settles=True,
        rows=(12,),
    ),
    Check(
        "08.trade",
        "how many of the nine servers go with one node, spread and packed (the worst node)",
        "Look at both tables of nodes.",
        trade,
        rows=(12, 14),
    ),
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
        "One TODO stands in the file.",
        shared,
        {"deployment": "deployment/tenant", "pods": "pods"},
        settles=True,
        rows=(12,),
    ),
    Check(
        "08.wall",
        "who keeps a tenant from its neighbour's memory: with time slicing, and with MIG",
        "Compare who failed in the two experiments, and who was told so.",
        wall,
        rows=(12, 14),
    ),
    Check(
        "08.mig",
        "six small models ready, each with one nvidia.com/mig-1g.5gb",
        "One TODO stands in the file.",
        mig,
        {"deployment": "deployment/sliced", "pods": "pods"},
        settles=True,
        rows=(14,),
    ),
    Check(
        "08.walled",
        "the model that is too large for its slice crashes, and the six others run on undisturbed",
        "Record from before you apply it until it is stuck.",
        walled,
        rows=(14,),
    ),
)
