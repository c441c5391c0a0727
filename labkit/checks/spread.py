"""Notebook 09's checks on topology: one node is lost, and who is left.

Pure. Refuses to judge a loss that nobody saw: that is inconclusive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from labkit.checks.check import Check, Finding, dig, number
from labkit.checks.placed import (
    EVERYTHING,
    POD,
    Json,
    cpu_only,
    gpus_of,
    is_ready,
    name_of,
    no_gpu,
    node_of,
    placed,
    pods_of,
    ready,
)
from labkit.evidence import Timeline
from labkit.evidence.quantity import plainly

HOSTNAME = "kubernetes.io/hostname"
BEFORE, AFTER = 6, 4  # ready servers, and those that are left without one of three nodes
NEAR = 0.15  # of a time that is read off a plot


def domains(answer: Any, counted: Any, pods: Sequence[Json] | None) -> Finding:
    """Why three of six wait: the CPU-only node is counted, and has none."""
    mine = pods_of(pods, "llm-model")
    placed, waiting = sum(bool(node_of(p)) for p in mine), sum(not node_of(p) for p in mine)
    observed = (
        f"you say {plainly(answer)} placed and {counted} nodes counted; {placed} placed, {waiting} wait"
    )
    if not waiting:
        return Finding(passed=False, observed=f"{observed}: nothing to explain", inconclusive=True)
    if number(answer) != placed:
        return Finding(passed=False, observed=observed, hint="How many pods have a node?")
    return Finding(passed=number(counted) == placed + 1, observed=observed)


def spread(deployment: Json | None, pods: Sequence[Json] | None, nodes: Sequence[Json] | None) -> Finding:
    """On each GPU node as many as on any other, and nowhere else."""
    rule = _hard_rule(deployment)
    wrong = [] if rule else [f"no DoNotSchedule constraint over {HOSTNAME} with maxSkew 1"]
    per_node = Counter(node_of(pod) for pod in pods_of(pods, "llm-model") if ready(pod))
    counts = [per_node[name_of(n)] for n in nodes or () if gpus_of(n)]
    if counts and max(counts) - min(counts) > 1:
        wrong.append(f"from {min(counts)} to {max(counts)} on a GPU node")
    return placed(deployment, pods, cpu_only(nodes), wrong + no_gpu(deployment))


def survivors(timeline: Timeline, answering: Sequence[str]) -> Finding:
    """One of three nodes is lost, and four of six servers go on; the control plane hears of it later."""
    seen = timeline.one("ready")
    if not seen.points or not timeline.events:
        return Finding(passed=False, observed="nothing was recorded", inconclusive=True)
    lost, *later = (event.at for event in timeline.events)
    evicted = later[1] if len(later) > 1 else timeline.end()  # from there on pods are made anew
    lowest = min(value for t, value in seen.points if lost <= t <= evicted)
    path = " → ".join(f"{value:g}" for _, value in seen.steps())
    observed = f"{len(answering)} answered right after; ready {path}"
    hint = "Were there two servers on each GPU node when it went? lab.check('09.spread')."
    return Finding(passed=len(answering) == lowest == AFTER, observed=observed, hint=hint)


def noticed(answer: Any, timeline: Timeline) -> Finding:
    """Real seconds from the loss to the moment at which the control plane says so."""
    lost, said = timeline.events[0].at if timeline.events else None, number(answer)
    fell = None if lost is None else timeline.one("ready").first(lambda v: v < BEFORE, after=lost)
    if lost is None or fell is None:
        return Finding(passed=False, observed="no loss was recorded, or nobody noticed", inconclusive=True)
    real = (fell - lost) / timeline.clock
    observed = f"you say {plainly(answer)}, the recording says {real:.0f} real seconds"
    return Finding(passed=said is not None and abs(said - real) <= NEAR * real, observed=observed)


def lost_node(deployment: Json | None, pods: Sequence[Json] | None, nodes: Sequence[Json] | None) -> Finding:
    """Six are ready again, without the node that is lost: it is not counted any more."""
    rule = _hard_rule(deployment)
    lost = {name_of(n) for n in nodes or () if not is_ready(n)}
    if not lost:
        return Finding(passed=False, observed="all nodes are ready: nothing was lost", inconclusive=True)
    wrong = [] if rule else [f"no DoNotSchedule constraint over {HOSTNAME} with maxSkew 1"]
    if rule and rule.get("nodeTaintsPolicy") != "Honor":
        wrong.append("the node that is lost is still counted")
    staying = [pod for pod in pods or () if not dig(pod, "metadata.deletionTimestamp")]
    return placed(deployment, staying, lost | cpu_only(nodes), wrong)


def _hard_rule(deployment: Json | None) -> Json | None:
    wanted = {"maxSkew": 1, "topologyKey": HOSTNAME, "whenUnsatisfiable": "DoNotSchedule"}
    rules = dig(deployment, f"{POD}.topologySpreadConstraints") or ()
    return next((rule for rule in rules if wanted.items() <= rule.items()), None)


CHECKS: Sequence[Check] = (
    Check(
        "09.domains",
        "how many of the six found a place, and how many nodes the constraint counted",
        "maxSkew 1: nobody may have two more than the node with the fewest. Which node has the fewest?",
        domains,
        {"pods": "pods"},
        rows=(14,),
    ),
    Check(
        "09.spread",
        "six ready servers, two on each GPU node, by a constraint that can't be passed over",
        "A node that the pods can't use must not be counted: what takes it out of the count?",
        spread,
        EVERYTHING,
        settles=True,
        rows=(14,),
    ),
    Check(
        "09.survivors",
        "four servers answer after the loss, and the control plane comes to say four, too",
        "Record first, then cut the power; stop the recording after ready has fallen.",
        survivors,
        rows=(14,),
    ),
    Check(
        "09.noticed",
        "real seconds from the loss to the first fall of `ready`, within 15 %",
        "run.events[0].at is the loss; lab seconds / lab.clock are real ones.",
        noticed,
        rows=(14,),
    ),
    Check(
        "09.lost-node",
        "six ready servers on the nodes that are left",
        "What says about a node that it is lost? The constraint has a field for whether it counts.",
        lost_node,
        EVERYTHING,
        settles=True,
        rows=(14,),
    ),
)
