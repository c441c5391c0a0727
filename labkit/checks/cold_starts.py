"""Notebook 07's checks: what a start consists of, what shortens it, what a long one does to an autoscaler.

Pure. Refuses to praise a cure that was not measured: each is judged by the phases of recorded starts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from labkit.checks.check import Check, Finding, dig, number
from labkit.evidence import Timeline
from labkit.evidence.cold_start import ColdStart
from labkit.evidence.outcomes import outcomes
from labkit.evidence.quantity import plainly
from labkit.load import LoadResult

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
ENOUGH = 60  # requests that must have come before "none failed" means anything
SOON = 30.0  # lab seconds in which a placeholder has made room
RESERVE, NEVER = 1.2, 10.0  # a probe's patience, as a multiple of the start

Json = Mapping[str, Any]


def phases(start: ColdStart) -> Finding:
    """Every phase was seen, from the new pod to the first token."""
    seen = {span.state for span in start.phases}
    missing = [name for name in ("schedule", *WARMING, "ready", "first token") if name not in seen]
    missing += [] if seen & set(PULL) else ["pull"]
    observed = f"{len(start.phases)} phases, {start.total:.0f} s in all"
    if missing:
        observed += f"; not seen: {', '.join(missing)}"
    return Finding(passed=not missing, observed=observed)


def longest(answer: Any, start: ColdStart) -> Finding:
    """Which phase of the recorded start took most of it."""
    said = str(answer).strip().lower()
    seconds = {span.state: start.seconds(span.state) for span in start.phases}
    observed = f"you say {plainly(answer)}" + (f" ({seconds[said]:.0f} s)" if said in seconds else "")
    hint = "" if said in seconds else f"The phases are {', '.join(seconds)}."
    return Finding(passed=bool(seconds) and said == start.longest, observed=observed, hint=hint)


def probe(runs: Mapping[str, LoadResult]) -> Finding:
    """The same new pod under the same load: without a probe requests fail, with it none."""
    counts = {name: outcomes(run) for name, run in runs.items()} if isinstance(runs, Mapping) else {}
    if len(counts) < 2:
        return Finding(passed=False, observed="fewer than two runs were recorded")
    without, with_probe = list(counts.values())[:2]
    observed = "; ".join(f"{name}: {c['failed']} of {c['requests']} failed" for name, c in counts.items())
    if min(without["requests"], with_probe["requests"]) < ENOUGH:
        return Finding(
            passed=False, observed=observed, hint="Too few requests: did the load run all the time?"
        )
    return Finding(passed=without["failed"] > 0 and with_probe["failed"] == 0, observed=observed)


def prepull(daemonset: Json | None, nodes: Sequence[Json] | None) -> Finding:
    """The server's image on every GPU node, on no other, and asking for no GPU."""
    if not daemonset:
        return Finding(passed=False, observed="there is no daemonset/prepull")
    wanted = sum(GPU_NODES in (dig(node, "metadata.labels") or {}) for node in nodes or ())
    status = daemonset.get("status") or {}
    there, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
    image = dig(daemonset, f"{SERVER}.image")
    gpus = (dig(daemonset, f"{SERVER}.resources.limits") or {}).get(GPU)
    observed = f"{image} on {ready} of {there} nodes; {wanted} nodes have GPUs"
    hint = ""
    if image != IMAGE:
        hint = "Which image will the server ask for next? Another one helps nobody."
    elif there != wanted:
        hint = "A node without GPUs never runs this server, and yet it pulls 4 GB. Which label tells?"
    elif gpus:
        hint = "A pod that only holds an image must not hold a GPU."
    passed = image == IMAGE and there == ready == wanted > 0 and not gpus
    return Finding(passed=passed, observed=observed, hint=hint)


def cures(starts: Mapping[str, ColdStart]) -> Finding:
    """Each cure made the start shorter, and in the phase that it is for."""
    if not isinstance(starts, Mapping) or len(starts) < 4:
        return Finding(passed=False, observed="fewer than four starts were recorded")
    as_it_is, small, prepulled, local = list(starts.values())[:4]
    observed = ", ".join(f"{name}: {start.total:.0f} s" for name, start in starts.items())
    pulls = [pulled(start) for start in (as_it_is, small, prepulled)]
    hint = ""
    if not pulls[0] > pulls[1] > pulls[2]:
        told = ", ".join(f"{p:.0f} s" for p in pulls)
        hint = f"The pulls took {told}: had the node an image already? Build and push both anew."
    elif local.seconds("weights") >= prepulled.seconds("weights"):
        hint = "The weights took as long as before: do they come from the node's disk?"
    totals = [start.total for start in (as_it_is, small, prepulled, local)]
    shorter = all(after < before for before, after in pairwise(totals))
    return Finding(passed=shorter and not hint, observed=observed, hint=hint)


