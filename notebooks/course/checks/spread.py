"""Notebook 09's checks on topology: one node is lost, and which pods are left.

Pure. A loss that was not observed is inconclusive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from course.checks.placed import (
    EVERYTHING,
    POD,
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
from labkit.checks.check import Check, Finding, first_that_holds, nothing_yet, number
from labkit.evidence import Timeline
from labkit.evidence.quantity import plainly
from localcluster.api import JsonLike
from localcluster.api.objects import dig

HOSTNAME = "kubernetes.io/hostname"
BEFORE, AFTER = 6, 4  # ready servers, and those left after losing one of three nodes
NEAR = 0.15  # of a time read off a plot


def domains(answer: Any, counted: Any, pods: Sequence[JsonLike] | None) -> Finding:
    """Why three of six pods wait: the CPU-only node counts as a domain, with no pods."""
    mine = pods_of(pods, "llm-model")
    placed, waiting = sum(bool(node_of(p)) for p in mine), sum(not node_of(p) for p in mine)
    if not waiting:
        return nothing_yet("no server waits: nothing to explain", "Run the cell that applies six.yaml again.")
    said = (number(answer), number(counted))
    hint = first_that_holds(
        (None in said, "Answer with two numbers: servers that were placed, nodes that are counted."),
        (said == (placed + 1, placed), "The other way round: first the servers, then the nodes."),
        (said[0] == len(mine), "That is how many were requested. How many pods have a node?"),
        (said[0] != placed, "The first one: how many pods have a node (lab.show('pods'))?"),
        (
            said[1] == placed,
            "If only the nodes with GPUs were counted, each of them could have a second server.",
        ),
        (
            said[1] != placed + 1,
            ("The second one: no node may have two more than the node with the fewest. Which has none?"),
        ),
    )
    return Finding(
        passed=not hint, observed=f"you say {plainly(answer)} placed and {counted} nodes counted", hint=hint
    )


def spread(
    deployment: JsonLike | None, pods: Sequence[JsonLike] | None, nodes: Sequence[JsonLike] | None
) -> Finding:
    """The same number of pods on each GPU node, and none elsewhere."""
    rule = _hard_rule(deployment)
    wrong = [] if rule else [(f"no DoNotSchedule constraint over {HOSTNAME} with maxSkew 1", NO_RULE)]
    per_node = Counter(node_of(pod) for pod in pods_of(pods, "llm-model") if ready(pod))
    counts = [per_node[name_of(n)] for n in nodes or () if gpus_of(n)]
    if counts and max(counts) - min(counts) > 1:
        wrong.append((f"from {min(counts)} to {max(counts)} on a GPU node", UNEVEN))
    wrong += no_gpu(deployment)
    waiting = [pod for pod in pods_of(pods, "llm-model") if not node_of(pod)]
    wrong += [(f"{len(waiting)} have no node", COUNTED)] if waiting else []
    return placed(deployment, pods, cpu_only(nodes), wrong)


NO_RULE = (
    "The constraint is gone, or is only a preference: ScheduleAnyway, or a larger "
    "maxSkew, does not enforce it. Keep it as it was."
)
UNEVEN = (
    "Pods of an earlier version may be in the way: wait until the update is done, and run this cell again."
)
COUNTED = "A node that the pods can't use is still counted, and has none. What excludes it from the count?"


def survivors(timeline: Timeline, answering: Sequence[str]) -> Finding:
    """One of three nodes is lost, and four of six servers go on; the control plane notices later."""
    seen = timeline.one("ready")
    again = "Run again from the cell that applies two-on-each.yaml: start the node first (lab.nodes.start)."
    if not seen.points or not timeline.events:
        return nothing_yet("nothing was recorded, or no loss was marked", again)
    lost, *later = (event.at for event in timeline.events)
    evicted = later[1] if len(later) > 1 else timeline.end()  # from then on pods are recreated
    after = [value for t, value in seen.points if lost <= t <= evicted]
    if not after or min(after) == seen.at(lost):
        return nothing_yet("the recording ends before Kubernetes noticed", again)
    lowest, path = min(after), " → ".join(f"{value:g}" for _, value in seen.steps())
    observed = f"{len(answering)} answered right after; ready {path}"
    hint = first_that_holds(
        (seen.at(lost) != BEFORE, f"Fewer or more than six were ready when the node was lost. {again}"),
        (
            len(answering) != AFTER,
            "Were there two servers on each GPU node when it was lost? See lab.check('09.spread').",
        ),
        (
            lowest != AFTER,
            "More than one node's servers were lost: is another node down (lab.show('nodes'))?",
        ),
    )
    return Finding(passed=not hint, observed=observed, hint=hint)


def noticed(answer: Any, timeline: Timeline) -> Finding:
    """Real seconds from the loss until the control plane reports it."""
    lost, said = timeline.events[0].at if timeline.events else None, number(answer)
    fell = None if lost is None else timeline.one("ready").first(lambda v: v < BEFORE, after=lost)
    if lost is None or fell is None:
        again = "Run again from the cell that stops the node, and wait until ready has dropped."
        return nothing_yet("no loss was recorded, or Kubernetes did not notice it", again)
    real = (fell - lost) / timeline.clock

    def like(value: float) -> bool:
        return said is not None and abs(said - value) <= NEAR * value

    hint = first_that_holds(
        (like(real), ""),
        (said is None, "Answer with one number, in real seconds."),
        (
            like(fell - lost),
            "That is in lab seconds, which the recording counts. lab.clock of them are one real second.",
        ),
        (
            like(fell) or like(fell / timeline.clock),
            "That is the moment of the drop. How long after the loss was it?",
        ),
        (like(lost) or like(lost / timeline.clock), "That is the moment of the loss. When did `ready` drop?"),
        (said is not None and said <= 0, "Take the later moment minus the earlier one."),
    )
    return Finding(passed=like(real), observed=f"you say {plainly(answer)} real seconds", hint=hint)


def lost_node(
    deployment: JsonLike | None, pods: Sequence[JsonLike] | None, nodes: Sequence[JsonLike] | None
) -> Finding:
    """Six are ready again without the lost node, which no longer counts as a domain."""
    rule = _hard_rule(deployment)
    lost = {name_of(n) for n in nodes or () if not is_ready(n)}
    if not lost:
        again = "Run again from the cell that stops the node."
        return nothing_yet("all nodes are ready: nothing was lost", again)
    wrong = [] if rule else [(f"no DoNotSchedule constraint over {HOSTNAME} with maxSkew 1", NO_RULE)]
    if rule and rule.get("nodeTaintsPolicy") != "Honor":
        wrong.append(("the lost node is still counted", STILL_COUNTED))
    staying = [pod for pod in pods or () if not dig(pod, "metadata.deletionTimestamp")]
    return placed(deployment, staying, lost | cpu_only(nodes), wrong)


STILL_COUNTED = (
    "The lost node carries a taint, and the pods don't tolerate it. Which field of "
    "the constraint says whether tainted nodes count (kubectl explain "
    "deployment.spec.template.spec.topologySpreadConstraints)?"
)


def _hard_rule(deployment: JsonLike | None) -> JsonLike | None:
    wanted = {"maxSkew": 1, "topologyKey": HOSTNAME, "whenUnsatisfiable": "DoNotSchedule"}
    rules = dig(deployment, f"{POD}.topologySpreadConstraints") or ()
    return next((rule for rule in rules if wanted.items() <= rule.items()), None)


CHECKS: Sequence[Check] = (
    Check(
        "09.domains",
        "how many of the six were placed, and how many nodes the constraint counted",
        "maxSkew 1: no node may have two more than the node with the fewest. Which node has the fewest?",
        domains,
        {"pods": "pods"},
        answers=("answer", "counted"),
        copying=False,
        rows=(14,),
    ),
    Check(
        "09.spread",
        "six ready servers, two on each GPU node, by a constraint that must be met",
        "A node that the pods can't use must not be counted: what excludes it from the count?",
        spread,
        EVERYTHING,
        settles=True,
        rows=(14,),
    ),
    Check(
        "09.survivors",
        "four servers answer after the loss, and later the control plane reports four, too",
        "Record first, then cut the power; stop the recording after ready has dropped.",
        survivors,
        rows=(14,),
    ),
    Check(
        "09.noticed",
        "real seconds from the loss to the first drop of `ready`, within 15 %",
        "run.events[0].at is the loss; lab seconds / lab.clock are real seconds.",
        noticed,
        answers=("answer",),
        copying=False,
        rows=(14,),
    ),
    Check(
        "09.lost-node",
        "six ready servers on the nodes that are left",
        "What on the node shows that it is lost? The constraint has a field for whether it counts.",
        lost_node,
        EVERYTHING,
        settles=True,
        rows=(14,),
    ),
)
