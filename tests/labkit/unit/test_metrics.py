"""The pure parts of `labkit.metrics`: names in a query, reasons for an empty answer, units."""

from __future__ import annotations

import pytest

from labkit.errors import BadInput
from labkit.metrics.client import lab_seconds
from labkit.metrics.reasons import Known, names, why_empty
from labkit.metrics.series import Rows, Sample, Series

WAITING = "vllm:num_requests_waiting"
UP = {"health": "up", "labels": {"instance": "pod-a"}}
DOWN = {"health": "down", "labels": {"instance": "pod-b"}, "lastError": "connection refused"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (WAITING, [WAITING]),
        (f'sum({WAITING}{{pod=~"a.*"}}) by (pod)', [WAITING]),
        ("rate(a_total[5m]) / on (pod) group_left (node) b", ["a_total", "b"]),
        ("histogram_quantile(0.95, sum(rate(ttft_bucket[1m])) by (le))", ["ttft_bucket"]),
        ('{__name__="x", pod="y"}', ["x"]),
        ("sum by (pod) (up) and on () vector(1)", ["up"]),
        ("up offset 5m > 0", ["up"]),
    ],
)
def test_metric_names_are_found_in_a_query(query: str, found: list[str]) -> None:
    assert names(query) == found


def test_a_misspelt_name_is_told() -> None:
    reason = why_empty("vllm:num_request_waiting", Known([WAITING, "up"], [UP]))
    assert f"Did you mean {WAITING}?" in reason.cause


def test_a_target_that_is_down_is_told() -> None:
    reason = why_empty(WAITING, Known(["up"], [UP, DOWN]))
    assert "pod-b: connection refused" in reason.cause


def test_labels_that_match_nothing_are_told() -> None:
    known = Known([WAITING], [UP], present={WAITING: [{"__name__": WAITING, "pod": "a"}]})
    reason = why_empty(f'{WAITING}{{pod="b"}}', known)
    assert '{pod="a"}' in reason.cause


def test_nothing_scraped_at_all_is_told() -> None:
    assert "scrapes nothing" in why_empty(WAITING, Known([])).cause


def test_the_last_resort_says_when() -> None:
    assert "in those 4 s" in why_empty("up", Known(["up"], [UP], "in those 4 s")).cause


@pytest.mark.parametrize(
    ("step", "seconds"), [("15s", 15), ("2m", 120), ("500ms", 0.5), (3, 3), ("1h", 3600)]
)
def test_steps_are_lab_seconds(step: str | float, seconds: float) -> None:
    assert lab_seconds(step) == seconds


@pytest.mark.parametrize("step", ["", "soon", "-1s", "0", "5 minutes"])
def test_what_is_no_step_is_refused(step: str) -> None:
    with pytest.raises(BadInput, match="not a step"):
        lab_seconds(step)


def test_samples_and_series_carry_numbers() -> None:
    sample = Sample.of({"metric": {"__name__": "up", "pod": "a"}, "value": [10.5, "7"]})
    assert (sample.value, sample.at, repr(sample)) == (7.0, 10.5, 'up{pod="a"} 7')
    matrix = {"metric": {"__name__": "up", "pod": "a"}, "values": [[10, "1"], [11, "NaN"], [12, "3"]]}
    series = Series.of(matrix, start=10, clock=15)
    assert (series.name, series.label) == ("up", "a")
    assert [t for t, _ in series.points] == [0, 15, 30]
    assert series.last() == 3
    assert Series.of({"metric": {}, "values": [[10, "1"]]}, start=10, clock=15).name == "value"
    assert Rows("q", [sample]).by("pod") == {"a": 7.0}
