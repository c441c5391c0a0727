"""Notebook 00's checks: what the cluster counts, what it does not, and which component refuses what.

Pure. It is not enough that a pod was created: it must run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from course.checks.figures import value_of
from labkit.checks.check import Check, Figure, Finding, nothing_yet, number
from labkit.evidence import Timeline, plainly
from labkit.evidence.blank import RECORD_AGAIN
from localcluster.api import JsonLike
from localcluster.api.objects import dig

GPU, COFFEE = "nvidia.com/gpu", "example.com/coffee"
API_SERVER, SCHEDULER = "API server", "scheduler"
NODES_AGAIN = (
    "lab.show('nodes') lists them. labkit status says whether everything is up; then run this cell again."
)
_NOT_RUNNING = (
    "It asks for the right thing, but does not run. `kubectl events --for=pod/NAME`: what does it wait for?"
)
AGAIN = "Run again from the cell with lab.apply(…): it waits until there are two servers."
USED, FREE = "sum(DCGM_FI_DEV_FB_USED)", "sum(DCGM_FI_DEV_FB_FREE)"
NEAR = 0.05  # of a share: figures from two moments can differ a little


def game(timeline: Timeline) -> Finding:
    """Out from 2 to at least 6 replicas, with pods to match, and in again."""
    desired, ready = timeline.one("desired"), timeline.one("ready")
    if not desired.points:
        return nothing_yet("no replicas were recorded", RECORD_AGAIN)
    path = " → ".join(f"{value:g}" for _, value in desired.steps())
    observed = f"desired {path}; at most {ready.peak() or 0:g} pods ready"
    begin, end, top = desired.points[0][1], desired.last(), desired.peak() or 0
    if not top or top == begin == end:
        return nothing_yet(observed, f"The crowd was not in this recording. {AGAIN}")
    hint = "Pods were requested but never became ready. lab.show('pods') shows what they wait for."
    if begin != 2:
        hint = f"The crowd came before the recording began. {AGAIN}"
    elif end != 2:
        hint = f"The recording ended before the HPA was back at 2. {AGAIN}"
    elif top < 6:
        hint = f"The HPA asked for only a few pods: were all 80 requests sent? {AGAIN}"
    out = begin == 2 and top >= 6 and (ready.peak() or 0) >= 6
    return Finding(passed=out and end == 2, observed=observed, hint=hint)


def capacity(answer: Any, nodes: Sequence[JsonLike] | None) -> Finding:
    """How many one-GPU pods fit: the sum of the GPUs that the nodes announce."""
    gpus = [announced(node) for node in nodes or ()]
    said, there = number(answer), sum(gpus)
    if not there:
        return nothing_yet("no node announces a GPU now", NODES_AGAIN)
    return Finding(passed=said == there, observed=f"you say {plainly(answer)}", hint=_capacity(said, gpus))


def _capacity(said: float | None, gpus: Sequence[int]) -> str:
    """The likely mistake behind a wrong number."""
    if said is None:
        return "Answer with a number of pods."
    if said == max(gpus):
        return "That is one node. Pods can go to any of them."
    if said == len(gpus) * max(gpus):
        return "Do all nodes have GPUs? Look at each of them."
    if said in {len(gpus), sum(map(bool, gpus))}:
        return "That is the number of nodes. How many pods can each of them take?"
    return ""


def coffee(pod: JsonLike | None) -> Finding:
    """The pod requests cups, and it runs."""
    asked = _asked(pod, "limits", COFFEE)
    if pod is None or asked is None:
        return Finding(passed=False, observed=_state(pod, "coffee") + ", but it asks for no coffee")
    observed = f"{_state(pod, 'coffee')}; it asks for {asked} cups"
    hint = "That is not the number of cups in the text." if asked != "2" else _NOT_RUNNING
    return Finding(passed=_runs(pod) and asked == "2", observed=observed, hint=hint)


def mended(pod: JsonLike | None) -> Finding:
    """Request and limit are the same number, and the pod runs."""
    limit, request = _asked(pod, "limits", GPU), _asked(pod, "requests", GPU)
    observed = f"{_state(pod, 'one-gpu')}; request {request}, limit {limit}"
    hint = "" if pod is None else _NOT_RUNNING
    if pod is not None and limit is None:
        hint = "This pod asks for no GPU at all. The pod is meant to have one."
    elif limit != "1":
        hint = "Both numbers agree, so it is accepted. How many GPUs is this pod meant to have?"
    return Finding(
        passed=pod is not None and _runs(pod) and limit == request == "1", observed=observed, hint=hint
    )


def who(half: Any, unequal: Any, thirteenth: Any) -> Finding:
    """Which component refused half a GPU, request ≠ limit, and the thirteenth pod."""
    answers = {"half": half, "unequal": unequal, "thirteenth": thirteenth}
    right = {"half": API_SERVER, "unequal": API_SERVER, "thirteenth": SCHEDULER}
    wrong = [name for name, answer in answers.items() if _who(answer) != right[name]]
    observed = ", ".join(f"{name}: {answer}" for name, answer in answers.items())
    strange = next((answer for answer in answers.values() if not _who(answer)), None)
    if strange is not None:
        hint = f'{strange!r:.40} is neither of the two: answer "{API_SERVER}" or "{SCHEDULER}".'
        return Finding(passed=False, observed=observed, hint=hint)
    hints = {
        "half": "Did a pod half-a-gpu ever exist? If not, nothing could have tried to place it.",
        "unequal": "The refusal came at once, with a file and a line: was there a pod by then?",
        "thirteenth": "Look at the pod's events: which component would report FailedScheduling?",
    }
    return Finding(passed=not wrong, observed=observed, hint=hints[wrong[0]] if wrong else "")


def never(answer: Any, nodes: Sequence[JsonLike] | None) -> Finding:
    """The nodes that announce no GPU at all: there it does not help if a pod leaves."""
    said = {answer} if isinstance(answer, str) else set(map(str, answer)) if _listed(answer) else set()
    names = {str(dig(node, "metadata.name")) for node in nodes or () if not announced(node)}
    if not names:
        return nothing_yet("every node announces GPUs now", NODES_AGAIN)
    return Finding(
        passed=said == names, observed=f"you say {plainly(answer)}", hint=_never(said, names, nodes)
    )


def _never(said: set[str], names: set[str], nodes: Sequence[JsonLike] | None) -> str:
    """Too few, the wrong ones, or no nodes at all."""
    known = {str(dig(node, "metadata.name")) for node in nodes or ()}
    if said - known:
        return f"Write names as `lab.show('nodes')` prints them; {min(said - known)!r:.40} is not a node."
    if said > names:
        return "Could none of these ever take it? On some, it would help if a pod with a GPU left."
    if said < names:
        return "There is more than one: give a list."
    return "Could this node take the pod after another pod has left it? Then it is not hopeless."


def idle(answer: Any, used: float, free: float) -> Finding:
    """The share of VRAM that is unused and still unavailable to others."""
    said = number(answer)
    if used + free <= 0:
        return nothing_yet(
            "Prometheus had no VRAM figures yet", "Run the cell with lab.metrics(…) again, then this one."
        )
    share = free / (used + free)
    observed = f"you say {plainly(answer)}; {used:.0f} MiB in use, {free:.0f} MiB free"
    return Finding(
        passed=said is not None and abs(said - share) <= NEAR, observed=observed, hint=_idle(said, share)
    )


def _idle(said: float | None, share: float) -> str:
    """A percentage, the other part, or MiB."""
    if said is None:
        return "Answer with a number from 0 to 1."
    if 1 < said <= 100 + NEAR and abs(said / 100 - share) <= NEAR:
        return "As a share, not in per cent: one half is 0.5."
    if said > 1:
        return "A share is a part divided by the whole, so it lies between 0 and 1."
    if abs(said - (1 - share)) <= NEAR:
        return "That is the other part. Does the question ask for what is used, or what is free?"
    return ""


def all_placed(deployment: JsonLike | None, nodes: Sequence[JsonLike] | None) -> Finding:
    """As many pods as GPUs, all of them running."""
    there = sum(announced(node) for node in nodes or ())
    wanted, ready = (dig(deployment, f"{path}") or 0 for path in ("spec.replicas", "status.readyReplicas"))
    now = dig(deployment, "status.replicas") or 0
    if not there:
        return nothing_yet("no node announces a GPU now", NODES_AGAIN)
    observed = f"{wanted} pods wanted, {now} there, {ready} ready"
    hint = "There is a GPU for each pod; give them a moment to start, then run this cell again."
    if wanted > there:
        hint = "A pod still waits for a GPU. How many pods can have one?"
    elif wanted < there:
        hint = "No pod waits, but a GPU is left over. How many pods can have one?"
    return Finding(passed=wanted == now == ready == there, observed=observed, hint=hint)


def announced(node: JsonLike) -> int:
    """How many GPUs a node offers to the scheduler."""
    return int((dig(node, "status.allocatable") or {}).get(GPU, 0))


def _asked(pod: JsonLike | None, kind: str, resource: str) -> str | None:
    found = (dig(pod, f"spec.containers.0.resources.{kind}") or {}).get(resource)
    return None if found is None else str(found)


def _runs(pod: JsonLike) -> bool:
    return bool(dig(pod, "status.phase") == "Running")


def _state(pod: JsonLike | None, name: str) -> str:
    if pod is None:
        return f"there is no pod/{name}"
    node = dig(pod, "spec.nodeName")
    return f"pod/{name} is {dig(pod, 'status.phase')}" + (f" on {node}" if node else "")


def _who(answer: Any) -> str:
    """The component that an answer names, with or without an article, `kube-`, blanks or capitals."""
    plain = "".join(letter for letter in str(answer).lower() if letter.isalpha())
    named = {API_SERVER: "apiserver" in plain, SCHEDULER: "scheduler" in plain}
    found = [who for who, said in named.items() if said]
    return found[0] if len(found) == 1 else ""


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
        "as many pods with one GPU each as all nodes together have GPUs",
        "Add up `nvidia.com/gpu` under `status.allocatable` of each node.",
        capacity,
        {"nodes": "nodes"},
        answers=("answer",),
        copying=True,
        rows=(3,),
    ),
    Check(
        "00.coffee",
        "pod/coffee asks for 2 example.com/coffee and runs",
        "Request it like a GPU: the resource's full name under `limits`, and a whole number.",
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
        "An object that was refused was never created; a pod that waits was created.",
        who,
        answers=("half", "unequal", "thirteenth"),
        copying=False,
        rows=(3, 4),
    ),
    Check(
        "00.never",
        "the name of each node that can't take the pod, whichever pod leaves",
        'Read the second half of the message: for one node, preemption is "not helpful".',
        never,
        {"nodes": "nodes"},
        answers=("answer",),
        copying=True,
        rows=(3, 13),
    ),
    Check(
        "00.idle",
        "free VRAM / all VRAM, a share between 0 and 1, while every GPU is taken",
        "Take the two figures that Prometheus gave: used and free.",
        idle,
        answers=("answer",),
        copying=False,
        figures={
            "used": Figure(of=("in_use",), by=value_of(USED)),
            "free": Figure(of=("unused",), by=value_of(FREE)),
        },
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
