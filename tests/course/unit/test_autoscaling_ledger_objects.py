"""Whatever objects an audit log holds, the ledger reads it, and says what the controller did for each HPA.

The logs are those of a real run (tests/golden/audit), with events added that are changed copies of its own.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from course.hpa import audit, hpa_v1
from course.hpa.ledger import Ledger, read
from course.hpa.policy import Policy

GOLDEN = Path(__file__).parents[2] / "golden" / "audit"
LOG = "kube-apiserver.log"
CLOCK = 5
SYNCS = 73

Event = dict[str, Any]


def events() -> list[Event]:
    return [json.loads(line) for line in (GOLDEN / LOG).read_text().splitlines()]


def about(found: Event, resource: str, verb: str, sub: str | None = None) -> bool:
    ref = found["objectRef"]
    return (ref["resource"], found["verb"], ref.get("subresource")) == (resource, verb, sub)


def hpa_write() -> Event:
    """The write of the run's HPA; before it labkit asked for the same with dryRun=All."""
    return next(
        e
        for e in events()
        if about(e, "horizontalpodautoscalers", "patch") and "dryRun" not in e["requestURI"]
    )


def later(found: Event, seconds: float) -> Event:
    """A copy, so much later."""
    made = copy.deepcopy(found)
    for key in ("requestReceivedTimestamp", "stageTimestamp"):
        made[key] = (datetime.fromisoformat(made[key]) + timedelta(seconds=seconds)).isoformat()
    return made


def other_hpa(name: str, *, seconds: float = 0.01, **spec: Any) -> Event:
    """The write of another HPA beside the run's own."""
    made = later(hpa_write(), seconds)
    made["objectRef"]["name"] = name
    made["responseObject"]["metadata"] |= {"name": name, "uid": f"uid-of-{name}"}
    made["responseObject"]["spec"] |= spec
    return made


def target(name: str, kind: str = "Deployment", version: str = "apps/v1") -> Event:
    return {"apiVersion": version, "kind": kind, "name": name}


def looks_in_vain(name: str) -> list[Event]:
    """The controller's looks at the scale of a target that is not there."""
    message = f'deployments.apps "{name}" not found'
    found = []
    for event in (later(e, 0.001) for e in events() if about(e, "deployments", "get", "scale")):
        event["objectRef"]["name"] = name
        event["responseStatus"] = {"status": "Failure", "message": message, "reason": "NotFound", "code": 404}
        event["responseObject"] = {"kind": "Status", "apiVersion": "v1", "metadata": {}} | event[
            "responseStatus"
        ]
        found.append(event)
    return found


def said(name: str, *conditions: tuple[str, str, str, str], replicas: int = 2, desired: int = 2) -> Event:
    """The controller's write of an HPA's status."""
    write = next(e for e in events() if about(e, "horizontalpodautoscalers", "update", "status"))
    made = later(write, 1)
    made["objectRef"]["name"] = name
    keys = ("type", "status", "reason", "message")
    told = [dict(zip(keys, each, strict=True)) for each in conditions]
    status = {"currentReplicas": replicas, "desiredReplicas": desired, "conditions": told}
    made["requestObject"] = {"metadata": {"name": name, "namespace": "llm-lab"}, "spec": {}, "status": status}
    return made


def ledger(folder: Path, *more: Event, change: Callable[[Event], Event] = lambda e: e) -> Ledger:
    """The ledger of the run's logs with these events among them."""
    write(folder, [*map(change, events()), *more])
    return read(folder, clock=CLOCK)


def write(folder: Path, found: Iterable[Event]) -> None:
    shutil.copy(GOLDEN / "prometheus-adapter.log", folder)
    ordered = sorted(found, key=lambda e: str(e["stageTimestamp"]))
    (folder / LOG).write_text("".join(json.dumps(e, separators=(",", ":")) + "\n" for e in ordered))


def test_an_hpa_whose_target_is_misspelt_spoils_nothing_and_its_own_lines_say_why(tmp_path: Path) -> None:
    bad = other_hpa("misspelt", scaleTargetRef=target("llm-infrence"))
    found = ledger(tmp_path, bad, *looks_in_vain("llm-infrence"))
    assert (len(found.of("llm-hpa").lines), found.of("llm-hpa").agreement) == (SYNCS, 1.0)
    mine = found.of("misspelt")
    assert len(mine.lines) > SYNCS / 2
    reason = 'deployments.apps "llm-infrence" not found'
    whys = {line.why for line in mine.lines}
    assert whys == {f"Does nothing: the scale of deployments/llm-infrence can't be read ({reason})."}
    row = mine.lines[0].row()
    assert (row["desired"], row["did"], row[""]) == ("-", "-", "✓")
    assert len(mine.telling().lines) == 1


