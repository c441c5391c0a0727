"""What Kubernetes' own suite asks of the HPA's `behavior`, by its names; seconds are lab seconds.

The sources are its horizontal_pod_autoscaling_behavior.go and horizontal_pod_autoscaling.go: the same
numbers of replicas, windows and rates. A lower bound is what the API promises (no sooner than the window);
an upper one is how long a test waits at all.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.cluster.live.autoscaling.world import Consumer, limited, windows

MINUTE = 60
REACTION = 100
"""A metric is measured, scraped and served, and the controller looks again: upstream's allowance."""

SYNC = 20
"""A window begins with the controller's last look before the demand changed, 15 s ago at most; and the test
sees a change a moment after it was made."""

Scenario = Callable[[Consumer], None]


def scale_down_soon_after_the_stabilization_period(consumer: Consumer) -> None:
    consumer.start(1)
    consumer.autoscale(1, 5, windows(0, MINUTE))
    consumer.demand(3)
    consumer.reaches(3)
    consumer.demand(2)
    assert consumer.reaches(2) > MINUTE - SYNC


def scale_up_only_after_the_stabilization_period(consumer: Consumer) -> None:
    consumer.start(2)
    consumer.autoscale(1, 10, windows(3 * MINUTE, 0))
    consumer.demand(1)
    consumer.reaches(1)
    consumer.demand(3)
    assert consumer.reaches(3) > 3 * MINUTE - SYNC


def no_scale_up_where_it_is_disabled(consumer: Consumer) -> None:
    consumer.start(1)
    consumer.autoscale(1, 10, {"scaleUp": {"selectPolicy": "Disabled"}})
    consumer.demand(8)
    consumer.stays(1, 1, REACTION + MINUTE)


def no_scale_down_where_it_is_disabled(consumer: Consumer) -> None:
    consumer.start(3)
    consumer.autoscale(1, 10, {"scaleDown": {"selectPolicy": "Disabled"}})
    consumer.demand(1)
    consumer.stays(3, 3, REACTION + 5 * MINUTE)


def scale_up_no_more_than_a_number_of_pods_per_minute(consumer: Consumer) -> None:
    consumer.start(1)
    consumer.autoscale(1, 10, limited("scaleUp", "Pods", 1))
    consumer.demand(3)
    consumer.reaches(2)
    assert consumer.reaches(3) > MINUTE - SYNC


def scale_down_no_more_than_a_number_of_pods_per_minute(consumer: Consumer) -> None:
    consumer.start(3)
    consumer.autoscale(1, 10, limited("scaleDown", "Pods", 1))
    consumer.demand(1)
    consumer.reaches(2)
    assert consumer.reaches(1) > MINUTE - SYNC


def scale_up_no_more_than_a_percentage_per_minute(consumer: Consumer) -> None:
    consumer.start(2)
    consumer.autoscale(1, 10, limited("scaleUp", "Percent", 50))
    consumer.demand(8)
    consumer.reaches(3)
    assert consumer.reaches(5) > MINUTE - SYNC  # the ceiling of 3 × 1.5


def scale_down_no_more_than_a_percentage_per_minute(consumer: Consumer) -> None:
    consumer.start(7)
    consumer.autoscale(1, 10, limited("scaleDown", "Percent", 25))
    consumer.demand(1)
    consumer.reaches(5)
    assert consumer.reaches(3) > MINUTE - SYNC  # the floor of 5 × 0.75


def recommendation_within_the_range_over_two_stabilization_windows(consumer: Consumer) -> None:
    consumer.start(1)
    consumer.autoscale(1, 5, windows(3 * MINUTE, 3 * MINUTE))
    consumer.demand(3)
    consumer.stays(1, 1, 3 * MINUTE - SYNC)
    consumer.reaches(3)
    consumer.demand(2)
    consumer.stays(3, 3, 3 * MINUTE - SYNC)
    consumer.reaches(2)


def recommendation_within_the_range_with_stabilization_window_and_pod_limit_rate(consumer: Consumer) -> None:
    consumer.start(2)
    down = {"scaleDown": {"stabilizationWindowSeconds": 3 * MINUTE}}
    consumer.autoscale(2, 5, limited("scaleUp", "Pods", 1, 2 * MINUTE) | down)
    consumer.demand(4)
    consumer.stays(2, 3, 2 * MINUTE - SYNC)
    consumer.reaches(4)
    consumer.demand(2)
    consumer.stays(4, 4, 3 * MINUTE - SYNC)
    consumer.reaches(2)


def no_scale_with_a_large_configurable_tolerance(consumer: Consumer) -> None:
    consumer.start(1)
    consumer.autoscale(1, 10, {way: {"tolerance": "10"} for way in ("scaleUp", "scaleDown")})
    consumer.demand(8)
    consumer.stays(1, 1, REACTION + MINUTE)


def scale_with_a_small_configurable_tolerance(consumer: Consumer) -> None:
    """Beyond upstream's: 15 % over the target is more than the default tolerance, and less than this one."""
    consumer.start(2)
    consumer.autoscale(1, 10, {"scaleUp": {"tolerance": "0.5"}})
    consumer.demand(2.8)
    consumer.stays(2, 2, REACTION)
    consumer.kube.patch("hpa/consumer", {"spec": {"behavior": {"scaleUp": {"tolerance": "0.05"}}}})
    consumer.reaches(3)


def scale_up_twice_and_verify_decision_stability(consumer: Consumer) -> None:
    consumer.start(1)
    consumer.autoscale(1, 5, {})
    consumer.demand(3)
    consumer.reaches(3)
    consumer.stays(3, 3, 10 * MINUTE)
    consumer.demand(5)
    consumer.reaches(5)


def scale_down_twice_and_verify_decision_stability(consumer: Consumer) -> None:
    consumer.start(5)
    consumer.autoscale(1, 5, {})
    consumer.demand(3)
    consumer.reaches(3)
    consumer.stays(3, 3, 10 * MINUTE)
    consumer.demand(1)
    consumer.reaches(1)


SCENARIOS: tuple[Scenario, ...] = (
    scale_down_soon_after_the_stabilization_period,
    scale_up_only_after_the_stabilization_period,
    no_scale_up_where_it_is_disabled,
    no_scale_down_where_it_is_disabled,
    scale_up_no_more_than_a_number_of_pods_per_minute,
    scale_down_no_more_than_a_number_of_pods_per_minute,
    scale_up_no_more_than_a_percentage_per_minute,
    scale_down_no_more_than_a_percentage_per_minute,
    recommendation_within_the_range_over_two_stabilization_windows,
    recommendation_within_the_range_with_stabilization_window_and_pod_limit_rate,
    no_scale_with_a_large_configurable_tolerance,
    scale_with_a_small_configurable_tolerance,
    scale_up_twice_and_verify_decision_stability,
    scale_down_twice_and_verify_decision_stability,
)
