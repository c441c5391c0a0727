"""Checks of "Fix this gateway" in notebook 12: which setting is wrong, and whether it is mended.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from labkit.checks.check import Check, Finding, first_that_holds, nothing_yet
from labkit.checks.words import letters
from labkit.load.results import LoadResult
from localcluster.api import JsonLike
from localcluster.api.objects import dig

SETTINGS: Mapping[str, tuple[str, ...]] = {
    "selector": ("selector", "matchlabels"),
    "targetPorts": ("targetports", "targetport", "port"),
    "queueDepthThreshold": ("queuedepththreshold", "threshold"),
    "metricsStalenessThreshold": ("metricsstalenessthreshold", "staleness"),
    "defaultRequestTTL": ("defaultrequestttl", "ttl"),
    "maxRequests": ("maxrequests",),
    "query": ("query",),
}
"""What can be wrong, by the field: of the InferencePool, of the picker's configuration, of the trigger."""
LABELS, PORT = {"app": "llm-model"}, 8000
EVICTED, REJECTED = "http_503", "http_429"


def setting(answer: Any) -> str:
    """The setting that an answer names; empty for none."""
    said = letters(answer) if isinstance(answer, str) else ""
    return next((name for name, words in SETTINGS.items() if said in words), "")


def blames(right: str, question: str) -> Callable[..., Finding]:
    """A judge for "which setting is wrong?"; `question` is the hint for a wrong one."""

    def judge(answer: Any) -> Finding:
        said = setting(answer)
        hint = first_that_holds(
            (said == right, ""), (not said, f"Answer with one of: {', '.join(SETTINGS)}."), (True, question)
        )
        return Finding(passed=said == right, observed=f"you say {answer}", hint=hint)

    return judge


def pool_mended(pool: JsonLike | None) -> Finding:
    """The pool selects the servers."""
    selector = dig(pool, "spec.selector.matchLabels") or {}
    told = ",".join(f"{key}={value}" for key, value in selector.items()) or "nothing"
    hint = (
        "" if selector == LABELS else "Which labels do the pods have? lab.kubectl('get pods --show-labels')."
    )
    return Finding(passed=selector == LABELS, observed=f"the pool selects {told}", hint=hint)


def port_mended(pool: JsonLike | None) -> Finding:
    """The pool has the servers' port."""
    ports = [one.get("number") for one in dig(pool, "spec.targetPorts") or ()]
    hint = "" if ports == [PORT] else "On which port do the servers listen? Their page is at …:8000/metrics."
    told = ", ".join(map(str, ports)) or "none"
    return Finding(passed=not hint, observed=f"the pool's port is {told}", hint=hint)


def turned_away(evicted: Any, rejected: Any, short: LoadResult, small: LoadResult) -> Finding:
    """Which setting answered 503, and which 429."""
    if not short.failures().get(EVICTED) or not small.failures().get(REJECTED):
        seen = f"failures: {short.failures() or 'none'} and {small.failures() or 'none'}"
        return nothing_yet(seen, "Run the two loads again, each behind its own configuration.")
    hint = first_that_holds(
        (
            setting(evicted) != "defaultRequestTTL",
            "503: these were held, and then given up. What limits for how long?",
        ),
        (
            setting(rejected) != "maxRequests",
            "429: these were turned away at the door. What limits how many are held?",
        ),
    )
    return Finding(passed=not hint, observed=f"you say {evicted} and {rejected}", hint=hint)


POOL_ASKS = "The picker holds everything although the servers are idle and healthy: whom does it know at all?"
PORT_ASKS = "It knows four servers and gets no figures from them: where does it ask for them?"

CHECKS: Sequence[Check] = (
    Check(
        "12.pool",
        "the setting by which the picker knows its servers",
        POOL_ASKS,
        blames("selector", POOL_ASKS),
        answers=("answer",),
        copying=True,
        rows=(6,),
    ),
    Check(
        "12.pool-mended",
        "the InferencePool llm-pool selects the pods with app=llm-model",
        "lab.kubectl('get inferencepool llm-pool -o yaml'): compare its selector with the pods' labels.",
        pool_mended,
        {"pool": "inferencepool/llm-pool"},
        settles=True,
        rows=(6,),
    ),
    Check(
        "12.port",
        "the setting by which the picker gets no figures, so that every server counts as full",
        PORT_ASKS,
        blames("targetPorts", PORT_ASKS),
        answers=("answer",),
        copying=True,
        rows=(6,),
    ),
    Check(
        "12.port-mended",
        "the InferencePool llm-pool has the port on which the servers listen",
        "lab.kubectl('get pods -o yaml') shows containerPort; compare it with the pool's targetPorts.",
        port_mended,
        {"pool": "inferencepool/llm-pool"},
        settles=True,
        rows=(6,),
    ),
    Check(
        "12.turned-away",
        "the settings by which requests were answered 503, and 429",
        "One limits how long a request is held, the other how many are.",
        turned_away,
        answers=("evicted", "rejected"),
        copying=True,
        rows=(11,),
    ),
)
