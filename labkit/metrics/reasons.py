"""Why a query came back empty: an unknown name, a target that is down, labels that match nothing.

An empty answer looks like "all is quiet" and is nearly always a mistake. Pure: it is given what Prometheus
says about itself. It does not parse PromQL, but only looks for names in it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'|`[^`]*`")
_BRACES = re.compile(r"\{[^{}]*\}")
_RANGE = re.compile(r"\[[^\]]*\]")
_NUMBER = re.compile(r"\b\d[\w.]*")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_CALL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\s*(?=\()")
_WORDS = {
    "and",
    "or",
    "unless",
    "bool",
    "offset",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
}
_WORDS |= {"inf", "nan", "start", "end"}


@dataclass(frozen=True)
class Known:
    """What Prometheus knows: names of metrics, and the state of its targets (/api/v1/targets)."""

    metrics: Sequence[str]
    targets: Sequence[Mapping[str, Any]] = ()
    since: str = ""  # the time range of the query, in words
    present: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)  # label sets by metric


@dataclass(frozen=True)
class Reason:
    """Likely cause and fix."""

    cause: str
    fix: str


def names(query: str) -> list[str]:
    """The metric names in a query, in order, each once: quotes, labels, ranges and functions are left out."""
    text = query
    for pattern in (_QUOTED, _BRACES, _RANGE, _NUMBER, _GROUPING, _CALL):
        text = pattern.sub(" ", text)
    found = [n for n in _NAME.findall(text) if n.lower() not in _WORDS]
    inside = re.findall(r"__name__\s*=\s*[\"']([^\"']+)[\"']", query)
    return list(dict.fromkeys([*inside, *found]))


def why_empty(query: str, known: Known) -> Reason:
    """The most likely reason, trying the simplest first."""
    asked = names(query)
    for name in asked:
        if name not in known.metrics:
            return _unknown(name, known)
    for name in asked:
        if known.present.get(name) and "{" in query:
            return _labels(name, known.present[name])
    down = [t for t in known.targets if t.get("health") == "down"]
    if down:
        return _down(down)
    return Reason(
        f"{', '.join(asked) or 'The query'} matched no sample {known.since}".rstrip() + ".",
        "Ask without the labels in braces, then put them back one at a time; or ask about another time.",
    )


def _unknown(name: str, known: Known) -> Reason:
    close = difflib.get_close_matches(name, known.metrics, n=1, cutoff=0.7)
    if close:
        return Reason(f"Prometheus knows no metric {name}. Did you mean {close[0]}?", "Correct the name.")
    if not known.targets:
        return Reason(
            f"Prometheus knows no metric {name}, and it scrapes nothing at the moment.",
            'Only pods that run and have this annotation are scraped: prometheus.io/scrape: "true".',
        )
    down = [t for t in known.targets if t.get("health") == "down"]
    if down:
        return _down(down)
    return Reason(
        f"Prometheus knows no metric {name}: none of its {len(known.targets)} targets exports it (yet).",
        "Look at what the pod exports at /metrics, and wait for one scrape.",
    )


def _down(down: Sequence[Mapping[str, Any]]) -> Reason:
    first = down[0]
    instance = first.get("labels", {}).get("instance", first.get("scrapeUrl", "?"))
    return Reason(
        f"{len(down)} of the targets can't be scraped; {instance}: {first.get('lastError') or 'down'}",
        "See whether that pod runs and answers at /metrics.",
    )


def _labels(name: str, present: Sequence[Mapping[str, str]]) -> Reason:
    example = ", ".join(f'{k}="{v}"' for k, v in sorted(present[0].items()) if k != "__name__")
    return Reason(
        f"{name} exists, but not with the labels that were asked for. One that exists: {{{example}}}.",
        "Correct the labels in braces.",
    )
