"""What a notebook asks the what-if model: the server as deployed, a thousand policies, their frontier."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from course.hpa import frontier
from course.hpa.candidates import candidates
from course.hpa.policy import Policy
from course.hpa.search import Point, Question, Sweep, sweep
from course.hpa.setting import Setting, flags_of, policy_of
from labkit.errors import BadInput
from labkit.evidence import Series, Timeline, bill
from labkit.kube import documents
from labkit.load import Load, LoadResult, Open, arrivals
from labkit.load.rows import Row
from labkit.view.picture import png

MANIFESTS = Path(__file__).parents[3] / "manifests"
CROWD = Open(arrivals.steps([(0, 0.5), (60, 2.5), (120, 0.5)], seconds=180, seed=0))
LOAD = Load(url="http://127.0.0.1", shape=CROWD)


def node(product: str = "NVIDIA-L4", gpus: str = "4") -> dict[str, Any]:
    labels = {"nvidia.com/gpu.product": product}
    return {"metadata": {"labels": labels}, "status": {"allocatable": {"nvidia.com/gpu": gpus}}}


NODES = [node(), node(), {"metadata": {"labels": {}}, "status": {"allocatable": {"cpu": "4"}}}]


def deployment(*more: str) -> dict[str, Any]:
    found = {d.obj["kind"]: d.obj for d in documents.load(MANIFESTS / "overlays" / "embedded" / "server")}
    made: dict[str, Any] = json.loads(json.dumps(found["Deployment"]))
    made["spec"]["template"]["spec"]["containers"][0]["args"] += more
    return made


SETTING = Setting.of(deployment("--weights-from=page_cache"), NODES, clock=15)


def test_the_setting_is_the_server_as_it_is_deployed() -> None:
    assert (SETTING.server.max_num_seqs, SETTING.gpus, SETTING.delays.goodbye) == (8, 8, 15)
    assert SETTING.host_cpu[3] == 4
    far, near = (Setting.of(deployment(*more), NODES, clock=15).delays for more in ((), ("--enforce-eager",)))
    assert far.cold_start > SETTING.delays.cold_start
    assert near.cold_start == pytest.approx(far.cold_start - 55)  # compilation 40 s, CUDA graphs 15 s


def test_flags_with_and_without_values() -> None:
    assert flags_of(["--max-num-seqs=8", "--enforce-eager", "serve"]) == {
        "max-num-seqs": "8",
        "enforce-eager": "",
    }


@pytest.mark.parametrize("nodes", [[], [node("NVIDIA-X1")], [node(), node("NVIDIA-A10G")]])
def test_a_gpu_that_nobody_measured_is_refused(nodes: list[dict[str, Any]]) -> None:
    with pytest.raises(BadInput, match="no timing profile"):
        Setting.of(deployment(), nodes, clock=15)


def test_a_choice_is_a_file_a_number_or_a_policy() -> None:
    policy = policy_of("manifests/base/hpa.yaml")
    assert isinstance(policy, Policy)
    assert policy_of(policy) is policy
    assert policy_of(4) == 4
    with pytest.raises(BadInput, match="contains 0 HorizontalPodAutoscalers"):
        policy_of("manifests/base/server/service.yaml")


def test_a_run_of_the_model_lasts_as_long_as_asked() -> None:
    outcome = SETTING.ask(LOAD, "manifests/base/hpa.yaml", seconds=300)
    assert outcome.seconds == 300
    assert outcome.curve.points == outcome.desired
    assert SETTING.ask(LOAD, 2).seconds == 180 + 600


def test_the_candidates_are_a_thousand_and_all_different() -> None:
    families = candidates()
    every = [policy for named in families.values() for policy in named.values()]
    assert set(families) == {"static", "CPU", "queue"}
    assert 950 < len(every) < 1050
    assert len(set(every)) == len(every)


def test_a_sweep_has_a_frontier_and_counts_down() -> None:
    some: dict[str, dict[str, Policy | int]] = {
        "static": {f"{n}": n for n in (2, 3, 4, 6)},
        "queue": {"lesson": policy_of("manifests/base/hpa.yaml")},
    }
    said: list[tuple[int, int]] = []
    found = sweep(SETTING, Question(LOAD, 10, 300), some, lambda done, of, _left: said.append((done, of)))
    assert said == [(i, 5) for i in range(1, 6)]
    costs = [p.gpu_seconds for p in found.of("static")]
    assert costs == [600, 900, 1200, 1800]
    shares = [p.attainment for p in found.frontier]
    assert shares == sorted(set(shares))
    assert found.frontier[0].name == "2"
    assert "5 policies in" in repr(found)


def point(name: str, share: float, cost: float) -> Point:
    return Point(name, "static", 2, share, cost)


def test_who_is_beaten_in_both_is_not_on_the_frontier() -> None:
    points = (
        point("a", 0.5, 100),
        point("b", 0.5, 200),
        point("c", 0.9, 300),
        point("d", 0.8, 400),
        point("e", 0.9, 300),
    )
    found = Sweep(points, 10, 1.0)
    assert [p.name for p in found.frontier] == ["a", "c"]
    assert found.cheapest(attainment=0.85) == points[2]
    assert found.cheapest(attainment=0.85, family="queue") is None
    assert found.cheapest(attainment=0.95) is None


def test_the_frontier_is_drawn_with_what_the_cluster_said() -> None:
    cloud = frontier.Cloud(
        {"static": [(100, 0.5)], "CPU": [(100, 0.4)]}, [(100, 0.5)], {"llm-hpa": (300, 0.7)}
    )
    made = frontier.picture(cloud, title="What waiting less costs", promise=10, stamp="embedded")
    (axis,) = made.figure.axes
    legend = axis.get_legend()
    assert legend is not None
    assert [t.get_text() for t in legend.get_texts()] == [
        "static (model)",
        "CPU (model)",
        "frontier (model)",
        "on the cluster",
    ]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("GPU-seconds (lab time)", "first token within 10 s")
    assert "llm-hpa on the cluster: 70% for 300" in str(made)
    assert png(made.figure).startswith(b"\x89PNG")


def recorded(*waits: float) -> tuple[Timeline, LoadResult]:
    """A load that began 20 lab s into a recording, and how long each of its requests waited."""
    held = Series("gpus", "GPUs", ((0, 2), (50, 4)))
    rows = tuple(Row(i, 1, 1, 200, "ok", first=1 + wait) for i, wait in enumerate(waits))
    plan = {"clock": 15, "shape": {"kind": "open", "what": "a test", "seconds": 60}}
    run = Timeline(15, "test", (held,), began=1000.0)
    return run, LoadResult(Path("none"), plan, 1000.0 + 20 / 15, rows, (), "done")


def test_a_bill_counts_gpus_from_the_begin_of_the_load() -> None:
    run, load = recorded(2, 9, 30, 40)
    found = bill(run, load, ttft=10, seconds=100)
    assert found.gpu_seconds == pytest.approx(30 * 2 + 70 * 4)
    assert found.price == pytest.approx(170)
    assert (found.attainment, found.doubts) == (0.5, ())
    assert str(found) == "50% within 10 s for 340 GPU s"
    assert bill(run, replace(load, ended="killed"), ttft=10, seconds=100).doubts


def test_a_bill_of_nothing() -> None:
    run, load = recorded(30)
    assert bill(run, load, ttft=10, seconds=100).price == float("inf")
    with pytest.raises(BadInput, match="not recorded"):
        bill(Timeline(1, "what if"), load, ttft=10, seconds=100)
