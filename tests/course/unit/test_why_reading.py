"""What `labkit why` reads and asks: flags, metrics' paths, events, managed fields, refusals."""

from __future__ import annotations

from typing import Any

import pytest

from course.hpa.policy import Controller
from course.why import access, flags, past, questions
from course.why.follow import Writer
from labkit.errors import BadInput, Refused, Unreachable
from localcluster import clock
from tests.course.unit.why_world import CPU, NOW, QUEUE, stamp

FLAG = "--horizontal-pod-autoscaler-"


def test_the_flags_of_a_lab_are_those_that_it_starts_with() -> None:
    found = flags.parse(clock.flags(15).kube_controller_manager, source="the lab")
    assert found.controller == Controller().compressed(15)
    assert found.known == "the lab"


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        ([f"{FLAG}sync-period=5s"], "sync", 5.0),
        ([f"{FLAG}sync-period", "1m30s"], "sync", 90.0),
        ([f"{FLAG}tolerance=0.05"], "tolerance", 0.05),
        ([f"{FLAG}downscale-stabilization=0"], "downscale_stabilization", 0.0),
        ([f"{FLAG}initial-readiness-delay=500ms"], "readiness_delay", 0.5),
        ([f"{FLAG}cpu-initialization-period=5m0s"], "cpu_initialization", 300.0),
        (["kube-controller-manager", "--leader-elect=true"], "sync", 15.0),
    ],
)
def test_a_flag_as_the_command_line_has_it(words: list[str], field: str, value: float) -> None:
    assert getattr(flags.parse(words, source="x").controller, field) == pytest.approx(value)


@pytest.mark.parametrize("word", ["tolerance=much", "sync-period=15", "sync-period=", "sync-period"])
def test_a_flag_that_is_none_says_what_it_takes(word: str) -> None:
    with pytest.raises(BadInput, match=FLAG) as caught:
        flags.parse([FLAG + word], source="x")
    assert caught.value.cause.startswith("This flag takes ")


def asked(metric: dict[str, Any]) -> tuple[str, str, dict[str, str]]:
    plurals = {"Service": "services", "Ingress": "ingresses.networking.k8s.io", "Namespace": "namespaces"}
    found = questions.ask(metric, namespace="shop", selector="app=web", place=lambda _, kind: plurals[kind])
    return found.group, found.path, {key: value for key, value in found.params.items() if value}


def of_object(kind: str, name: str) -> dict[str, Any]:
    about = {"kind": kind, "name": name}
    return {"type": "Object", "object": {"metric": {"name": "hits"}, "describedObject": about}}


def test_metrics_are_asked_for_as_the_controller_does() -> None:
    assert asked(CPU) == ("metrics.k8s.io", "namespaces/shop/pods", {"labelSelector": "app=web"})
    custom = "custom.metrics.k8s.io"
    assert asked(QUEUE) == (custom, "namespaces/shop/pods/*/queue", {"labelSelector": "app=web"})
    assert asked(of_object("Namespace", "shop")) == (custom, "namespaces/shop/metrics/hits", {})
    path = "namespaces/shop/ingresses.networking.k8s.io/web/hits"
    assert asked(of_object("Ingress", "web")) == (custom, path, {})
    labels = {"matchLabels": {"scaledobject.keda.sh/name": "web"}}
    external = {"type": "External", "external": {"metric": {"name": "s0", "selector": labels}}}
    chosen = {"labelSelector": "scaledobject.keda.sh/name=web"}
    assert asked(external) == ("external.metrics.k8s.io", "namespaces/shop/s0", chosen)


def event(reason: str, message: str, at: float, **more: Any) -> dict[str, Any]:
    return {"reason": reason, "message": message, "lastTimestamp": stamp(at), **more}


def test_events_tell_the_past_in_order() -> None:
    told = past.from_events(
        [
            event("SuccessfulRescale", "New size: 8; reason: pods metric queue above target", NOW + 30),
            event("SuccessfulRescale", "New size: 4; reason: pods metric queue above target", NOW),
            event("FailedGetPodsMetric", "no metrics returned", NOW + 60, count=7),
            event("FailedComputeMetricsReplicas", "invalid metrics (1 invalid out of 1)", NOW + 60, count=7),
        ],
        about="hpa/web",
    )
    assert [e.why for e in told] == [
        "→ 4: pods metric queue above target.",
        "4 → 8: pods metric queue above target.",
        "There is no usable pod metric: no metrics returned (7 times, the last of them then).",
    ]
    assert past.rescales(told) == [(NOW + 30, 4)]
    assert told[2].fix