def test_a_target_of_an_unknown_kind_is_told_in_the_controllers_words(tmp_path: Path) -> None:
    message = "the HPA controller was unable to get the target's current scale: no matches for kind"
    bad = other_hpa("odd", scaleTargetRef=target("llm", kind="deployment"))
    found = ledger(tmp_path, bad, said("odd", ("AbleToScale", "False", "FailedGetScale", message)))
    assert found.of("llm-hpa").agreement == 1.0
    (line,) = found.of("odd").lines
    assert line.sentence == f"Does nothing: {message}. (as reported by the HPA's status; not recomputed)"
    assert line.row()[""] == "–"
    assert "1 more as reported by the HPA's status" in str(found)
    assert found.agreement == 1.0


def test_of_two_hpas_on_one_target_both_are_told_and_neither_is_judged(tmp_path: Path) -> None:
    spec = hpa_write()["responseObject"]["spec"]
    message = "pods by selector app=llm-model are controlled by more than one HPA (e.g. [llm-hpa second])"
    ambiguous = ("ScalingActive", "False", "AmbiguousSelector", message)
    second = other_hpa("second", **spec)
    found = ledger(tmp_path, second, said("second", ambiguous), said("llm-hpa", ambiguous))
    assert [(line.sync.hpa, line.why) for line in found.lines] == [
        ("second", f"Stays at 2: {message}."),
        ("llm-hpa", f"Stays at 2: {message}."),
    ]
    assert not any(line.judged for line in found.lines)


def test_a_selector_that_finds_two_hpas_is_the_reason_why_no_metric_was_asked(tmp_path: Path) -> None:
    message = "pods by selector app=llm-model are controlled by more than one HPA (e.g. [llm-hpa canary])"
    told = said("llm-hpa", ("ScalingActive", "False", "AmbiguousSelector", message))
    asked = [e for e in events() if e["objectRef"].get("apiGroup") != "custom.metrics.k8s.io"]
    first = next(e for e in asked if about(e, "deployments", "get", "scale"))
    write(tmp_path, [*asked, told | {k: first[k] for k in ("requestReceivedTimestamp", "stageTimestamp")}])
    found = read(tmp_path, clock=CLOCK)
    assert f"vllm_request_queue_size could not be computed ({message})" in found.lines[1].why


def test_an_hpa_that_was_deleted_and_made_again_begins_with_no_memory(tmp_path: Path) -> None:
    whole = read(GOLDEN, clock=CLOCK)
    at = whole.lines[40].sync.look.at - datetime.fromisoformat(hpa_write()["stageTimestamp"]).timestamp()
    gone = later(hpa_write(), at)
    gone["verb"] = "delete"
    status = {"kind": "Status", "metadata": {}, "status": "Success", "details": {"name": "llm-hpa"}}
    gone["responseObject"] = status
    again = later(hpa_write(), at + 5)
    again["responseObject"]["metadata"]["uid"] = "another"
    found = ledger(tmp_path, gone, again)
    uids = [line.sync.uid for line in found.lines]
    assert uids == sorted(uids, key=lambda uid: uid == "another")
    assert len(found.lines) == pytest.approx(SYNCS - 2, abs=1)  # 5 s without an HPA are two syncs


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    dry = other_hpa("llm-hpa", seconds=30, maxReplicas=3)
    dry["requestURI"] += "&dryRun=All"
    assert ledger(tmp_path, dry).agreement == 1.0


@pytest.mark.parametrize(
    "selector",
    ["app=llm-model,track in (canary,stable),!old", "app==llm-model,track", "app in (llm-model),track!=x"],
)
def test_deployments_may_select_their_pods_by_expressions(tmp_path: Path, selector: str) -> None:
    def expressed(event: Event) -> Event:
        if about(event, "deployments", "get", "scale"):
            event["responseObject"]["status"]["selector"] = selector
        if event["objectRef"]["resource"] == "pods" and "metadata" in event.get("responseObject", {}):
            event["responseObject"]["metadata"].setdefault("labels", {})["track"] = "stable"
        return event

    found = ledger(tmp_path, change=expressed)
    assert len(found.lines) == SYNCS
    seen = [line.sync.look.pods for line in found.lines]
    assert list(map(len, seen)) == [len(line.sync.look.pods) for line in read(GOLDEN, clock=CLOCK).lines]


