"""The HPA's arithmetic against the lesson's figures, the documentation's examples, and laws."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from course.hpa.arithmetic import decide, queues
from course.hpa.decision import Decision
from course.hpa.limits import History
from course.hpa.policy import Controller, Policy, Target, thousandths
from course.hpa.readings import Look, Pod, Reading, Sample

LESSON: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[3] / "manifests" / "base" / "hpa.yaml").read_text()
)


def lesson(**spec: Any) -> Policy:
    return Policy.of({"spec": {**LESSON["spec"], **spec}})


def metric(kind: str, name: str, target: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {"target": target}
    body |= {"name": name} if kind == "Resource" else {"metric": {"name": name}}
    return {"type": kind, kind.lower(): body}


CPU = metric("Resource", "cpu", {"type": "Utilization", "averageUtilization": 50})


def path(policy: Policy, *, average: float, start: int = 2, syncs: int = 6, every: float = 15) -> list[int]:
    """Replicas after each sync while every pod always has `average` waiting."""
    found, history = [start], None
    for i in range(syncs):
        decision, history = decide(policy, queues([average] * found[-1], at=i * every), history)
        found.append(decision.desired)
    return found


def test_the_lessons_path_without_behavior() -> None:
    assert path(lesson(), average=50, syncs=4) == [2, 4, 8, 10, 10]


@pytest.mark.parametrize(
    "behavior",
    [{"scaleDown": {"stabilizationWindowSeconds": 60}}, {"scaleUp": {"stabilizationWindowSeconds": 0}}, {}],
)
def test_any_behavior_changes_the_path(behavior: dict[str, Any]) -> None:
    assert path(lesson(behavior=behavior), average=50, syncs=3) == [2, 6, 10, 10]


def test_a_period_longer_than_a_sync_holds_the_second_step_back() -> None:
    assert path(lesson(behavior={}), average=50, syncs=16, every=1) == [2] + [6] * 15 + [10]


def test_the_sentence_names_the_binding_limit() -> None:
    first, history = decide(lesson(), queues([50, 50]))
    assert first.why == (
        "2 → 4: vllm_request_queue_size is 50 per pod against a target of 5, which asks for 20; "
        "without a behavior one sync goes up to max(2 × 2, 4), which allows 4 now."
    )
    assert (first.raw, first.proposed, first.limited.by, first.bounded) == (20, 20, "ScaleUpLimit", "")
    second, _ = decide(lesson(), queues([50] * 8, at=15), history)
    assert "maxReplicas makes it 10" in second.why
    assert "max(2" not in second.why


@pytest.mark.parametrize(
    ("waiting", "desired"),
    [([12, 7, 1], 4), ([5, 6], 2), ([5.5, 5.5], 2), ([5.6, 5.5], 3), ([4.5, 4.5], 2), ([0, 0], 2)],
)
def test_plain_sums_and_the_edge_of_the_tolerance(waiting: list[float], desired: int) -> None:
    # 5.55 per pod: the controller divides whole thousandths, 11100 / 2 = 5550, ratio 1.11, over the edge.
    assert decide(lesson(), queues(waiting))[0].desired == desired


def test_a_tolerance_of_ones_own_for_each_direction() -> None:
    strict = lesson(behavior={"scaleUp": {"tolerance": "0.01"}, "scaleDown": {"tolerance": "0.5"}})
    assert decide(strict, queues([5.1] * 4))[0].desired == 5
    loose = decide(strict, queues([2.5] * 4))[0]
    assert (loose.desired, loose.proposals[0].held) == (4, "tolerance")
    assert decide(strict, queues([2.4] * 4, at=0), None)[0].proposed == 2


def test_pending_pods_count_as_empty_on_the_way_up_and_not_at_all_down() -> None:
    up = decide(lesson(), queues([10, 10], pending=2))[0]
    assert up.desired == 4  # 20 waiting over four pods: just the target
    assert up.proposals[0].raw == 4
    assert "within the tolerance" in up.why
    assert "2 pods pending counted as 0" in up.why
    more = decide(lesson(), queues([20, 20], pending=2))[0]
    assert more.desired == 8
    down = decide(lesson(), queues([1, 1, 1, 1], pending=2))[0]
    assert (down.proposed, down.proposals[0].filled) == (1, None)


def test_pods_without_a_number_hold_back_either_direction() -> None:
    def without(waiting: list[float], missing: int) -> Look:
        look = queues(waiting)
        pods = (*look.pods, *(Pod(f"silent-{i}") for i in range(missing)))
        return replace(look, current=len(pods), pods=pods)

    up = decide(lesson(), without([20, 20], 2))[0]
    assert (up.proposed, up.proposals[0].groups.missing) == (8, ("silent-0", "silent-1"))
    down = decide(lesson(), without([0, 0], 2))[0]
    assert down.proposed == 2  # two silent ones at the target of 5: ten waiting
    turned = decide(lesson(), without([6], 4))[0]
    assert (turned.proposed, turned.proposals[0].held) == (5, "direction")
    assert "change direction" in turned.why


def test_readiness_counts_for_cpu_and_not_for_a_queue() -> None:
    pods = (Pod("old"), Pod("new", ready="False", started=1000.0, changed=1000.0))
    samples = {"old": Sample(20_000, at=1010.0), "new": Sample(0, at=1010.0)}
    look = Look(1020.0, 2, pods, (Reading(samples),))
    assert decide(lesson(), look)[0].proposals[0].groups.counted == ("old", "new")
    asking = tuple(replace(pod, requests={"cpu": 10_000}) for pod in pods)
    groups = decide(lesson(metrics=[CPU]), replace(look, pods=asking))[0].proposals[0].groups
    assert (groups.counted, groups.pending) == (("old",), ("new",))


def test_cpu_utilization_as_in_the_documentation() -> None:
    """200m used against a target of 100m doubles, 50m halves; both in per cent of the request."""

    def cpu(used: int) -> Decision:
        pods = tuple(Pod(f"p{i}", requests={"cpu": 200}) for i in range(4))
        samples = {pod.name: Sample(used) for pod in pods}
        return decide(lesson(metrics=[CPU]), Look(9e9, 4, pods, (Reading(samples),)))[0]

    assert (cpu(200).proposed, cpu(50).proposed) == (8, 2)
    assert "100 % of the request" in cpu(200).why


def test_a_missing_request_is_named() -> None:
    look = Look(9e9, 2, (Pod("a"), Pod("b")), (Reading({"a": Sample(1), "b": Sample(1)}),))
    decision = decide(lesson(metrics=[CPU]), look)[0]
    assert decision.desired == 2
    assert "missing request for cpu in pod a" in decision.why


def test_value_on_a_sum_runs_away_and_average_value_does_not() -> None:
    def outside(kind: str, current: int) -> int:
        target = {"type": kind, kind[0].lower() + kind[1:]: "5"}
        policy = lesson(maxReplicas=100, metrics=[metric("External", "waiting", target)])
        pods = tuple(Pod(f"p{i}") for i in range(current))
        return decide(policy, Look(0, current, pods, (Reading(value=40_000),)))[0].proposed or 0

    assert [outside("AverageValue", n) for n in (2, 8)] == [8, 8]
    assert [outside("Value", n) for n in (2, 16)] == [16, 128]


def test_several_metrics_the_highest_counts_and_a_broken_one_may_not_take_away() -> None:
    policy = lesson(metrics=[*LESSON["spec"]["metrics"], CPU])
    look = queues([1, 1, 1, 1])
    broken = decide(policy, replace(look, readings=(*look.readings, Reading(failure="no metrics"))))[0]
    assert (broken.desired, broken.proposed) == (4, None)
    assert "may not scale down" in broken.why
    high = queues([9, 9, 9, 9])
    up = decide(policy, replace(high, readings=(*high.readings, Reading(failure="no metrics"))))[0]
    assert up.desired == 8
    assert "another metric could not be read" in up.why


def test_scale_in_waits_for_the_highest_of_five_minutes() -> None:
    history: History | None = None
    decision, history = decide(lesson(), queues([10, 10], at=0), history)
    assert decision.desired == 4
    seen = []
    for sync in range(1, 23):
        decision, history = decide(lesson(), queues([0] * 4, at=15.0 * sync), history)
        seen.append(decision.desired)
    assert seen.index(2) + 1 == 21  # 315 s: at 300 s the recommendation of moment 0 still counts
    assert decision.stabilized.by == ""


def test_windows_and_policies_of_a_behavior() -> None:
    slow = lesson(
        behavior={
            "scaleUp": {"stabilizationWindowSeconds": 30},
            "scaleDown": {
                "stabilizationWindowSeconds": 0,
                "selectPolicy": "Min",
                "policies": [
                    {"type": "Pods", "value": 1, "periodSeconds": 60},
                    {"type": "Percent", "value": 50, "periodSeconds": 60},
                ],
            },
        }
    )
    assert path(slow, average=50, syncs=4) == [2, 2, 2, 6, 10]
    assert path(slow, average=0, start=10, syncs=6) == [10, 9, 9, 9, 9, 8, 8]
    never = lesson(behavior={"scaleDown": {"selectPolicy": "Disabled", "stabilizationWindowSeconds": 0}})
    assert path(never, average=0, start=5, syncs=2) == [5, 5, 5]


def test_bounds_act_without_asking_a_metric() -> None:
    silent = (Reading(failure="no metrics"),)
    assert decide(lesson(), replace(queues([1] * 12), readings=silent))[0].desired == 10
    below = decide(lesson(), replace(queues([1]), readings=silent))[0]
    assert (below.desired, below.proposals) == (2, ())


def test_zero_by_hand_switches_off_and_zero_by_the_hpa_does_not() -> None:
    policy = lesson(
        minReplicas=0, metrics=[metric("External", "q", {"type": "AverageValue", "averageValue": "5"})]
    )
    asleep = Look(0, 0, (), (Reading(value=12_000),))
    assert decide(policy, asleep)[0].desired == 0
    assert decide(policy, replace(asleep, scaled_to_zero=True))[0].desired == 3


@pytest.mark.parametrize(("text", "value"), [("5", 5000), ("12500m", 12500), ("1k", 10**6), ("1Ki", 1024000)])
def test_quantities(text: str, value: int) -> None:
    assert thousandths(text) == value


def test_defaults_are_those_of_the_api_server() -> None:
    bare = Policy.of({"spec": {"maxReplicas": 3}})
    assert (bare.minimum, bare.behavior) == (1, None)
    assert bare.targets == (Target("Resource", "cpu", "Utilization", 80),)


# Laws -----------------------------------------------------------------------------------------------------


def cases() -> list[tuple[Policy, Look, random.Random]]:
    found = []
    for seed in range(300):
        rng = random.Random(seed)
        behaviors: list[dict[str, Any]] = [
            {},
            {"behavior": {}},
            {"behavior": {"scaleUp": {"selectPolicy": "Min"}}},
        ]
        behavior = rng.choice(behaviors)
        policy = lesson(minReplicas=rng.randint(1, 3), maxReplicas=rng.randint(3, 40), **behavior)
        waiting = [rng.choice([0, 4.9, 5, 5.5, rng.uniform(0, 60)]) for _ in range(rng.randint(1, 12))]
        found.append((policy, queues(waiting, pending=rng.randint(0, 3)), rng))
    return found


def test_laws() -> None:
    for policy, look, _ in cases():
        decision, history = decide(policy, look)
        assert policy.minimum <= decision.desired <= policy.maximum
        assert decide(policy, look)[0] == decision
        if decision.desired > look.current >= policy.minimum:
            assert decision.desired <= max(2 * look.current, look.current + 4)
            busier = tuple(
                Reading({n: Sample(s.value + 3000) for n, s in r.samples.items()}) for r in look.readings
            )
            assert decide(policy, replace(look, readings=busier))[0].desired >= decision.desired
        assert decision.why.startswith(("Stays at", f"{look.current} →"))
        assert decision.why.endswith(".")
        again, _ = decide(policy, replace(look, at=1.0), history)
        assert again.desired == decide(policy, replace(look, at=1.0), history)[0].desired


def test_a_calm_hpa_stays_calm() -> None:
    """At the target nothing ever changes, whatever the history."""
    for policy, _, rng in cases():
        count = rng.randint(policy.minimum, policy.maximum)
        assert path(policy, average=5, start=count, syncs=3) == [count] * 4


def test_a_lab_clock_changes_nothing_but_the_unit() -> None:
    fast = Controller().compressed(15)
    history: History | None = None
    times = []
    for sync in range(60):
        look = queues([10, 10] if sync == 0 else [0] * 4, at=float(sync))
        decision, history = decide(lesson(), look, history, controller=fast)
        times.append(decision.desired)
    assert times.index(2) == 21
