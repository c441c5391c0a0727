"""The pure parts of `labkit.kube`: conditions, refusals, tables."""

from __future__ import annotations

import json
from typing import Any

import pytest

from labkit.errors import BadInput, ClusterError, Refused
from labkit.kube.conditions import check, parse
from labkit.kube.refusals import refusal
from localcluster.api.objects import KubeObject, Table
from localcluster.api.refusals import unknown_fields
from localcluster.api.resources import Resource
from localcluster.api.schema import steps

POD = Resource("", "v1", "Pod", "pods", "pod", ("po",), namespaced=True)
DEPLOYMENT = Resource("apps", "v1", "Deployment", "deployments", "deployment", ("deploy",), namespaced=True)
HPA = Resource(
    "autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "", ("hpa",), namespaced=True
)


def pod(*, ready: bool = True, phase: str = "Running") -> KubeObject:
    conditions = [{"type": "Ready", "status": str(ready)}]
    return KubeObject(
        {"kind": "Pod", "metadata": {"name": "p"}, "status": {"phase": phase, "conditions": conditions}}
    )


def deployment(wanted: int, **status: int) -> KubeObject:
    meta = {"name": "llm-inference-service", "generation": 2}
    return KubeObject(
        {"kind": "Deployment", "metadata": meta, "spec": {"replicas": wanted}, "status": status}
    )


def waiting(reason: str, restarts: int = 0) -> KubeObject:
    state = {"waiting": {"reason": reason}} if reason else {"running": {}}
    containers = [{"restartCount": restarts, "state": state}]
    return KubeObject({"kind": "Pod", "metadata": {"name": "p"}, "status": {"containerStatuses": containers}})


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "deployment/llm-inference-service available",
            ("deployment", "llm-inference-service", "", "available", "", 0),
        ),
        ("pods ready=3", ("pods", "", "", "ready", "=", 3)),
        ("pods app=llm-model ready>=3", ("pods", "", "app=llm-model", "ready", ">=", 3)),
        ("hpa/llm-hpa desired >= 6", ("hpa", "llm-hpa", "", "desired", ">=", 6)),
        ("node/gpu-node-1 Ready", ("node", "gpu-node-1", "", "ready", "", 0)),
    ],
)
def test_conditions_are_read(text: str, parts: tuple[Any, ...]) -> None:
    c = parse(text)
    assert (c.kind, c.name, c.selector, c.word, c.op, c.number) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pods",
        "pods ready=three",
        "hpa desired=>3",
        "deployment/x is available",
        "pods not ready=2",
        "pod/x not gone",
    ],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="not a condition"):
        parse(text)


def test_a_field_that_can_never_be_counted_is_refused_before_the_wait() -> None:
    with pytest.raises(BadInput, match="desired, current"):
        check(parse("hpa/llm-hpa ready>=3"), HPA)


def test_pods_are_counted() -> None:
    pods = [pod(), pod(), pod(ready=False)]
    assert parse("pods ready=2").holds(POD, pods)
    assert not parse("pods ready=3").holds(POD, pods)
    assert parse("pods total<4").holds(POD, pods)
    assert parse("pods ready=3").seen(POD, pods) == "pods ready=2"
    assert parse("pods ready=0").holds(POD, [])


def test_available_means_the_rollout_is_over() -> None:
    available = parse("deployment/llm-inference-service available")
    done = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
    assert available.holds(DEPLOYMENT, [deployment(2, **done)])
    assert not available.holds(DEPLOYMENT, [deployment(2, **{**done, "observedGeneration": 1})])
    assert not available.holds(DEPLOYMENT, [deployment(2, **{**done, "replicas": 3})])
    assert not available.holds(DEPLOYMENT, [])
    assert "0/2 available" in available.seen(DEPLOYMENT, [deployment(2)])


def test_gone_and_exists() -> None:
    assert parse("pod/p gone").holds(POD, [])
    assert not parse("pod/p gone").holds(POD, [pod()])
    assert parse("pod/p exists").holds(POD, [pod()])
    assert parse("pod/p running").holds(POD, [pod()])


def test_a_condition_that_stands_at_false_is_not_one_that_nobody_set() -> None:
    no = parse("pod/p not Ready")
    assert no.holds(POD, [pod(ready=False)])
    assert not no.holds(POD, [pod()])
    assert not parse("pod/p not Initialized").holds(POD, [pod()])
    assert not no.holds(POD, [])