def test_an_event_without_anything_is_told_all_the_same() -> None:
    assert past.from_events([{}], about="hpa/web")[0].why.startswith("An event without a reason")


def managed(manager: str, fields: dict[str, Any], at: float) -> dict[str, Any]:
    return {"manager": manager, "time": stamp(at), "fieldsV1": fields}


def test_managed_fields_tell_who_wrote_the_replicas() -> None:
    replicas: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
    entries = [
        managed("kube-controller-manager", replicas, NOW),
        managed("kubectl", replicas, NOW + 1),
        managed("helm", {"f:spec": {"f:template": {}}}, NOW + 2),
    ]
    found = past.writers({"metadata": {"managedFields": entries}})
    assert found == [Writer("kube-controller-manager", NOW), Writer("kubectl", NOW + 1)]
    [told] = past.from_writers(found, about="hpa/web")
    assert told.why.startswith("kubectl wrote spec.replicas")
    assert past.writers({"metadata": {"managedFields": None}}) == []


def test_a_rollout_shows_in_the_replica_sets() -> None:
    def replica_set(name: str, replicas: int, owner: str) -> dict[str, Any]:
        return {
            "metadata": {"name": name, "ownerReferences": [{"uid": owner}]},
            "spec": {"replicas": replicas},
        }

    sets = [replica_set("web-1", 2, "u"), replica_set("web-2", 1, "u"), replica_set("other-1", 2, "v")]
    assert "web-1 2, web-2 1" in past.rollout(sets, owner="u")
    assert past.rollout(sets, owner="v") == ""


FORBIDDEN = (
    'horizontalpodautoscalers.autoscaling "web" is forbidden: User "ada" cannot get resource '
    '"horizontalpodautoscalers" in API group "autoscaling" in the namespace "shop"'
)
PODS = 'pods is forbidden: User "ada" cannot list resource "pods" in API group "" in the namespace "shop"'


def test_a_refusal_names_the_permission_that_is_missing() -> None:
    error = access.denied(Refused(FORBIDDEN, reason="Forbidden"), namespace="shop")
    assert error.what == FORBIDDEN
    assert "RBAC verb `get` on horizontalpodautoscalers.autoscaling in namespace shop" in error.cause
    assert "--verb=get --resource=horizontalpodautoscalers.autoscaling" in error.fix
    assert access.reason(Refused(PODS)) == "this user lacks the RBAC verb `list` on pods"


def test_what_is_refused_becomes_a_note_and_an_api_server_that_is_gone_does_not() -> None:
    notes = access.Notes()

    def refused() -> None:
        raise Refused(PODS)

    def gone() -> None:
        raise Unreachable("The API server does not answer")

    assert notes.tried(refused, "pods") is None
    assert notes.said == ["pods: this user lacks the RBAC verb `list` on pods"]
    with pytest.raises(Unreachable):
        notes.tried(gone, "pods")


@pytest.mark.parametrize(
    ("here", "elsewhere", "cause", "fix"),
    [
        (["llm-hpa", "other"], [], "Did you mean llm-hpa?", "kubectl get hpa -A"),
        (["other"], ["prod"], "There is one in namespace prod.", "Add -n prod."),
        (["other"], [], "The namespace has other.", "kubectl get hpa -A"),
        ([], [], "The namespace has none at all.", "kubectl get hpa -A"),
    ],
)
def test_no_such_name(here: list[str], elsewhere: list[str], cause: str, fix: str) -> None:
    error = access.no_such("hpa", "llm-hap", namespace="shop", here=here, elsewhere=elsewhere)
    assert "hpa/llm-hap in namespace shop" in error.what
    assert cause in error.cause
    assert fix in error.fix


@pytest.mark.parametrize("group", sorted(set(questions.GROUPS.values())))
def test_an_api_that_nobody_serves_says_who_would(group: str) -> None:
    assert f"{group} is not served in this cluster: it takes " in access.not_served(group)
