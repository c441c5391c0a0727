"""`labkit why` explains what the documentation of the HPA's algorithm describes, case by case.

https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course.hpa.policy import Controller
from course.why import explain, reasons
from course.why.flags import Flags
from course.why.follow import Follower, Writer, new
from course.why.snapshot import Snapshot
from tests.course.unit.why_world import KNOWN, NOW, World, condition, hpa, pods, scale, seen, stamp


@dataclass(frozen=True)
class Documented:
    """Numbers of each pod (missing ones are left out), and what has to be said."""

    values: list[float]
    reason: str
    says: str
    after: int
    count: int = 2
    pending: int = 0
    spec: dict[str, Any] = field(default_factory=dict)


CASES = {
    "twice the target doubles": Documented([10, 10], "AboveTarget", "asks for 4", 4),
    "half of the target halves": Documented([2.5, 2.5, 2.5, 2.5], "BelowTarget", "asks for 2", 2, count=4),
    "exactly the target": Documented([5, 5], "WithinTolerance", "within the tolerance", 2),
    "within the tolerance": Documented([5.4, 5.4], "WithinTolerance", "within the tolerance", 2),
    "beyond the tolerance": Documented([6, 6], "AboveTarget", "asks for 3", 3),
    "the HPA's own tolerance": Documented(
        [6, 6],
        "WithinTolerance",
        "within the tolerance",
        2,
        spec={"behavior": {"scaleUp": {"tolerance": "0.25"}}},
    ),
    "a pending pod damps the way up": Documented(
        [10, 10], "AboveTarget", "1 pod pending counted as 0", 4, count=3, pending=1
    ),
    "a missing pod counts as 0 on the way up": Documented(
        [10, 10], "AboveTarget", "1 pod without a number counted as 0", 4, count=3
    ),
    "a missing pod counts in full on the way down": Documented(
        [0, 0], "BelowTarget", "1 pod without a number counted as fully used", 1, count=3
    ),
    "missing pods must not turn it round": Documented([6], "WouldChangeDirection", "nothing changes", 2),
    "maxReplicas": Documented(
        [100, 100, 100], "TooManyReplicas", "maxReplicas makes it 5", 5, 3, 0, {"maxReplicas": 5}
    ),
    "minReplicas": Documented(
        [0, 0, 0, 0], "TooFewReplicas", "minReplicas makes it 3", 3, 4, 0, {"minReplicas": 3}
    ),
    "more than maxReplicas at once": Documented(
        [5, 5, 5], "TooManyReplicas", "whatever the metrics say", 2, 3, 0, {"maxReplicas": 2}
    ),
    "one sync doubles at the most": Documented([100] * 3, "ScaleUpLimit", "max(2 × 3, 4)", 6, count=3),
    "a rate that ends at maxReplicas is named after the bound": Documented(
        [100] * 3, "TooManyReplicas", "maxReplicas makes it 6", 6, 3, 0, {"maxReplicas": 6}
    ),
    "a policy of pods": Documented(
        [100] * 3,
        "ScaleUpLimit",
        "1 pods in 60 s",
        4,
        3,
        0,
        {"behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}}},
    ),
    "scaling down is disabled": Documented(
        [0, 0],
        "ScaleDownLimit",
        "behavior.scaleDown is disabled",
        2,
        spec={"behavior": {"scaleDown": {"selectPolicy": "Disabled", "stabilizationWindowSeconds": 0}}},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_documented_cases(name: str) -> None:
    case = CASES[name]
    flags = Flags(Controller(downscale_stabilization=-1), known="a test")
    world = World(spec=case.spec, count=case.count, flags=flags)
    found = world.sync(case.values, pending=case.pending)
    assert found is not None
    assert (found.reason, found.before, found.after) == (case.reason, case.count, case.after)
    assert case.says in found.why
    assert found.source == explain.RECOMPUTED
    past = "before this command began"
    assert all(past in gap and found.decision.limited.by for gap in found.unknown if found.decision)


def test_the_window_holds_the_old_number_and_says_what_it_could_not_see() -> None:
    world = World(count=4)
    world.sync([5, 5, 5, 5])
    held = world.sync([0, 0, 0, 0])
    assert held
    assert held.reason == "ScaleDownStabilized"
    assert "a recent recommendation was higher, so 4 counts" in held.why
    assert any("15 s of a window of 300 s" in gap for gap in held.unknown)


def test_attached_in_the_middle_it_takes_the_controllers_word_for_the_window() -> None:
    """The recommendation that counts was made before this command began: no API has it."""
    world = World(count=4)
    world.sync([5] * 4)
    world.sync([0] * 4)
    fresh = Follower(KNOWN).take(seen(world.hpa, [0] * 4, count=4, at=world.at))
    assert fresh
    assert (fresh.reason, fresh.after) == ("ScaleDownStabilized", 4)
    assert any("before this command began" in gap for gap in fresh.unknown)


def test_attached_in_a_steady_state_it_recomputes_what_the_controller_does() -> None:
    """A controller that has run for long has forgotten the number that it began with."""
    world = World(count=2, spec={"minReplicas": 2})
    for _ in range(22):
        world.sync([0] * 2)
    fresh = Follower(KNOWN).take(seen(world.hpa, [0] * 2, count=2, at=world.at))
    assert fresh
    assert (fresh.reason, fresh.after, fresh.source) == ("TooFewReplicas", 2, explain.RECOMPUTED)


def test_after_the_window_it_scales_down() -> None:
    world = World(count=4)
    world.sync([5] * 4)
    for _ in range(19):
        world.sync([0] * 4)
    found = world.sync([0] * 4, after=15)
    down = found if found and found.scales else world.sync([0] * 4)
    assert down
    assert (down.before, down.after, down.reason) == (4, 1, "TooFewReplicas")


def test_a_window_that_ended_a_moment_earlier_than_was_seen_is_not_said_to_hold() -> None:
    """When a sync without news was is known to one period: its recommendation may be older than it seems."""
    world = World(count=4)
    world.sync([5] * 4)
    world.follower.take(seen(world.hpa, [5] * 4, count=4, at=NOW + 16))
    world.at = NOW + 17
    found = None
    while world.count == 4:
        found = world.sync([0] * 4)
    assert found
    assert (found.before, found.after, found.reason) == (4, 1, "TooFewReplicas")
    assert found.source == explain.RECOMPUTED
    assert "recent recommendation" not in found.why


def test_a_rescale_of_the_window_is_inferred_where_the_rescales_message_took_its_place() -> None:
    world = World(count=8, spec={"minReplicas": 1})
    world.sync([5] * 8)
    world.sync([3] * 8)  # asks for 5
    for _ in range(19):
        world.sync([0.6] * 8)
    said = [r for r in world.said if r == "ScaleDownStabilized"]
    assert said


def test_silent_syncs_leave_no_trace_and_no_sentence() -> None:
    world = World()
    assert world.sync([5, 5])
    assert world.sync([5, 5]) is None


def test_numbers_that_were_not_seen_are_taken_from_the_status() -> None:
    """The look got other numbers than the controller did: its own average counts."""
    world = World()
    world.sync([5, 5])
    before = dict(world.status)
    world.sync([10, 10])
    follower = Follower(KNOWN)
    follower.take(seen(hpa(status=before), [5, 5], count=2))
    found = follower.take(seen(hpa(status=world.status), [5, 5], count=4, at=NOW + 15))
    assert found
    assert (found.source, found.reason, found.before, found.after) == (explain.STATUS, "AboveTarget", 2, 4)
    assert "queue is 10 per pod" in found.why
    assert any("averages in the HPA's status" in gap for gap in found.unknown)


def test_without_the_right_to_see_pods_and_metrics_the_status_still_tells() -> None:
    world = World()
    world.sync([10, 10])
    blind = replace(
        seen(world.hpa, None, count=4),
        pods=None,
        notes=("pods: this user lacks the RBAC verb `list` on pods",),
    )
    found = Follower(Flags()).take(blind)
    assert found
    assert (found.before, found.after) == (2, 4)
    assert "`list` on pods" in found.unknown[0]


def test_flags_that_are_not_known_are_named_where_they_matter() -> None:
    world = World(flags=Flags())
    near = world.sync([5.2, 5.2])
    far = world.sync([50, 50])
    assert near
    assert far
    assert any("tolerance (taken as 0.1)" in gap for gap in near.unknown)
    assert far.unknown == ()


def test_somebody_else_who_sets_the_replicas_is_named() -> None:
    world = World()
    world.sync([5, 5])
    before = world.status
    world.count = 5
    follower = Follower(KNOWN)
    follower.take(seen(hpa(status=before), [5, 5], count=2))
    world.sync([5] * 5)
    by = [Writer("kube-controller-manager", NOW + 9), Writer("kubectl", NOW + 5)]
    found = follower.take(seen(world.hpa, [5] * 5, count=5, at=NOW + 15), writers=lambda: by)
    assert found
    assert "Before that, kubectl (by the managed fields) set 2 → 5." in found.why


@pytest.mark.parametrize("name", [n for n, m in reasons.CONDITIONS.items() if m.fix])
def test_what_is_broken_is_said_in_the_controllers_words_with_a_fix(name: str) -> None:
    kind = "AbleToScale" if name.startswith(("FailedGetScale", "FailedUpdateScale")) else "ScalingActive"
    status = {
        "currentReplicas": 0 if name == "ScalingDisabled" else 2,
        "desiredReplicas": 0 if name == "ScalingDisabled" else 2,
        "conditions": [condition(kind, "False", name, "the server's words")],
    }
    found = Follower(KNOWN).take(seen(hpa(status=status), [5, 5], count=2))
    assert found
    assert found.reason == name
    assert "the server's words" in found.why
    assert found.fix == reasons.CONDITIONS[name].fix
    assert not found.scales


def test_a_controller_that_never_looked_is_no_decision() -> None:
    found = Follower(KNOWN).take(Snapshot(NOW, hpa(), scale(2), "", pods(2), (None,)))
    assert found
    assert (found.reason, found.before, found.after) == ("NotLookedYet", None, None)


def test_only_news_is_told() -> None:
    world = World(count=4)
    first = world.sync([5] * 4)
    again = world.sync([5.1] * 4)
    assert first
    assert again
    assert new(None, first)
    assert not new(first, again)
    up = world.sync([10] * 4)
    assert up
    assert new(again, up)


BEHAVIORS: list[dict[str, Any]] = [
    {},
    {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}},
    {"behavior": {"scaleUp": {"stabilizationWindowSeconds": 45}}},
    {"behavior": {"scaleDown": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 30}]}}},
    {"behavior": {"scaleUp": {"policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}]}}},
]


@given(
    st.sampled_from(BEHAVIORS),
    st.lists(st.floats(0, 60, width=16), min_size=2, max_size=30),
)
def test_whatever_the_load_each_reason_is_the_controllers(spec: dict[str, Any], loads: list[float]) -> None:
    world = World(spec=spec)
    for load in loads:
        found = world.sync([load] * world.count)
        if found is not None:
            assert (found.reason, found.after) == (world.said[-1], world.count), found


def test_a_moment_is_the_one_of_the_look() -> None:
    world = World()
    found = world.sync([10, 10])
    assert found
    assert stamp(found.at) == stamp(NOW + 0.1)
