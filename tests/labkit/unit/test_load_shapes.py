"""Arrivals, users and sizes: seeded, exact, and refused where they make no sense."""

from __future__ import annotations

import json
import random
from pathlib import Path
from statistics import fmean

import pytest

from labkit.errors import BadInput
from labkit.load import Closed, Load, Open, Tokens, Workload, arrivals
from labkit.load.plan import closed_of


def test_the_same_seed_gives_the_same_arrivals() -> None:
    first, again = (arrivals.poisson(rate=2, seconds=100, seed=7) for _ in range(2))
    assert first == again
    assert arrivals.poisson(rate=2, seconds=100, seed=8) != first


def test_poisson_has_the_rate_and_the_spread_of_independent_users() -> None:
    counts = arrivals.poisson(rate=5, seconds=2000, seed=1).per(1)
    mean = fmean(counts)
    spread = fmean((count - mean) ** 2 for count in counts)
    assert mean == pytest.approx(5, rel=0.05)
    assert spread / mean == pytest.approx(1, rel=0.15)


def test_a_ramp_climbs_in_a_straight_line() -> None:
    quarters = arrivals.ramp(start=0, end=8, seconds=1000, seed=3).per(250)
    assert quarters == pytest.approx([250, 750, 1250, 1750], rel=0.12)


def test_a_burst_is_where_it_was_put() -> None:
    coming = arrivals.burst(base=1, peak=10, seconds=300, between=(100, 200), seed=2)
    assert coming.per(100) == pytest.approx([100, 1000, 100], rel=0.3)
    assert list(coming.times) == sorted(coming.times)


def test_even_arrivals_are_a_metronome() -> None:
    assert arrivals.even(rate=4, seconds=1).times == (0, 0.25, 0.5, 0.75)


@pytest.mark.parametrize("rates", [[(5.0, 1.0)], [(0.0, -1.0)], [(0.0, 1.0), (400.0, 1.0)]])
def test_impossible_steps_are_refused(rates: list[tuple[float, float]]) -> None:
    with pytest.raises(BadInput, match="can't follow"):
        arrivals.steps(rates, seconds=300)


def test_no_arrival_at_all_is_refused() -> None:
    with pytest.raises(BadInput, match="No request arrives"):
        arrivals.poisson(rate=0, seconds=300)


def test_users_come_and_go_in_steps() -> None:
    shape = Closed(users=((0, 1), (10, 3), (20, 1), (30, 2)), seconds=40)
    assert shape.turns(0) == [(0, 40)]
    assert shape.turns(1) == [(10, 20), (30, 40)]
    assert shape.turns(2) == [(10, 20)]
    assert shape.most == 3


@pytest.mark.parametrize(("users", "seconds"), [(0, 10.0), (5, 0.0), (((5.0, 1),), 10.0)])
def test_impossible_users_are_refused(users: int, seconds: float) -> None:
    with pytest.raises(BadInput):
        Closed(users=users, seconds=seconds)


def test_a_lognormal_is_given_by_two_figures() -> None:
    tokens = Tokens.lognormal(median=128, p95=450)
    assert tokens.at(0.5) == 128
    assert tokens.at(0.95) == pytest.approx(450, rel=0.01)


def test_recorded_counts_come_back_as_a_distribution() -> None:
    tokens = Tokens.of([10, 20, 30])
    assert (tokens.at(0), tokens.at(0.5), tokens.at(1)) == (10, 20, 30)


def test_too_many_tokens_are_refused() -> None:
    with pytest.raises(BadInput, match="not a distribution"):
        Tokens.fixed(1_000_000)


def test_a_plan_says_every_size_before_the_first_request(tmp_path: Path) -> None:
    coming = arrivals.poisson(rate=1, seconds=50, seed=0)
    load = Load(
        url="http://127.0.0.1:1", shape=Open(coming), workload=Workload(output=Tokens.between(10, 90))
    )
    load.save(tmp_path / "plan.json", model="m")
    shape = json.loads((tmp_path / "plan.json").read_text())["shape"]
    assert shape["times"] == list(coming.times)
    assert len(shape["sizes"]) == len(coming)
    assert {size[0] for size in shape["sizes"]} == {128}
    assert all(10 <= size[1] <= 90 for size in shape["sizes"])


def test_a_closed_plan_comes_back_from_json() -> None:
    shape = Closed(users=((0, 2), (5, 4)), seconds=9, think=1.5)
    load = Load(url="http://127.0.0.1:1", shape=shape)
    assert closed_of(json.loads(json.dumps(load.as_json(model="m")))["shape"]) == shape


def test_a_workload_comes_back_from_json() -> None:
    workload = Workload(input=Tokens.lognormal(median=100, p95=300), output=7)
    again = Workload.of_json(workload.as_json())
    assert again.draw(random.Random(1)) == workload.draw(random.Random(1))


def test_the_headers_of_a_load_are_in_its_plan() -> None:
    load = Load(
        "http://127.0.0.1:1", Closed(users=1, seconds=1), headers={"x-gateway-inference-objective": "chat"}
    )
    assert load.as_json(model="m")["headers"] == {"x-gateway-inference-objective": "chat"}


@pytest.mark.parametrize(
    "headers", [{"x y": "1"}, {"x": "1\r\nhost: b"}, {"Host": "b"}, {"content-length": "0"}]
)
def test_headers_that_would_be_others_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="can't have the header"):
        Load("http://127.0.0.1:1", Closed(users=1, seconds=1), headers=headers)
