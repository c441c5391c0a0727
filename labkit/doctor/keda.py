"""From a ScaledObject to the metrics API: whether KEDA accepts it, and whether its query has a value.

Pure judgements, for an HPA that KEDA made or took over. https://keda.sh/docs/latest/scalers/prometheus/
"""

from __future__ import annotations

import difflib
import re

from labkit.doctor import subject
from labkit.doctor.facts import Observation, ScaledObject, Trigger
from labkit.doctor.finding import Finding, broken, ok, skipped, unknown, warning

TRANSFER = "scaledobject.keda.sh/transfer-hpa-ownership"
_AVERAGE, _SUM = re.compile(r"[\s(]*avg\b"), re.compile(r"[\s(]*sum\b")
_NUMBER, _PLUS = re.compile(r"\bvector\("), re.compile(r"\s\+\s")
_SERIES = re.compile(r"\b([a-zA-Z_]+:[a-zA-Z0-9_:]+)")


def scaled_object(seen: Observation) -> Finding:
    """KEDA accepts it: what it scales exists, its triggers can log in, and it is Ready."""
    found = subject.scaled(seen)
    assert found
    ready = found.condition("Ready")
    if lost := next((t for t in found.triggers if t.lacking), None):
        return broken(
            "no-authentication",
            f"scaledobject/{found.name}: {lost.authentication} names {lost.lacking}, which does not exist",
            cause="KEDA takes what is missing for empty, so the trigger can't log in"
            + (f": {ready.message}" if ready and ready.status == "False" else "."),
            fix=f"Create {lost.lacking}, or name one that exists: kubectl get secrets, kubectl get "
            "triggerauthentications,clustertriggerauthentications.",
        )
    return _no_target(seen, found) or _not_ready(found) or _held(found)


def _no_target(seen: Observation, found: ScaledObject) -> Finding | None:
    kind, _, name = found.target.partition("/")
    known = [w.name for w in seen.workloads if w.kind == kind]
    if kind not in subject.KINDS or name in known:
        return None
    close = difflib.get_close_matches(name, known, n=1)
    return broken(
        "no-scale-target",
        f"scaledobject/{found.name} scales {found.target}, which does not exist in namespace "
        f"{seen.namespace}",
        cause=f"Its name is misspelt: did you mean {close[0]}?"
        if close
        else f"{kind}s there: {', '.join(known) or 'none'}.",
        fix=f"Correct spec.scaleTargetRef of the ScaledObject, or create the {kind}.",
    )


def _not_ready(found: ScaledObject) -> Finding | None:
    ready = found.condition("Ready")
    if ready is None or ready.status == "Unknown":
        return unknown(f"KEDA's operator has not looked at scaledobject/{found.name} yet")
    if ready.status == "True" or ready.reason == "TriggerError":  # the query's hop says which, and why
        return None
    if "already exists" in ready.message:
        return broken(
            "hpa-exists",
            f"scaledobject/{found.name} is not Ready: {ready.message}",
            cause="KEDA takes over an HPA only by a new ScaledObject that says so.",
            fix=f'Delete the ScaledObject; then apply it with the annotation {TRANSFER}: "true".',
        )
    return broken(
        "not-ready",
        f"scaledobject/{found.name} is not Ready ({ready.reason}): {ready.message}",
        cause="KEDA can't use it as it is, so it makes no HPA and changes no replicas.",
        fix="Correct what the message names; kubectl describe scaledobject shows all of its events.",
    )


def _held(found: ScaledObject) -> Finding:
    paused, active = found.condition("Paused"), found.condition("Active")
    if paused and paused.status == "True":
        return warning(
            "paused",
            f"scaledobject/{found.name} is paused",
            cause="An annotation autoscaling.keda.sh/paused… is set: KEDA changes nothing.",
            fix=f"kubectl annotate scaledobject {found.name} autoscaling.keda.sh/paused-",
        )
    state = "active" if active and active.status == "True" else "not active"
    return ok(f"scaledobject/{found.name} is Ready, and {state}")


def query(seen: Observation) -> Finding:
    """What the trigger asks Prometheus has one value, and is divided by the pods once."""
    asked = subject.trigger(seen)
    if asked is None or asked.type != "prometheus":
        return skipped(f"a trigger of type {asked.type} asks no Prometheus" if asked else "it has no trigger")
    if not asked.known and not asked.error:
        return unknown("Prometheus can't be queried")
    if asked.error:
        return broken(
            "bad-query",
            f"Prometheus refuses the query {asked.query!r}: {asked.error}",
            cause="It is misspelt: a parenthesis, a quotation mark, a function.",
            fix="Try it in lab.metrics(…), then correct the trigger's `query`.",
        )
    return divided(asked) or _empty(seen, asked) or _answer(asked)


def divided(asked: Trigger) -> Finding | None:
    """An average that is divided by the pods once more, or a sum that is multiplied by them."""
    if _AVERAGE.match(asked.query) and asked.target == "AverageValue":
        return broken(
            "divided-twice",
            f"the query is an average, avg(…), and metricType is AverageValue: {asked.query}",
            cause="AverageValue divides what the query returns by the pods; an average is divided already.",
            fix="Write sum(…) in the query; or keep avg(…), with metricType: Value.",
        )
    if _SUM.match(asked.query) and asked.target == "Value":
        return broken(
            "value-of-a-sum",
            f"the query is a sum, sum(…), and metricType is Value: {asked.query}",
            cause="`Value` multiplies the ready pods by sum / threshold: with the same queue, the more pods "
            "there are, the more it asks for.",
            fix="Write metricType: AverageValue, which divides the sum by the pods; or avg(…) in the query.",
        )
    return None


def can_be_empty(asked: Trigger) -> bool:
    """Whether the query has no value where a series is missing, and KEDA takes that for 0."""
    return asked.empty_is_zero and not all(_NUMBER.search(side) for side in _PLUS.split(asked.query))


def _empty(seen: Observation, asked: Trigger) -> Finding | None:
    if asked.answer:
        return None
    if subject.ready(seen) and not subject.settled(seen):
        return unknown("the query returns nothing yet: the pods are new")
    taken = "which KEDA takes for 0" if asked.empty_is_zero else "which KEDA takes for an error"
    names = [name for name in _SERIES.findall(asked.query) if name not in subject.SOURCES.values()]
    close = difflib.get_close_matches(names[0], subject.SOURCES.values(), n=1, cutoff=0.5) if names else []
    meant = f"There is no series {names[0]}: did you mean {close[0]}? " if close else ""
    return broken(
        "empty-query",
        f"the query returns nothing, {taken}: {asked.query}",
        cause=f"{meant}Where one side of a sum has no series, the whole sum has none"
        + ("; ScaledObject and HPA stay green." if asked.empty_is_zero else "."),
        fix="Correct the name; let each part that may have no series say `or vector(0)`; and "
        'ignoreNullValues: "false" makes an empty answer an error.',
    )


def _answer(asked: Trigger) -> Finding:
    if len(asked.answer) > 1:
        return broken(
            "many-series",
            f"the query returns {len(asked.answer)} series, and KEDA takes one: {asked.query}",
            cause="It does not add the pods up.",
            fix="Write sum(…) around it.",
        )
    return ok(f"the query returns {asked.answer[0]}")
