"""Checks of "Fix this cluster" in notebook 11: which hop of KEDA's path is broken, whether it is mended."""

from __future__ import annotations

from collections.abc import Sequence

from course.checks.hpa_queue_faults import blames
from course.checks.keda import AGAIN, SCALED, served
from course.checks.production import says_zero, sides
from labkit.checks.check import Check, Finding, first_that_holds, nothing_yet
from labkit.doctor.pipeline import KEDA_HOPS
from localcluster.api import JsonLike
from localcluster.api.objects import KubeObject, dig

NAMES = tuple(hop.name for hop in KEDA_HOPS)
BOTH = ("inference_extension_flow_control_queue_size", "vllm:num_requests_waiting")


def ready(scaled: JsonLike | None) -> Finding:
    """KEDA accepts the ScaledObject, so its trigger can log in."""
    if not scaled:
        return nothing_yet("there is no ScaledObject", AGAIN)
    told = KubeObject(scaled).condition("Ready") or {}
    passed = told.get("status") == "True"
    hint = first_that_holds(
        (passed, ""),
        (
            "empty" in str(told.get("message")),
            "The trigger still logs in with nothing. Which Secret does its TriggerAuthentication name?",
        ),
        (True, "kubectl describe scaledobject: its conditions and events say what is wrong now."),
    )
    return Finding(passed=passed, observed=f"Ready is {told.get('status')}: {told.get('message')}", hint=hint)


def never_empty(scaled: JsonLike | None) -> Finding:
    """The query adds up both queues, and each side is 0 where it has no series."""
    if not scaled:
        return nothing_yet("there is no ScaledObject", AGAIN)
    query = str(dig(scaled, "spec.triggers.0.metadata.query") or "").replace("\n", " ")
    parts = sides(query)
    hint = first_that_holds(
        (
            not all(name in query for name in BOTH),
            "Both queues are to count: the gateway's and the servers'.",
        ),
        (len(parts) < 2, "Two sums, added: a + b. Parentheses around all of it hide the two sides."),
        (not any(map(says_zero, parts)), "Neither side is 0 where it has no series: (… or vector(0))."),
        (
            not all(map(says_zero, parts)),
            "One side still has no value where its series does not exist, and then the sum has none.",
        ),
    )
    return Finding(passed=not hint, observed=f"the query is {query}", hint=hint)


API_ASKS = "KEDA can read its trigger. Who is asked for external metrics, and does it answer?"
LOGIN_ASKS = "No HPA exists at all. Which object does KEDA refuse, and what does its message say?"
EMPTY_ASKS = "Every object is green, and the servers' series are there. Where does 20 become 0?"

CHECKS: Sequence[Check] = (
    Check(
        "11.api-hop",
        "the hop that does not pass requests on",
        API_ASKS,
        blames("metrics API", API_ASKS, NAMES),
        answers=("answer",),
        copying=True,
        rows=(9,),
    ),
    Check(
        "11.api-mended",
        "KEDA's adapter answers external.metrics.k8s.io again",
        "Its spec.service had another namespace and name in the first section of this notebook.",
        served,
        {"services": "apiservices"},
        settles=True,
        rows=(9,),
    ),
    Check(
        "11.login-hop",
        "the hop at which the login is missing",
        LOGIN_ASKS,
        blames("ScaledObject", LOGIN_ASKS, NAMES),
        answers=("answer",),
        copying=True,
        rows=(9,),
    ),
    Check(
        "11.login-mended",
        "the ScaledObject is Ready again",
        "Does the Secret exist that the TriggerAuthentication names? And which login worked before?",
        ready,
        {"scaled": SCALED},
        settles=True,
        rows=(9,),
    ),
    Check(
        "11.empty-hop",
        "the hop at which 20 waiting requests become 0",
        EMPTY_ASKS,
        blames("query", EMPTY_ASKS, NAMES),
        answers=("answer",),
        copying=True,
        rows=(6,),
    ),
    Check(
        "11.empty-mended",
        "the query adds up the gateway's queue and the servers', and each side is 0 where it has no series",
        "`or vector(0)`, in parentheses, on each side of the +.",
        never_empty,
        {"scaled": SCALED},
        settles=True,
        rows=(6,),
    ),
)
