"""Notebook 10's checks: what replaces the simulated parts, who wakes what sleeps, the capstone and its bill.

Pure. Refuses to call a run wrong on which the machine was too busy: that is inconclusive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labkit.checks.capstone import Terms, score
from labkit.checks.check import Check, Finding, dig, number
from labkit.checks.placed import Json, gpus_of, is_ready
from labkit.evidence import Series, Timeline
from labkit.evidence.quantity import plainly
from labkit.load.results import LoadResult

# Words of which one must be in the answer.
DOES = {
    "announces": ("device plugin", "device-plugin"),
    "labels": ("feature discovery", "gfd"),
    "measures": ("dcgm",),
    "installs": ("driver", "operator"),
}
# Seconds from a queue to a first token on a machine that has to be rented first; sources in the notebook.
NODE_MINUTES = (6, 7)
KEDA_TRIGGER = "spec.triggers.0"
PLACES = 13  # pods with one GPU each, on a cluster of twelve
SECONDS_IN_HOUR = 3600.0
NEAR = 0.05  # of a figure that is computed from recorded ones


def replaced(announces: Any, labels: Any, measures: Any, installs: Any) -> Finding:
    """Which part of NVIDIA's does what labkit's node agent plays here."""
    said = {"announces": announces, "labels": labels, "measures": measures, "installs": installs}
    wrong = [name for name, answer in said.items() if not any(w in str(answer).lower() for w in DOES[name])]
    observed = ", ".join(f"{name}: {answer}" for name, answer in said.items())
    return Finding(passed=not wrong, observed=observed, hint=f"Look up who {wrong[0]}." if wrong else "")


def node_minutes(answer: Any) -> Finding:
    """Minutes from the queue to the first token of a server on a new node: one part after the other."""
    said, (least, most) = number(answer), NODE_MINUTES
    passed = said is not None and least - 0.5 <= said <= most + 0.5
    return Finding(passed=passed, observed=f"you say {plainly(answer)} minutes")


def thirteenth(deployment: Json | None, nodes: Sequence[Json] | None) -> Finding:
    """All thirteen run, since somebody brought a node."""
    ready = dig(deployment, "status.readyReplicas") or 0
    gpus = sum(gpus_of(node) for node in nodes or () if is_ready(node))
    return Finding(passed=ready == PLACES, observed=f"{ready} of {PLACES} ready, on {gpus} GPUs")


def same_sum(answer: Any) -> Finding:
    """KEDA's HPA computes as every HPA does: 23 waiting, 5 for each pod."""
    return Finding(passed=number(answer) == 5, observed=f"you say {plainly(answer)}")


def keda(manifest: Any) -> Finding:
    """Down to none after five minutes, and up again by a number that is there without any server."""
    if dig(manifest, "kind") != "ScaledObject":
        return Finding(passed=False, observed=f"{type(manifest).__name__} is no ScaledObject")
    metadata = dig(manifest, f"{KEDA_TRIGGER}.metadata") or {}
    query = str(metadata.get("query", "")).replace("\n", " ")
    wrong = [
        *_unless(dig(manifest, "spec.minReplicaCount") == 0, "minReplicaCount is not 0"),
        *_unless(dig(manifest, "spec.cooldownPeriod") in {None, 300}, "cooldownPeriod is not five minutes"),
        *_unless("gateway_queued_requests" in query, "the query asks only the servers, and there are none"),
        *_unless(str(metadata.get("activationThreshold", "0")) == "0", "one request does not wake it"),
        *_unless(str(metadata.get("threshold")) == "5", "threshold is not 5"),
    ]
    return Finding(passed=not wrong, observed="; ".join(wrong) or "down to none, and awake at one request")


def to_zero(timeline: Timeline) -> Finding:
    """From at least one server to none, asked for by the HPA."""
    desired = timeline.one("desired")
    if not desired.points:
        return Finding(passed=False, observed="nothing was recorded", inconclusive=True)
    path = " → ".join(f"{value:g}" for _, value in desired.steps())
    return Finding(passed=desired.points[0][1] >= 1 and desired.last() == 0, observed=f"desired {path}")


def asleep(failed: Any, counted_by: Any, load: LoadResult) -> Finding:
    """Nobody answered, nothing woke up: the requests that should have were counted by nobody."""
    lost = sum(load.failures().values())
    observed = f"you say {failed} and {counted_by}; {lost} of {len(load.rows)} requests failed"
    if not load.rows:
        return Finding(passed=False, observed="no request was sent", inconclusive=True)
    if number(failed) != lost:
        return Finding(passed=False, observed=observed, hint="slept.failures() counts them by kind.")
    return Finding(passed="gateway" in str(counted_by).lower(), observed=observed)