def test_writes_whose_body_was_not_kept_or_is_a_list_are_survived(tmp_path: Path) -> None:
    bare = later(hpa_write(), 20)
    del bare["responseObject"]
    patch = later(hpa_write(), 25)
    patch["requestObject"] = [{"op": "replace", "path": "/spec/maxReplicas", "value": 10}]
    evicted = later(next(e for e in events() if about(e, "pods", "create")), 30)
    evicted["objectRef"]["subresource"] = "eviction"
    assert ledger(tmp_path, bare, patch, evicted).agreement == 1.0


def test_half_a_line_in_the_middle_and_lines_that_are_no_requests_are_passed_over(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path, dirs_exist_ok=True)
    log = tmp_path / LOG
    lines = log.read_text().splitlines()
    lines[60] = (
        '{"kind":"Event","level":"Request"' + f'{{"kind":"Event",{lines[60][1:]}'
    )  # killed, and on again
    junk = ['{"kind":"Event","verb":"get"}', "[]", "null", '"text"', "\x00\x00", '{"user":null,"verb":"get"}']
    log.write_text("\n".join([*lines[:100], *junk, *lines[100:]]) + "\n")
    assert len(audit.read(tmp_path)) == len(audit.read(GOLDEN))
    assert read(tmp_path, clock=CLOCK).agreement == 1.0


def as_v1(hpa: Event) -> Event:
    """What `kubectl get hpa.v1.autoscaling` gives for an HPA on a Pods metric."""
    (metric,) = hpa["spec"]["metrics"]
    old = {
        "metricName": metric["pods"]["metric"]["name"],
        "targetAverageValue": metric["pods"]["target"]["averageValue"],
    }
    notes = {"autoscaling.alpha.kubernetes.io/metrics": json.dumps([{"type": "Pods", "pods": old}])}
    spec = {k: v for k, v in hpa["spec"].items() if k not in {"metrics", "behavior"}}
    return hpa | {
        "apiVersion": "autoscaling/v1",
        "spec": spec,
        "metadata": hpa["metadata"] | {"annotations": notes},
    }


def test_an_hpa_written_in_version_1_gives_the_same_ledger(tmp_path: Path) -> None:
    def older(event: Event) -> Event:
        if about(event, "horizontalpodautoscalers", "patch"):
            event["responseObject"] = as_v1(event["responseObject"])
        return event

    assert "behavior" not in hpa_write()["responseObject"]["spec"]
    found = ledger(tmp_path, change=older)
    assert (len(found.lines), found.agreement) == (SYNCS, 1.0)


def test_version_1_has_a_field_for_cpu_and_annotations_for_all_else() -> None:
    behavior = {"ScaleDown": {"StabilizationWindowSeconds": 60, "Policies": None, "SelectPolicy": "Min"}}
    written = {
        "apiVersion": "autoscaling/v1",
        "metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/behavior": json.dumps(behavior)}},
        "spec": {"maxReplicas": 4, "targetCPUUtilizationPercentage": 50, "scaleTargetRef": target("llm")},
    }
    policy = Policy.of(hpa_v1.hpa(written))
    assert [(t.source, t.name, t.kind, t.amount) for t in policy.targets] == [
        ("Resource", "cpu", "Utilization", 50)
    ]
    assert policy.behavior is not None
    assert (policy.behavior.down.window, policy.behavior.down.select) == (60, "Min")


def test_the_broken_hpas_of_a_real_run_are_told_beside_each_other() -> None:
    """A misspelt name, an unknown kind, two releases under one selector, and one without data."""
    found = read(GOLDEN.with_name("audit-broken"), clock=15)
    assert found.agreement == 1.0
    last = {line.sync.hpa: line for line in found.lines}
    assert set(last) == {"misspelt", "odd", "stable", "canary", "qa"}
    assert [name for name, line in last.items() if not line.judged] == ["odd"]
    assert 'deployments.apps "qaa" not found' in last["misspelt"].why
    assert 'no matches for kind "Deploymnet" in group "apps"' in last["odd"].why
    for name in ("stable", "canary"):
        assert "are controlled by more than one HPA" in last[name].why
        assert [line.did for line in found.of(name).lines] == [2] * len(found.of(name).lines)
