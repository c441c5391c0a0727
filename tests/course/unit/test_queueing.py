"""What a run tells about queues, from rows with known times."""

from __future__ import annotations

from pathlib import Path

import pytest

from course.queueing import load_point, queue_met
from labkit.load.results import LoadResult
from labkit.load.rows import Row


def run(*times: tuple[float, float, float], seconds: float = 120) -> LoadResult:
    """Requests as (due, first token, end)."""
    rows = tuple(Row(i, due, due, end, "ok", first=first) for i, (due, first, end) in enumerate(times))
    plan = {"clock": 15, "shape": {"kind": "open", "seconds": seconds}}
    return LoadResult(Path("none"), plan, 0.0, rows, (), "done")


def test_each_request_meets_those_that_came_before_and_still_wait() -> None:
    one_at_a_time = run((0, 1, 11), (2, 12, 22), (3, 23, 33), (4, 34, 44), (40, 45, 55))
    assert queue_met(one_at_a_time) == [(0, 1), (0, 10), (1, 20), (2, 30), (0, 5)]


def test_a_request_without_a_token_is_left_out() -> None:
    rows = (*run((0, 1, 11)).rows, Row(9, 5, 5, 90, "abandoned"))
    result = LoadResult(Path("none"), {"clock": 15, "shape": {"seconds": 60}}, 0.0, rows, (), "done")
    assert queue_met(result) == [(0, 1)]


def test_a_server_that_keeps_up_answers_what_is_offered() -> None:
    every_two = load_point(run(*((2 * i, 2 * i + 0.1, 2 * i + 10) for i in range(60))))
    assert every_two.offered == pytest.approx(0.5)
    assert every_two.answered == pytest.approx(0.5, rel=0.03)
    assert every_two.ttft_p95 == pytest.approx(0.1)
    assert every_two.time == pytest.approx(10)


def test_littles_law_holds_past_the_knee_too() -> None:
    late = load_point(run(*((2 * i, 4 * i, 4 * i + 4) for i in range(60))))
    assert late.offered == pytest.approx(2 * late.answered, rel=0.05)
    assert late.in_system == pytest.approx(late.arrivals * late.time, rel=0.05)
