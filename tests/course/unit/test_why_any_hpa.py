"""`labkit why` never fails on an HPA that the API server accepts, nor on a status that anybody wrote.

What it accepts: ValidateHorizontalPodAutoscaler in pkg/apis/autoscaling/validation of Kubernetes 1.37.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course.hpa.arithmetic import decide
from course.hpa.policy import Policy
from course.hpa.proposal import NO_TARGET
from course.hpa.readings import Look, Reading, Sample
from course.why import questions
from course.why.flags import Flags
from course.why.follow import Follower
from course.why.show import to_json
from course.why.snapshot import Snapshot
from tests.course.unit.why_world import NOW, condition, hpa, pod, scale

QUANTITIES = st.sampled_from(["1", "500m", "1n", "0.1", "1e3", "5E2", "16Gi", "1Ei", "12E", "2500u", "3k"])
TYPES = st.sampled_from(["Utilization", "Value", "AverageValue"])
NAMES = st.sampled_from(["cpu", "memory", "queue", "s0-prometheus", "vllm:waiting"])


def target(*fields: str) -> st.SearchStrategy[dict[str, Any]]:
    """A target with these fields set; its `type` need not agree, and the server accepts that."""
    values = {f: st.integers(1, 500) if f == "averageUtilization" else QUANTITIES for f in fields}
    return st.fixed_dictionaries({"type": TYPES, **values})


SHARE = target("averageValue")
EITHER = SHARE | target("value")
OF_RESOURCE = SHARE | target("averageUtilization")
METRIC = st.fixed_dictionaries({"name": NAMES}, optional={"selector": st.just({"matchLabels": {"a": "b"}})})
ABOUT = st.sampled_from(
    [
        {"kind": "Namespace", "name": "shop", "apiVersion": "v1"},
        {"kind": "Service", "name": "web"},
        {"kind": "Ingress", "name": "web", "apiVersion": "networking.k8s.io/v1"},
    ]
)


def source(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    field = kind[0].lower() + kind[1:]
    return st.fixed_dictionaries({"type": st.just(kind), field: st.fixed_dictionaries(fields)})


METRICS = st.lists(
    source("Resource", name=NAMES, target=OF_RESOURCE)
    | source("ContainerResource", name=NAMES, container=st.sampled_from(["c", "other"]), target=OF_RESOURCE)
    | source("Pods", metric=METRIC, target=SHARE)
    | source("Object", metric=METRIC, describedObject=ABOUT, target=EITHER | target("value", "averageValue"))
    | source("External", metric=METRIC, target=EITHER),
    min_size=1,
    max_size=3,
)
STEPS = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["Pods", "Percent"]),
            "value": st.integers(1, 1000),
            "periodSeconds": st.integers(1, 1800),
        }
    ),
    min_size=1,
    max_size=3,
)
RULES = st.fixed_dictionaries(
    {"policies": STEPS},
    optional={
        "stabilizationWindowSeconds": st.integers(0, 3600),
        "selectPolicy": st.sampled_from(["Max", "Min", "Disabled"]),
        "tolerance": st.sampled_from(["0", "50m", "0.5", "10"]),
    },
)
SPECS = st.fixed_dictionaries(
    {"minReplicas": st.integers(0, 5), "maxReplicas": st.integers(5, 2000)},
    optional={"behavior": st.fixed_dictionaries({}, optional={"scaleUp": RULES, "scaleDown": RULES})},
)
REASONS = st.sampled_from(
    ["ReadyForNewScale", "SucceededRescale", "FailedGetScale", "TooManyReplicas", "New", ""]
)
SENSIBLE = st.builds(
    condition,
    st.sampled_from(["AbleToScale", "ScalingActive", "ScalingLimited", "ScaledToZero"]),
    st.sampled_from(["True", "False", "Unknown"]),
    REASONS,
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
STATUS = st.fixed_dictionaries(
    {},
    optional={
        "currentReplicas": st.integers(0, 3000) | JUNK,
        "desiredReplicas": st.integers(0, 3000) | JUNK,
        "conditions": st.lists(SENSIBLE, max_size=4) | JUNK,
        "currentMetrics": JUNK,
        "lastScaleTime": JUNK,
    },
)
READINGS = (
    st.none()
    | st.builds(Reading, failure=st.text(min_size=1, max_size=5))
    | st.builds(Reading, value=st.integers(0, 10**21))
    | st.builds(
        Reading, st.dictionaries(st.sampled_from(["a", "b", "c"]), st.builds(Sample, st.integers(0, 10**21)))
    )
)
PODS = st.none() | st.lists(
    st.builds(
        pod,
        st.sampled_from(["a", "b", "c"]),
        phase=st.sampled_from(["Running", "Pending", "Failed"]),
        ready=st.booleans(),
        cpu=st.sampled_from(["0", "100m", "2"]),
    ),
    max_size=3,
    unique_by=lambda found: str(found["metadata"]["name"]),
)


@st.composite
def looks(draw: st.DrawFn) -> list[Snapshot]:
    """The same HPA, looked at a few times, with anything in its status and around it."""
    metrics, spec = draw(METRICS), draw(SPECS)
    found = []
    for i in range(draw(st.integers(1, 4))):
        readings = tuple(draw(READINGS) for _ in metrics)
        pods, count = draw(PODS), draw(st.integers(0, 9))
        target = draw(st.none() | st.just(scale(count)))
        obj = hpa(metrics, draw(STATUS), **spec)
        found.append(Snapshot(NOW + 15 * i, obj, target, "", None if pods is None else tuple(pods), readings))
    return found


@given(looks())
def test_it_says_a_sentence_about_any_hpa(seen: list[Snapshot]) -> None:
    follower = Follower(Flags())
    for look in seen:
        found = follower.take(look)
        assert found is None or found.why
        if found is not None:
            json.dumps(to_json(found, namespace="shop"))


@given(METRICS)
def test_every_metric_is_asked_for_in_one_request(metrics: list[dict[str, Any]]) -> None:
    for metric in metrics:
        asked = questions.ask(
            metric, namespace="shop", selector="app=web", place=lambda _, kind: kind.lower()
        )
        assert asked.group == questions.GROUPS[metric["type"]]
        assert asked.path.startswith("namespaces/shop/")


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        (
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Value", "averageValue": "1"}},
            },
            "AverageValue",
        ),
        (
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Value", "averageUtilization": 9}},
            },
            "Utilization",
        ),
        (
            {
                "type": "External",
                "external": {"metric": {"name": "q"}, "target": {"type": "Utilization", "value": "3"}},
            },
            "Value",
        ),
        (
            {
                "type": "Pods",
                "pods": {"metric": {"name": "q"}, "target": {"type": "Value", "averageValue": "3"}},
            },
            "AverageValue",
        ),
    ],
)
def test_the_field_that_is_set_counts_whatever_the_type_says(metric: dict[str, Any], kind: str) -> None:
    """The controller looks at the field; the server does not compare it with `type`."""
    assert Policy.of(hpa([metric])).targets[0].kind == kind


def test_for_an_object_the_type_has_to_agree() -> None:
    """There the controller looks at both, and fails if they differ."""
    about = {"kind": "Service", "name": "web"}
    body = {
        "metric": {"name": "q"},
        "describedObject": about,
        "target": {"type": "Utilization", "value": "3"},
    }
    policy = Policy.of(hpa([{"type": "Object", "object": body}]))
    decision, _ = decide(policy, Look(0.0, 2, (), (Reading(value=9),)))
    assert (decision.desired, decision.failure) == (2, NO_TARGET)
