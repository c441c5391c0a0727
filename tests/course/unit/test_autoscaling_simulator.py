"""The what-if model: its server against the real engine, its loop against what must be so."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from model_server.engine import Engine, Limits
from model_server.kv_cache import BlockPool
from model_server.profile import find
from model_server.request import Request as EngineRequest
from model_server.stats import Stats

from course.hpa.comparison import compare
from course.hpa.policy import Policy
from course.hpa.replica import Replica, Request, Server
from course.hpa.scenario import Delays, Requests, Scenario
from course.hpa.simulator import simulate
from labkit.errors import BadInput
from labkit.evidence.timeline import Timeline
from labkit.load import Closed, Load, LoadResult, Open, arrivals
from labkit.metrics.series import Series, area
from localcluster.gpus.profile import load
from localcluster.gpus.roofline import PROFILES, profile_name

GOLDEN = Path(__file__).parents[2] / "golden" / "what-if"
L4, LLAMA = "NVIDIA-L4", "meta-llama/Llama-3.1-8B-Instruct"
PROFILE = load(PROFILES / f"{profile_name(L4, LLAMA)}.toml")
SERVER = Server.of(PROFILE, max_num_seqs=8)
HPA: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[3] / "manifests" / "base" / "hpa.yaml").read_text()
)
CROWD = arrivals.steps([(0, 0.8), (60, 40), (62, 1.6), (360, 0.5)], seconds=420, seed=0)


def scenario(policy: Policy | int, **changes: Any) -> Scenario:
    requests = replace(Requests.of_one_size(CROWD.times), seconds=CROWD.seconds)
    return replace(Scenario(requests, policy, SERVER, Delays.of(PROFILE)), **changes)


def hpa(**spec: Any) -> Policy:
    return Policy.of({"spec": {**HPA["spec"], **spec}})


def mixed(seed: int) -> list[tuple[float, int, int]]:
    rng = random.Random(seed)
    times = sorted(rng.uniform(0, 60) for _ in range(80))
    return [(t, rng.choice([1, 128, 700, 2500]), rng.choice([1, 2, 50, 300])) for t in times]


@pytest.mark.parametrize("seed", range(5))
def test_the_models_server_is_the_real_engine_to_the_microsecond(seed: int) -> None:
    """Same requests through the model server's own engine and through the model's replica."""
    limits, pool = Limits(8, 2048), BlockPool(blocks=100_000)
    engine = Engine(timing=find(product=L4, model=LLAMA).step, limits=limits, pool=pool, stats=Stats())
    replica = Replica(replace(SERVER, cache_tokens=10**9))
    theirs, ours = [], []
    for at, prompt, output in mixed(seed):
        theirs.append(EngineRequest(prompt=prompt, target=output))
        engine.submit(theirs[-1], at)
        while replica.until <= at:
            replica.finish()
        ours.append(Request(at, prompt, output))
        replica.submit(ours[-1], at)
    engine.advance(1e6)
    while not replica.empty:
        replica.finish()
    assert [r.first for r in ours] == pytest.approx([r.first_token for r in theirs], abs=1e-6)
    assert [r.end for r in ours] == pytest.approx([r.finished for r in theirs], abs=1e-6)
    assert replica.busy == pytest.approx(engine.busy_seconds(1e6))


def test_requests_that_do_not_fit_into_the_cache_wait() -> None:
    replica = Replica(replace(SERVER, cache_tokens=1000))
    for _ in range(4):
        replica.submit(Request(0.0, 300, 100), 0.0)
    while replica.until < 1.0:
        replica.finish()
    assert (len(replica.running), len(replica.waiting)) == (2, 2)


def test_the_lessons_crowd_takes_the_lessons_path() -> None:
    outcome = simulate(scenario(hpa()))
    rise = [n for _, n in outcome.desired][:4]
    assert rise == [2, 4, 8, 10]
    assert outcome.desired[-1][1] == 2
    assert all(r.end < math.inf for r in outcome.requests)
    assert all(r.arrival < r.first <= r.end for r in outcome.requests)


def test_any_behavior_takes_the_other_path() -> None:
    outcome = simulate(scenario(hpa(behavior={"scaleDown": {"stabilizationWindowSeconds": 300}})))
    assert [n for _, n in outcome.desired][:3] == [2, 6, 10]


def test_cpu_sleeps_through_the_crowd() -> None:
    target = {"type": "Utilization", "averageUtilization": 50}
    asleep = hpa(metrics=[{"type": "Resource", "resource": {"name": "cpu", "target": target}}])
    cpu, queue, ten = (simulate(scenario(policy)) for policy in (asleep, hpa(), 10))
    assert [n for _, n in cpu.desired] == [2]
    assert cpu.ttft(0.95) > queue.ttft(0.95) > ten.ttft(0.95)
    assert cpu.gpu_seconds < queue.gpu_seconds < ten.gpu_seconds
    assert cpu.attainment(ttft=5) < queue.attainment(ttft=5) < ten.attainment(ttft=5)


def test_a_shorter_cold_start_serves_better_and_asks_for_no_more() -> None:
    slow = simulate(scenario(hpa()))
    fast = simulate(scenario(hpa(), delays=Delays.of(PROFILE, cold_start=10.0)))
    assert fast.attainment(ttft=10) > slow.attainment(ttft=10)
    assert fast.gpu_seconds <= slow.gpu_seconds


def test_no_more_pods_start_than_there_are_gpus() -> None:
    few = simulate(scenario(hpa(), gpus=5))
    assert max(n for _, n in few.desired) == 10
    assert max(n for _, n in few.ready) == 5


def test_the_same_seed_gives_the_same_outcome_and_another_does_not() -> None:
    once, again, other = (simulate(scenario(hpa(), seed=seed)) for seed in (1, 1, 2))
    assert (once.desired, once.ttft(0.5)) == (again.desired, again.ttft(0.5))
    assert once.ready != other.ready


def test_an_unknown_metric_is_refused() -> None:
    metrics = [
        {
            "type": "Pods",
            "pods": {"metric": {"name": "latency"}, "target": {"type": "AverageValue", "averageValue": 1}},
        }
    ]
    with pytest.raises(BadInput, match="no model of latency"):
        scenario(hpa(metrics=metrics))


def test_the_area_under_a_step_curve() -> None:
    assert area([(0, 2), (10, 4), (20, 0)], 0, 30) == 60
    assert area([(0, 2), (10, 4)], 0, 15) == 40
    assert area([(0, 2), (10, 4)], 5, 15) == 30
    assert area([(10, 4)], 0, 15) == 20
    assert area([], 0, 15) == 0


# Against a real run ----------------------------------------------------------------------------------------


def real_run() -> tuple[Timeline, LoadResult]:
    """The crowd on the embedded cluster, stored (tests/golden/what-if)."""
    data = json.loads((GOLDEN / "run.json").read_text())

    def series(name: str) -> Series:
        points = [(float(t), float(v)) for t, v in data[name]]
        return Series(name, "", (*points, (data["end"], points[-1][1])))

    run = Timeline(data["clock"], data["about"], tuple(series(n) for n in ("offered", "desired", "ready")))
    return run, LoadResult.load(GOLDEN / "requests.jsonl")


@pytest.mark.parametrize("ttft", [2, 5, 10, 30, 60])
def test_the_model_is_close_to_the_cluster(ttft: float) -> None:
    run, load = real_run()
    requests = Requests.of(Load(url="http://127.0.0.1:1", shape=Open(CROWD)))
    asked = scenario(hpa(), requests=requests, delays=Delays.of(PROFILE, clock=run.clock))
    found = compare(asked, run, load, ttft=ttft)
    assert found.close, str(found)
    assert [row[""] for row in found.rows()][2] == f"TTFT ≤ {ttft:g} s"
    assert abs(found.figures[0].error) < 0.05, "replica-seconds within 5 %"


def test_a_wrong_model_is_not_close() -> None:
    run, load = real_run()
    asked = scenario(hpa(), delays=Delays.of(PROFILE, cold_start=20.0))
    assert not compare(asked, run, load, ttft=30).close
    assert not compare(scenario(2), run, load, ttft=30).close


def test_the_model_needs_to_know_when_the_load_began() -> None:
    run, load = real_run()
    with pytest.raises(BadInput, match="does not include the load"):
        compare(scenario(hpa()), replace(run, series=()), load, ttft=5)


def test_a_closed_loop_is_refused() -> None:
    with pytest.raises(BadInput, match="closed loop"):
        Requests.of(Load(url="http://127.0.0.1:1", shape=Closed(users=4, seconds=60)))