def bought(small_image: Any, prepulled: Any, local_weights: Any, spare: Any) -> Finding:
    """Which phase each cure shortens."""
    said = dict(zip(CURES, (small_image, prepulled, local_weights, spare), strict=True))
    wrong = [name for name, answer in said.items() if str(answer).strip().lower() not in CURES[name]]
    hints = {
        "small_image": "Compare the first two rows of the table: in which columns do they differ?",
        "prepulled": "Compare the second and the third row of the table.",
        "local_weights": "Compare the third and the fourth row of the table.",
        "spare": "The server loads as long as before. What would it have waited for, had nobody made room?",
    }
    observed = ", ".join(f"{name}: {answer}" for name, answer in said.items())
    return Finding(passed=not wrong, observed=observed, hint=hints[wrong[0]] if wrong else "")


def spare(priority: Json | None, deployment: Json | None) -> Finding:
    """A placeholder that holds a GPU, ranks below everybody, and leaves at once."""
    if not priority or not deployment:
        missing = "priorityclass/placeholder" if not priority else "deployment/spare"
        return Finding(passed=False, observed=f"there is no {missing}")
    value, spec = priority.get("value", 0), dig(deployment, "spec.template.spec") or {}
    name, grace = spec.get("priorityClassName"), spec.get("terminationGracePeriodSeconds", 30)
    gpus = str((dig(deployment, f"{SERVER}.resources.limits") or {}).get(GPU, 0))
    observed = f"priority {value}, class of the pods: {name}, grace {grace} s, {gpus} GPU"
    hint = ""
    if value >= 0:
        hint = "The scheduler takes a place only from a *lower* priority, and pods without a class have 0."
    elif name != "placeholder":
        hint = "The class exists, and no pod says that it belongs to it."
    elif grace > 1:
        hint = "The server waits as long as the placeholder takes to end. What has it to finish?"
    return Finding(passed=not hint and gpus == "1", observed=observed, hint=hint)


def preempted(start: ColdStart, pods: Sequence[Json] | None) -> Finding:
    """The server had its GPU within seconds, and the placeholder waits for another."""
    took = start.seconds("schedule")
    spares = [p for p in pods or () if dig(p, "metadata.labels.app") == "spare"]
    waiting = [pod for pod in spares if not dig(pod, "spec.nodeName")]
    observed = f"a GPU after {took:.0f} lab seconds; {len(waiting)} placeholder waits"
    hint = ""
    if not waiting:
        hint = "No placeholder waits, so nobody was preempted. Was every GPU taken when the server came?"
    elif took > SOON:
        hint = "It had to wait for the placeholder's end: how long is its grace period?"
    return Finding(passed=bool(waiting) and took <= SOON, observed=observed, hint=hint)


def overshoot(slow: Timeline, fast: Timeline) -> Finding:
    """Under the same load the slow start asked for more pods."""
    peaks = [timeline.one("desired").peak() for timeline in (slow, fast)]
    if None in peaks:
        return Finding(passed=False, observed="a run was not recorded", inconclusive=True)
    first, second = (peak or 0.0 for peak in peaks)
    observed = f"at the peak {first:.0f} replicas with the slow start, {second:.0f} with the fast one"
    if first == second > 2:
        hint = "As many in both: by chance, requests came in bunches. Run both again."
        return Finding(passed=False, observed=observed, hint=hint, inconclusive=True)
    return Finding(passed=first > second > 2, observed=observed)


def piled_up(answer: Any, rate: float, capacity: float, start: float) -> Finding:
    """What comes beyond capacity, for as long as a start takes."""
    parts = [number(part) for part in (rate, capacity, start)]
    if any(part is None for part in parts):
        return Finding(
            passed=False, observed="rate, capacity or start was not measured yet", inconclusive=True
        )
    offered, served, seconds = (part or 0.0 for part in parts)
    wanted, said = (offered - served) * seconds, number(answer)
    observed = f"you say {plainly(answer)}"
    hint = ""
    if said is not None and abs(said - offered * seconds) <= 0.05 * offered * seconds:
        hint = "That is everybody who comes. Two servers answer some of them meanwhile."
    near = said is not None and abs(said - wanted) <= max(2.0, 0.15 * abs(wanted))
    return Finding(passed=near, observed=observed, hint=hint)


def earlier(late: Timeline, early: Timeline) -> Finding:
    """The lower target asked for half of the new pods sooner; both counted from the crowd's arrival.

    Not for the first one: whether a bunch of requests brings it on is chance under any target.
    """
    if not all(run.one("desired").points and run.events for run in (late, early)):
        return Finding(passed=False, observed="a run was not recorded", inconclusive=True)
    half = _half_way(late, early)
    first, second = (_asked_for(half, run) for run in (late, early))
    if first is None or second is None:
        hint = "Did the load run while the HPA was there?"
        return Finding(passed=False, observed="one of them never scaled out", hint=hint)
    observed = f"{half} replicas asked for {first} s after the crowd with target 5, {second} s with target 2"
    if first == second:
        hint = "At the same moment in both: by chance, requests came in bunches. Run both again."
        return Finding(passed=False, observed=observed, hint=hint, inconclusive=True)
    return Finding(passed=second < first, observed=observed)


