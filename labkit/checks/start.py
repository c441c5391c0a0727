"""Notebook 00's checks: what the cluster counts, who refuses what, and what nobody counts.

Pure. Refuses to take a pod that was made for one that got what it asked for: it must run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labkit.checks.check import Check, Finding, dig, number
from labkit.evidence import Timeline, plainly

GPU, COFFEE = "nvidia.com/gpu", "example.com/coffee"
API_SERVER, SCHEDULER = "API server", "scheduler"
NEAR = 0.05  # of a share: figures from two moments may differ a little

Json = Mapping[str, Any]


def game(timeline: Timeline) -> Finding:
    """Out from 2 to at least 6, with pods behind it, and in again."""
    desired, ready = timeline.one("desired"), timeline.one("ready")
    if not desired.points:
        return Finding(passed=False, observed="nothing was recorded", inconclusive=True)
    path = " → ".join(f"{value:g}" for _, value in desired.steps())
    observed = f"desired {path}; at most {ready.peak() or 0:g} pods ready"
    out = desired.points[0][1] == 2 and (desired.peak() or 0) >= 6 and (ready.peak() or 0) >= 6
    return Finding(passed=out and desired.last() == 2, observed=observed)


def capacity(answer: Any, nodes: Sequence[Json] | None) -> Finding:
    """How many pods with one GPU each fit: the sum of what the nodes announce."""
    there = sum(announced(node) for node in nodes or ())
    return Finding(
        passed=number(answer) == there > 0, observed=f"you say {plainly(answer)}, the nodes say {there}"
    )


def coffee(pod: Json | None) -> Finding:
    """It asks for cups, and it runs."""
    asked = _asked(pod, "limits", COFFEE)
    if pod is None or asked is None:
        return Finding(passed=False, observed=_state(pod, "coffee") + ", and it asks for no coffee")
    observed = f"{_state(pod, 'coffee')}; it asks for {asked} cups"
    return Finding(passed=_runs(pod) and asked == "2", observed=observed)


def mended(pod: Json | None) -> Finding:
    """Request and limit are one number, and the pod runs."""
    limit, request = _asked(pod, "limits", GPU), _asked(pod, "requests", GPU)
    observed = f"{_state(pod, 'one-gpu')}; request {request}, limit {limit}"
    return Finding(passed=pod is not None and _runs(pod) and limit == request == "1", observed=observed)


def who(half: Any, unequal: Any, thirteenth: Any) -> Finding:
    """Who said no to half a GPU, to request ≠ limit, and to the thirteenth pod."""
    answers = {"half": half, "unequal": unequal, "thirteenth": thirteenth}
    right = {"half": API_SERVER, "unequal": API_SERVER, "thirteenth": SCHEDULER}
    wrong = [name for name, answer in answers.items() if _plain(answer) != _plain(right[name])]
    observed = ", ".join(f"{name}: {answer}" for name, answer in answers.items())
    hints = {
        "half": "Did a pod half-a-gpu ever exist? Then nobody could have tried to place it.",
        "unequal": "The refusal came at once, with a file and a line: was there a pod by then?",
        "thirteenth": "Look at the pod's events: the component behind FailedScheduling is in its name.",
    }
    return Finding(passed=not wrong, observed=observed, hint=hints[wrong[0]] if wrong else "")


def never(answer: Any, nodes: Sequence[Json] | None) -> Finding:
    """The nodes that announce no GPU at all: nobody's leaving helps there."""
    said = {answer} if isinstance(answer, str) else set(map(str, answer)) if _listed(answer) else set()
    names = {str(dig(node, "metadata.name")) for node in nodes or () if not announced(node)}
    hint = "Which of the four could take the pod after somebody else has left it? Not that one."
    return Finding(passed=said == names != set(), observed=f"you say {plainly(answer)}", hint=hint)