def capstone(run: Timeline, load: LoadResult) -> Finding:
    """All terms kept."""
    found = score(run, load, Terms())
    unclear = not found.met and bool(found.doubts)
    observed = f"{found!r}" + (f" ({'; '.join(found.doubts)})" if unclear else "")
    return Finding(passed=found.met, observed=observed, inconclusive=unclear)


def energy(answer: Any, watts: Series) -> Finding:
    """Watt-hours: the area under the power, in lab time."""
    if len(watts.points) < 2:
        return Finding(passed=False, observed="no power was recorded", inconclusive=True)
    return _close(answer, _watt_hours(watts), "Wh")


def cost(answer: Any, run: Timeline, load: LoadResult, usd_per_hour: float) -> Finding:
    """What the GPUs that were held cost, used or not."""
    gpu_seconds = score(run, load, Terms()).gpu_seconds if run.began else 0.0
    if not gpu_seconds:
        return Finding(passed=False, observed="no GPU was held", inconclusive=True)
    return _close(answer, gpu_seconds / SECONDS_IN_HOUR * usd_per_hour, "USD")


def carbon(answer: Any, watts: Series, pue: float, grams_per_kwh: float) -> Finding:
    """Energy, times what the building adds, times what the grid burns."""
    if len(watts.points) < 2:
        return Finding(passed=False, observed="no power was recorded", inconclusive=True)
    return _close(answer, _watt_hours(watts) / 1000 * pue * grams_per_kwh, "g CO2")


def _watt_hours(watts: Series) -> float:
    return watts.area(watts.points[0][0], watts.points[-1][0]) / SECONDS_IN_HOUR


def _close(answer: Any, real: float, unit: str) -> Finding:
    said = number(answer)
    near = said is not None and abs(said - real) <= NEAR * real
    return Finding(passed=near, observed=f"you say {plainly(answer)}; it is {real:.4g} {unit}")


def _unless(holds: bool, words: str) -> list[str]:  # noqa: FBT001 - a condition and what its absence means
    return [] if holds else [words]


CHECKS: Sequence[Check] = (
    Check(
        "10.replaced",
        "the part that announces GPUs, labels nodes, measures GPUs, and brings the driver",
        "All four are DaemonSets of one operator; the table above names them.",
        replaced,
        rows=(3,),
    ),
    Check(
        "10.node-minutes",
        "minutes from the first waiting request to the first token of a server on a new node",
        "Add up the whole column, and mind the units.",
        node_minutes,
        rows=(11,),
    ),
    Check(
        "10.thirteenth",
        "thirteen ready pods with one GPU each",
        "lab.plug_in('gpu-node-4', gpus=4) is what an autoscaler would have done in some minutes.",
        thirteenth,
        {"deployment": "deployment/thirteen-gpus", "nodes": "nodes"},
        settles=True,
        rows=(3,),
    ),
    Check(
        "10.same-sum",
        "how many replicas KEDA's HPA asks for at 23 waiting requests, threshold 5",
        "It is an HPA with AverageValue: notebook 05.",
        same_sum,
        rows=(6,),
    ),
    Check(
        "10.keda",
        "a ScaledObject that goes down to none after five minutes, and wakes at one request",
        "Bounds, patience, and whom it asks: with no server left, who still knows of a request?",
        keda,
        rows=(6,),
    ),
    Check(
        "10.to-zero",
        "desired goes from one server to none",
        "lab.show('hpa/llm-hpa'): does it read its metric? And is the queue empty?",
        to_zero,
        rows=(6,),
    ),
    Check(
        "10.asleep",
        "how many requests failed while there was no server, and what would have counted them",
        "A Service keeps nobody waiting. What stands in front of it, on a cluster that sleeps?",
        asleep,
        rows=(6,),
    ),
    Check(
        "10.capstone",
        str(Terms()),
        "Is it the server or the autoscaler? lab.what_if(…) tells in a second; notebooks 03 and 06.",
        capstone,
        rows=(10,),
    ),
    Check(
        "10.energy",
        "watt-hours of the GPUs that the run held, within 5 %",
        "Watts times lab seconds are joules; 3,600 of them are a watt-hour.",
        energy,
        rows=(12,),
    ),
    Check(
        "10.cost",
        "dollars for the GPUs that the run held, within 5 %",
        "GPU-seconds / 3,600 are GPU-hours.",
        cost,
        rows=(12,),
    ),
    Check(
        "10.carbon",
        "grams of CO2 for the run, within 5 %",
        "kWh × PUE × grams per kWh.",
        carbon,
        rows=(12,),
    ),
)