def patience(answer: Any, start: float, period: float) -> Finding:
    """The smallest failureThreshold that lets a start of this length pass."""
    said, seconds, every = number(answer), number(start), number(period)
    if not seconds or not every:
        return Finding(passed=False, observed="no start was measured yet", inconclusive=True)
    wanted = seconds / every
    observed = f"you say {plainly(answer)}; the start took {seconds:.0f} s, the probe asks every {every:g} s"
    return Finding(passed=said is not None and wanted - 1 <= said <= 1.5 * wanted + 1, observed=observed)


def mended(deployment: Json | None, pods: Sequence[Json] | None, start: float) -> Finding:
    """A startup probe with a reserve and an end; the server is ready and was never restarted."""
    asked = dig(deployment, f"{SERVER}.startupProbe") or {}
    if not asked:
        hint = "Without it the liveness probe restarts a server that still loads. Give it time instead."
        return Finding(passed=False, observed="there is no startupProbe", hint=hint)
    gives_up, needed = asked.get("failureThreshold", 3) * asked.get("periodSeconds", 10), number(start) or 0.0
    own = [p for p in pods or () if dig(p, "metadata.labels.app") == "llm-model"]
    restarts = sum(dig(pod, "status.containerStatuses.0.restartCount") or 0 for pod in own)
    ready = dig(deployment, "status.readyReplicas") or 0
    observed = f"gives up after {gives_up} s; {ready} ready, {restarts} restarts"
    hint = ""
    if gives_up < RESERVE * needed:
        hint = f"A start takes {needed:.0f} s when all goes well. What if the disk is busy?"
    elif gives_up > NEVER * needed:
        hint = "A server that hangs while it loads would be left alone for that long."
    return Finding(passed=not hint and ready == 1 and restarts == 0, observed=observed, hint=hint)


def pulled(start: ColdStart) -> float:
    """Lab seconds until the image was there."""
    return sum(start.seconds(phase) for phase in PULL)


def _half_way(*runs: Timeline) -> int:
    """Replicas in the middle between those at the start and the lowest of the peaks; at least one more."""
    start = runs[0].one("desired").points[0][1]
    peak = min(run.one("desired").peak() or start for run in runs)
    return math.floor(start) + max(1, math.ceil((peak - start) / 2))


def _asked_for(replicas: int, run: Timeline) -> int | None:
    """Lab seconds from the crowd (the first event) until so many were asked for; None if they never were."""
    moment = run.one("desired").first(lambda v: v >= replicas)
    return None if moment is None else round(moment - run.events[0].at)


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
        "Read the widest bar, or the largest number of the table.",
        longest,
        rows=(11,),
    ),
    Check(
        "07.probe",
        f"without a readiness probe requests fail, with it none; {ENOUGH} requests or more in each",
        "Run both cells again, each from lab.load(…) to its end.",
        probe,
        rows=(11,),
    ),
    Check(
        "07.prepull",
        "llm-inference:small on every node with GPUs, on no other, ready, holding no GPU",
        "Two TODOs stand in the file.",
        prepull,
        {"daemonset": "daemonset/prepull", "nodes": "nodes"},
        settles=True,
        rows=(11,),
    ),
    Check(
        "07.cures",
        "four starts, each shorter than the one before, in the phase that was cured",
        "Measure all four, in order.",
        cures,
        rows=(11,),
    ),
    Check(
        "07.bought",
        "the phase that each cure shortens (pull, weights, schedule, …)",
        "Compare neighbouring rows of the table.",
        bought,
        rows=(11,),
    ),
    Check(
        "07.spare",
        "a PriorityClass below 0, and a placeholder of that class with one GPU and no grace period",
        "Three TODOs stand in the file.",
        spare,
        {"priority": "priorityclass/placeholder", "deployment": "deployment/spare"},
        rows=(11,),
    ),
    Check(
        "07.preempted",
        f"the server has a GPU within {SOON:.0f} lab seconds, and the placeholder waits instead of it",
        "kubectl get events tells who was preempted by whom.",
        preempted,
        {"pods": "pods"},
        rows=(11,),
    ),
    Check(
        "07.overshoot",
        "the same load, and more replicas at the peak where the start is slow",
        "Run both again: the load must grow slowly, and both must end at two replicas or begin anew.",
        overshoot,
        rows=(11,),
    ),
    Check(
        "07.piled-up",
        "how many requests pile up while the first new pod starts",
        "How many come in that time, and how many of them do two servers answer?",
        piled_up,
        rows=(11,),
    ),
    Check(
        "07.earlier",
        "with target 2 half of the new pods are asked for sooner than with target 5",
        "Record both runs from before the crowd comes.",
        earlier,
        rows=(11,),
    ),
    Check(
        "07.patience",
        "the smallest failureThreshold that a start of this length survives",
        "The probe gives up after failureThreshold × periodSeconds.",
        patience,
        rows=(11,),
    ),
    Check(
        "07.mended",
        "a startup probe with a reserve, but with an end; the server ready, no restart",
        "Compare what the probe allows with what you measured.",
        mended,
        {"deployment": "deployment/llm-inference-service", "pods": "pods"},
        settles=True,
        rows=(11,),
    ),
)