def idle(answer: Any, used: Any, free: Any) -> Finding:
    """The share of VRAM that nobody uses and nobody else can have."""
    said, mib = number(answer), (number(used), number(free))
    if mib[0] is None or mib[1] is None or mib[0] + mib[1] <= 0:
        return Finding(passed=False, observed="no VRAM figures yet", inconclusive=True)
    share = mib[1] / (mib[0] + mib[1])
    observed = f"you say {plainly(answer)}; {mib[0]:.0f} MiB in use, {mib[1]:.0f} MiB free"
    return Finding(passed=said is not None and abs(said - share) <= NEAR, observed=observed)


def all_placed(deployment: Json | None, nodes: Sequence[Json] | None) -> Finding:
    """As many pods as GPUs, all of them running."""
    there = sum(announced(node) for node in nodes or ())
    wanted, ready = (dig(deployment, f"{path}") or 0 for path in ("spec.replicas", "status.readyReplicas"))
    now = dig(deployment, "status.replicas") or 0
    observed = f"{wanted} pods wanted, {now} there, {ready} ready, {there} GPUs"
    return Finding(passed=wanted == now == ready == there > 0, observed=observed)


def announced(node: Json) -> int:
    """How many GPUs a node offers to the scheduler."""
    return int((dig(node, "status.allocatable") or {}).get(GPU, 0))


def _asked(pod: Json | None, kind: str, resource: str) -> str | None:
    found = (dig(pod, f"spec.containers.0.resources.{kind}") or {}).get(resource)
    return None if found is None else str(found)


def _runs(pod: Json) -> bool:
    return bool(dig(pod, "status.phase") == "Running")


def _state(pod: Json | None, name: str) -> str:
    if pod is None:
        return f"there is no pod/{name}"
    node = dig(pod, "spec.nodeName")
    return f"pod/{name} is {dig(pod, 'status.phase')}" + (f" on {node}" if node else "")


def _plain(answer: Any) -> str:
    return str(answer).lower().replace("kube-", "").replace(" ", "").replace("-", "")


def _listed(answer: Any) -> bool:
    return isinstance(answer, list | tuple | set | frozenset)


CHECKS: Sequence[Check] = (
    Check(
        "00.game",
        "from 2 replicas to at least 6, with ready pods, and back to 2",
        "Did the recording begin before the crowd came, and end after desired was 2 again?",
        game,
        rows=(10,),
    ),
    Check(
        "00.capacity",
        "as many pods with one GPU each as the nodes have GPUs to give, all nodes together",
        "Add up `nvidia.com/gpu` under `status.allocatable` of each node.",
        capacity,
        {"nodes": "nodes"},
        rows=(3,),
    ),
    Check(
        "00.coffee",
        "pod/coffee asks for 2 example.com/coffee and runs",
        "Asked for like a GPU: the resource's whole name under `limits`, and a whole number.",
        coffee,
        {"pod": "pod/coffee"},
        settles=True,
        rows=(3,),
    ),
    Check(
        "00.mended",
        "pod/one-gpu runs; its GPU request equals its GPU limit, and that is 1",
        "Read the refusal once more: it names both numbers. Which of them may you leave out?",
        mended,
        {"pod": "pod/one-gpu"},
        settles=True,
        rows=(4,),
    ),
    Check(
        "00.who",
        'for each of the three refusals, who said no: "API server" or "scheduler"',
        "An object that was refused was never made; a pod that waits was made.",
        who,
        rows=(3, 4),
    ),
    Check(
        "00.never",
        "the name of each node that can't take the pod, whoever leaves",
        'Read the second half of the message: for one node, preemption is "not helpful".',
        never,
        {"nodes": "nodes"},
        rows=(3, 13),
    ),
    Check(
        "00.idle",
        "free VRAM / all VRAM, a share between 0 and 1, while every GPU is taken",
        "Take the two figures that Prometheus gave: used and free.",
        idle,
        rows=(12,),
    ),
    Check(
        "00.all-placed",
        "as many pods as GPUs, and all of them ready",
        "Each pod asks for one GPU. How many GPUs are there?",
        all_placed,
        {"deployment": "deployment/thirteen-gpus", "nodes": "nodes"},
        settles=True,
        rows=(3,),
    ),
)
