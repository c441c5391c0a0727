"""An inference gateway in the what-if model: whom it chooses, what it holds, and what it read in a file."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
import yaml

from course.hpa.gateway import LOOK, Gateway
from course.hpa.replica import Server
from course.hpa.scenario import Delays, Requests, Scenario
from course.hpa.simulator import Outcome, simulate
from labkit.errors import BadInput
from labkit.load import Load, Open, Tokens, Workload, arrivals
from localcluster.gpus.profile import load
from localcluster.gpus.roofline import PROFILES, profile_name

FILES = "manifests/12-gateway"
PROFILE = load(PROFILES / f"{profile_name('NVIDIA-L4', 'meta-llama/Llama-3.1-8B-Instruct')}.toml")
SERVER = Server.of(PROFILE, max_num_seqs=2)
RUNNING = {"type": "running-requests-size-scorer"}
MIXED = Workload(input=128, output=Tokens.of([100] * 80 + [800] * 20))
SEEDS = range(1, 6)


def asked(file: str | None, shape: Open | None = None, *, seed: int = 1, policy: int = 4) -> Outcome:
    """Notebook 12's load, under one picker's file; None: a Service."""
    shape = shape or Open(arrivals.poisson(rate=0.4, seconds=600, seed=seed))
    requests = Requests.of(Load("http://127.0.0.1", shape, MIXED, seed=seed))
    gateway = Gateway.of(f"{FILES}/{file}", clock=15) if file else None
    delays = Delays.of(PROFILE, clock=15)
    return simulate(Scenario(requests, policy, SERVER, delays, drain=3000, seed=seed, gateway=gateway))


def rush(seed: int = 1) -> Open:
    """Notebook 12's: a third more than four servers can answer."""
    return Open(arrivals.poisson(rate=0.78, seconds=250, seed=seed))


def mean(outcome: Outcome) -> float:
    return fmean(request.first - request.arrival for request in outcome.requests)


def test_the_same_requests_wait_a_third_as_long_as_on_a_cluster() -> None:
    """`scripts/bench --only gateway` measured 0.36 ± 0.15 of random's p95 for this load, over five seeds."""
    ratios = [
        asked("choose.yaml", seed=seed).ttft(0.95) / asked(None, seed=seed).ttft(0.95) for seed in SEEDS
    ]
    assert 0.21 < fmean(ratios) < 0.51


def test_every_request_is_answered_whoever_holds_it() -> None:
    for file in (None, "choose.yaml", "valve.yaml", "faults/tight.yaml"):
        outcome = asked(file, rush())
        assert all(request.end < math.inf for request in outcome.requests)
        assert not outcome.held or outcome.held[-1][1] == 0


def test_a_valve_moves_the_queue_and_does_not_shorten_it() -> None:
    looks, holds = asked("choose.yaml", rush()), asked("valve.yaml", rush())
    assert max(count for _, count in looks.held) == 0
    assert max(count for _, count in holds.held) > 10
    assert mean(holds) > 0.95 * mean(looks)
    assert "gateway queue" in {series.name for series in holds.timeline(stamp="model").series}


def test_a_threshold_of_one_lets_servers_idle() -> None:
    """The mean has no cap: a herd at one server keeps the valve shut for the others."""
    tight, wide = (
        fmean(mean(asked(file, rush(seed), seed=seed)) for seed in SEEDS)
        for file in ("faults/tight.yaml", "solutions/valve.yaml")
    )
    assert tight > 1.5 * wide


def test_without_a_server_a_valve_holds_and_a_mere_choice_is_tried_again() -> None:
    for file, held in (("valve.yaml", True), ("choose.yaml", False)):
        shape = Open(arrivals.even(rate=0.1, seconds=60))
        requests = Requests.of(Load("http://127.0.0.1", shape, MIXED))
        gateway = Gateway.of(f"{FILES}/{file}")
        delays = Delays.of(PROFILE)
        outcome = simulate(Scenario(requests, 0, SERVER, delays, drain=60, gateway=gateway))
        assert max(count for _, count in outcome.held) == (len(outcome.requests) if held else 0)


def test_one_server_gives_each_request_the_same_time_with_and_without() -> None:
    few = Open(arrivals.even(rate=0.05, seconds=200))
    alone, behind = asked(None, few, policy=1), asked("choose.yaml", few, policy=1)
    assert [r.first for r in alone.requests] == pytest.approx([r.first for r in behind.requests])


def test_a_file_is_read_as_the_picker_reads_it() -> None:
    found = Gateway.of(f"{FILES}/valve.yaml", clock=15)
    assert found == Gateway(look=15 * LOOK, depth=5, weights=(2, 2))
    assert Gateway.of(f"{FILES}/choose.yaml") == Gateway(look=LOOK, depth=None, weights=(2, 2))
    assert Gateway.of(f"{FILES}/faults/tight.yaml").depth == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "InferencePool"}, "takes an EndpointPickerConfig, not InferencePool"),
        ({"plugins": [{"type": "prefix-scorer", "name": "queue-scorer"}, RUNNING]}, "no prefix-scorer"),
        ({"plugins": [{"type": "queue-scorer"}]}, "no plugin called"),
        ({"saturationDetector": {"pluginRef": "queue-scorer"}}, "no queue-scorer"),
    ],
)
def test_what_the_model_does_not_know_is_refused(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    config = yaml.safe_load(Path(f"{FILES}/valve.yaml").read_text())
    file = tmp_path / "picker.yaml"
    file.write_text(yaml.safe_dump(config | change))
    with pytest.raises(BadInput, match=said):
        Gateway.of(file)


def test_a_picker_decides_by_what_it_saw_last() -> None:
    """Between two looks all go to the server that looked best: the herd."""
    rng = random.Random(0)
    times = sorted(rng.uniform(100, 100.5) for _ in range(12))
    requests = Requests.of_one_size([0.0, *times])
    first = Gateway(look=1000.0)
    herd = simulate(Scenario(requests, 3, SERVER, Delays.of(PROFILE), gateway=first))
    spread = simulate(Scenario(requests, 3, SERVER, Delays.of(PROFILE), gateway=replace(first, look=0.01)))
    assert spread.ttft(0.95) <= herd.ttft(0.95)
