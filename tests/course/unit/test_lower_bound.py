"""The floor: no policy of the what-if model goes below it, and it is near what is known to be needed."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from course.hpa.candidates import candidates
from course.hpa.cheapest import Work, cheapest
from course.hpa.demand import longest_step, of_sequences, of_steps
from course.hpa.lower_bound import Floor, lower_bound
from course.hpa.replica import Replica, Request, Server
from course.hpa.scenario import Delays, Requests, Scenario
from course.hpa.simulator import simulate
from course.study.days import DAYS
from labkit.errors import BadInput
from labkit.load import Load, Open
from localcluster.gpus.profile import load
from localcluster.gpus.roofline import PROFILES, profile_name

L4, LLAMA = "NVIDIA-L4", "meta-llama/Llama-3.1-8B-Instruct"
PROFILE = load(PROFILES / f"{profile_name(L4, LLAMA)}.toml")
DELAYS = Delays.of(PROFILE, weights_from="page_cache", eager=True)
SHARES = [0.0, 0.3, 0.6, 0.8, 0.95, 1.0]


def scenario(requests: Requests, *, most: int = 8, seconds: float = 0.0) -> Scenario:
    server = Server.of(PROFILE, max_num_seqs=most)
    drain = max(0.0, seconds - requests.seconds)
    return Scenario(requests, 1, server, DELAYS, drain=drain)


def day(name: str, seed: int, *, most: int = 8) -> tuple[Scenario, float]:
    found = DAYS[name]
    requests = Requests.of(Load("http://127.0.0.1", Open(found.arrivals(seed)), seed=seed))
    return scenario(requests, most=most, seconds=found.seconds), found.ttft


@pytest.mark.parametrize(("name", "most"), [("ramp", 8), ("burst", 8), ("trace", 32)])
def test_no_policy_of_the_sweep_goes_below_the_floor(name: str, most: int) -> None:
    """Whatever share a policy serves in time, the floor for that share is not above what it spent."""
    asked, ttft = day(name, seed=1, most=most)
    floors = [(share, lower_bound(asked, ttft=ttft, share=share).gpu_seconds) for share in SHARES]
    assert [f for _, f in floors] == sorted(f for _, f in floors)
    named = candidates()
    some = [*random.Random(most).sample(list(named["queue"].values()), 8), *range(1, 9, 2)]
    for policy in some:
        outcome = simulate(replace(asked, policy=policy, seed=3))
        served = outcome.attainment(ttft=ttft)
        below = max(f for share, f in floors if share <= served)
        assert outcome.gpu_seconds >= below, (policy, served, below)


def test_the_floor_is_near_what_static_servers_need_for_a_steady_load() -> None:
    """Two full servers for ten minutes: there is nothing to gain from knowing the future."""
    size, rate = (128, 200), 1.15
    times = [i / rate for i in range(round(600 * rate))]
    asked = scenario(replace(Requests.of_one_size(times, prompt=size[0], output=size[1]), seconds=600.0))
    served = simulate(replace(asked, policy=2)).attainment(ttft=10)
    found = lower_bound(asked, ttft=10, share=0.95).gpu_seconds
    assert served > 0.95
    assert 0.85 * 2 * 600 < found <= 2 * 600


def test_a_burst_before_any_server_can_start_needs_them_from_the_beginning() -> None:
    """Forty requests at once, eight to a server, 13 s for each, and 10 s to begin."""
    asked = scenario(replace(Requests.of_one_size([1.0] * 40), seconds=1.0), seconds=60)
    assert lower_bound(asked, ttft=10, share=1.0).gpu_seconds >= 3 * 10
    few = replace(asked, gpus=2)
    assert lower_bound(few, ttft=10, share=1.0).gpu_seconds == float("inf")
    assert "on these GPUs" in str(lower_bound(few, ttft=10, share=1.0))
    assert lower_bound(few, ttft=10, share=0.2).gpu_seconds < float("inf")


def test_a_later_burst_pays_for_a_start_or_for_waiting_servers() -> None:
    quiet = scenario(replace(Requests.of_one_size([300.0]), seconds=300.0), seconds=330)
    start = DELAYS.creation + DELAYS.cold_start
    found = lower_bound(quiet, ttft=10, share=1.0).gpu_seconds
    assert start - 4 <= found <= start + 30


def test_nothing_asked_and_nothing_promised_cost_nothing() -> None:
    asked = scenario(replace(Requests.of_one_size([]), seconds=60.0))
    assert lower_bound(asked, ttft=10, share=1.0).gpu_seconds == 0
    assert lower_bound(day("burst", 0)[0], ttft=10, share=0.0).gpu_seconds == 0


@pytest.mark.parametrize("seed", range(8))
def test_a_server_spends_no_less_than_its_requests_take_at_least(seed: int) -> None:
    """On random mixtures: the time of its steps, and of its sequences, against the sums of the demands."""
    rng = random.Random(seed)
    server = replace(
        Server.of(PROFILE, max_num_seqs=rng.choice([1, 4, 8, 64])), budget=rng.choice([256, 2048])
    )
    prompts, outputs = rng.choice([((1, 50), (1, 400)), ((500, 6000), (1, 30)), ((1, 3000), (1, 100))])
    sizes = [(rng.randint(*prompts), rng.randint(*outputs)) for _ in range(80)]
    requests = [Request(rng.uniform(0, rng.choice([1, 60])), *size) for size in sizes]
    replica = Replica(server)
    for request in sorted(requests, key=lambda r: r.arrival):
        while replica.until <= request.arrival:
            replica.finish()
        replica.submit(request, request.arrival)
    while not replica.empty:
        replica.finish()
    longest = longest_step(server, sizes)
    steps = [of_steps(server, size, longest=longest) for size in sizes]
    sequences = [of_sequences(server, size) for size in sizes]
    assert replica.busy >= sum(need.total for need in steps) * (1 - 1e-9)
    assert replica.busy >= sum(need.total for need in sequences) * (1 - 1e-9)
    for request, step, sequence in zip(requests, steps, sequences, strict=True):
        assert request.end - request.first <= step.seconds + 1e-6
        assert request.end - request.first >= sequence.seconds - 1e-6


def test_the_price_of_a_broken_promise_is_found() -> None:
    """Three bursts, each of which needs a server of its own for one slot; two of them may be missed."""
    quiet: list[list[int]] = [[]] * 30
    slots: list[list[int]] = [[4], *quiet, [4], *quiet, [4], []]
    done = [4 * sum(bool(r) for r in slots[: i + 1]) for i in range(len(slots))]
    due = [0, *done[:-1]]
    work = Work(slot=2.0, units=4, start=20.0, gpus=3, arrived=done, due=due, requests=slots)
    costs = [cheapest(work, broken=n) for n in range(4)]
    assert costs == sorted(costs, reverse=True)
    assert costs[3] == 0
    assert costs[0] >= 20 + 20 - 2 * 2 * 2


def test_the_line_says_what_was_not_kept() -> None:
    found = Floor(1000.0, 10, 0.95)
    assert found.compare(1400, 0.97).startswith("yours: 1.4 × the floor (no autoscaler keeps 95% within 10 s")
    assert "but only 60% in time" in found.compare(900, 0.6)


def test_what_has_no_floor_is_refused() -> None:
    asked, ttft = day("burst", 0)
    with pytest.raises(BadInput, match="not a share"):
        lower_bound(asked, ttft=ttft, share=95)
    instant = replace(asked, delays=replace(asked.delays, creation=0.0, cold_start=0.1))
    with pytest.raises(BadInput, match="too short"):
        lower_bound(instant, ttft=ttft, share=0.95)