def status(message: str, code: int, reason: str = "Invalid") -> str:
    return json.dumps({"kind": "Status", "message": message, "reason": reason, "code": code})


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            'spec.containers[0].resources.limits[nvidia.com/gpu]: Invalid value: "500m": must be an integer',
            "whole units",
        ),
        (
            'resources.requests: Invalid value: "1": must be equal to nvidia.com/gpu limit of 2',
            "overcommitted",
        ),
        (
            'limits[coffee]: Invalid value: "coffee": must be a standard resource for containers',
            "contains a domain",
        ),
        ("Required value: Limit must be set for non overcommitable resources", "under `limits`"),
        (
            'pods "x" is forbidden: violates PodSecurity "baseline:latest": host namespaces',
            "Pod Security level",
        ),
        ('pods "x" is forbidden: exceeded quota: gpus', "ResourceQuota"),
    ],
)
def test_a_refusal_keeps_the_servers_words_and_explains_them(message: str, words: str) -> None:
    error = refusal(422, status(message, 422), what="PATCH /x")
    assert isinstance(error, Refused)
    assert error.what == message
    assert words in str(error)


def test_an_unknown_field_is_a_refusal_though_the_server_says_500() -> None:
    said = (
        "failed to create typed patch object (a/x; apps/v1, Kind=Deployment): "
        ".spec.replica: field not declared in schema"
    )
    error = refusal(500, status(said, 500, ""), what="PATCH /x")
    assert isinstance(error, Refused)
    assert error.reason == "UnknownField"
    assert unknown_fields(said) == ["spec.replica"]


def test_a_value_that_is_no_quantity_is_a_refusal_though_the_server_says_500() -> None:
    said = (
        "failed to convert new object (/llm-hpa; autoscaling/v2, Kind=HorizontalPodAutoscaler) to proper "
        "version: unable to convert unstructured object to autoscaling/v2, Kind=HorizontalPodAutoscaler: "
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )
    error = refusal(500, status(said, 500, ""), what="PATCH /x")
    assert isinstance(error, Refused)
    assert "digits" in error.fix


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            ".spec.replicas: expected numeric (int or float), got string",
            "or contains a unit",
        ),
        ("unable to convert unstructured object to apps/v1: cannot convert float64 to int64", "decimals"),
    ],
)
def test_a_number_that_is_none_is_told_from_one_with_decimals(said: str, words: str) -> None:
    error = refusal(500, status(f"failed to convert new object (/x): {said}", 500, ""), what="PATCH /x")
    assert isinstance(error, Refused)
    assert words in error.cause
    assert error.fix


def test_a_broken_server_is_no_refusal() -> None:
    error = refusal(503, "upstream is down", what="GET /apis/x")
    assert isinstance(error, ClusterError)
    assert not isinstance(error, Refused)
    assert "upstream is down" in error.what


def test_paths_are_taken_apart() -> None:
    assert steps('.spec.template.spec.containers[name="c"].resource') == [
        "spec", "template", "spec", "containers", 0, "resource",
    ]  # fmt: skip


def test_a_table_reads_as_kubectls() -> None:
    table = Table.printed(
        {
            "columnDefinitions": [{"name": "Name"}, {"name": "Ready"}, {"name": "IP", "priority": 1}],
            "rows": [{"cells": ["a-long-name", "1/1", None]}, {"cells": ["b", "0/1", "10.0.0.1"]}],
        }
    )
    assert repr(table) == "NAME          READY\na-long-name   1/1\nb             0/1"
    assert "<none>" in table.everything()
    assert table.column("ready") == ["1/1", "0/1"]
    assert repr(Table.printed({}, empty="No resources found in x namespace.")).startswith("No resources")


def test_restarts_are_added_up_over_pods() -> None:
    found = [waiting("", 2), waiting("CrashLoopBackOff", 3), pod()]
    assert parse("pods restarts=5").holds(POD, found)
    assert parse("pod/p restarts>=2").holds(POD, found[:1])
    assert not parse("pods restarts>=1").holds(POD, [pod()])


@pytest.mark.parametrize(
    ("reason", "stuck"),
    [
        ("ErrImagePull", 1),
        ("ImagePullBackOff", 1),
        ("CrashLoopBackOff", 1),
        ("CreateContainerConfigError", 1),
        ("ContainerCreating", 0),
        ("PodInitializing", 0),
        ("", 0),
    ],
)
def test_stuck_is_who_waits_after_a_failure(reason: str, stuck: int) -> None:
    assert parse(f"pods stuck={stuck}").holds(POD, [waiting(reason), pod()])
