"""What the evidence of a check says that must not depend on the rung: plain words and numbers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from labkit.evidence import Bill, Timeline
from labkit.evidence.cold_start import PARTS, ColdStart
from labkit.evidence.states import DOWN, States
from labkit.load import LoadResult
from localcluster.api.objects import KubeObject
from tests.fidelity.observed import conditions_of, events_of

PROMISE = 10.0
"""Lab seconds to the first token, for a load without a promise of its own."""

Facts = dict[str, set[str]]
"""Aspect → what holds."""


def facts(evidence: Mapping[str, Any], events: Iterable[Mapping[str, Any]]) -> Facts:
    """Reasons of events, conditions, orders of states and phases, kinds of failures."""
    found: Facts = {"event": set(events_of(events)), "condition": set(), "order": set(), "failure": set()}
    for value in _values(evidence):
        if isinstance(value, KubeObject):
            found["condition"] |= set(conditions_of([value]))
        elif isinstance(value, States):
            found["order"] |= {" → ".join(order(s.state for s in spans)) for spans in value.pods.values()}
        elif isinstance(value, ColdStart):
            found["order"].add(" → ".join(order(span.state for span in value.phases)))
        elif isinstance(value, LoadResult):
            found["failure"] |= set(value.failures())
    return found


def figures(evidence: Mapping[str, Any]) -> dict[str, float]:
    """SLO attainment (0 to 1) of each load and bill, and how far each recorded HPA went (replicas)."""
    found = {}
    for name, value in evidence.items():
        if isinstance(value, LoadResult):
            found[f"{name}: attainment"] = value.slo(ttft=PROMISE).share
        elif isinstance(value, Bill):
            found[f"{name}: attainment"] = value.attainment
        elif isinstance(value, Timeline) and (peak := value.one("desired").peak()) is not None:
            found[f"{name}: most replicas"] = peak
        elif isinstance(value, Mapping):
            nested = {f"{name}.{key}": each for key, each in value.items() if isinstance(key, str)}
            found |= figures(nested)
    return found


def order(states: Iterable[str]) -> list[str]:
    """States in order, none twice in a row; a pull is one phase, a wait after a crash one state."""
    same = ("pull" if state in PARTS else "CrashLoopBackOff" if state in DOWN else state for state in states)
    return [state for state, _ in groupby(same)]


def _values(evidence: Any) -> Iterator[Any]:
    if isinstance(evidence, Mapping) and "metadata" in evidence:
        yield KubeObject({"kind": "", **evidence})
    elif isinstance(evidence, Mapping):
        for value in evidence.values():
            yield from _values(value)
    elif isinstance(evidence, (list, tuple)):
        for value in evidence:
            yield from _values(value)
    else:
        yield evidence
