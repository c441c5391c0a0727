"""The model server heals when it is killed, and changes its version without one failed request."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.evidence.outcomes import outcomes
from labkit.lab import Lab
from labkit.load import Arrivals, LoadResult, Open, Tokens, Workload, arrivals

ROOT = Path(__file__).parents[3]
ROLLING = ROOT / "manifests" / "02-deploy" / "rolling"
SERVER = "deployment/llm-inference-service"
CROWD = arrivals.steps([(0, 10), (2, 4)], seconds=3000, seed=1)
FEW = arrivals.steps([(0, 4), (2, 1)], seconds=3000, seed=1)  # the course's own server takes 8 at a time
WORK = Workload(output=Tokens.lognormal(median=25, p95=700, top=1200))

pytestmark = pytest.mark.embedded


@pytest.fixture
def lab(lab: Lab) -> Lab:
    """As a notebook finds it."""
    lab.reset()
    return lab


def settle(lab: Lab) -> None:
    lab.until(f"{SERVER} available", "pods app=llm-model total=2", seconds=120)
    lab.until_healthy()


def update(lab: Lab, manifest: Path, crowd: Arrivals = CROWD) -> LoadResult:
    """Bring v2 to the Deployment that the manifest makes, with users on the line."""
    lab.apply(manifest)
    settle(lab)
    users = lab.load(Open(crowd), workload=WORK)
    try:
        lab.kubectl(f"set env {SERVER} MODEL_VERSION=v2")
        settle(lab)
    finally:
        users.end()
    return users.result()


def test_a_killed_server_comes_back_in_its_pod(lab: Lab) -> None:
    lab.apply(ROLLING / "4-grace")
    settle(lab)
    before = lab.pods()
    lab.faults.kill(f"pod/{before[0]}")
    lab.until(f"pod/{before[0]} restarts>=1", f"{SERVER} available", seconds=60)
    lab.until_healthy()
    assert lab.pods() == before
    ended = lab.get(f"pod/{before[0]}").at("status.containerStatuses.0.lastState.terminated")
    assert (ended["exitCode"], ended["reason"]) == (137, "Error")


def test_each_crash_costs_twice_the_wait(lab: Lab) -> None:
    lab.apply(ROLLING / "4-grace")
    settle(lab)
    victim = lab.pods()[0]
    for _ in range(3):
        lab.faults.kill(f"pod/{victim}")
    lab.until("pods app=llm-model stuck=1", seconds=15)
    said = lab.get(f"pod/{victim}").at("status.containerStatuses.0.state.waiting.message")
    assert said.startswith("back-off 20s restarting failed container=model-server")
    lab.faults.kill(f"pod/{victim}")  # as soon as it runs again
    lab.until(f"pod/{victim} restarts>=4", seconds=30)


def test_an_update_fails_no_request(lab: Lab) -> None:
    counts = outcomes(update(lab, ROLLING / "4-grace"))
    assert counts["failed"] == 0, counts
    assert counts["answered by v1"] > 20
    assert counts["answered by v2"] > 20


def test_an_update_of_the_courses_own_deployment_fails_no_request(lab: Lab) -> None:
    """One pod at a time, with a cold start of two minutes each."""
    manifest = ROOT / "manifests" / "overlays" / "embedded" / "server"
    counts = outcomes(update(lab, manifest, FEW))
    assert counts["failed"] == 0, counts
    assert counts["answered by v2"] > 20


def test_without_a_grace_period_long_answers_break(lab: Lab) -> None:
    """The test above can fail: three settings of four break answers."""
    counts = outcomes(update(lab, ROLLING / "3-prestop"))
    assert counts.get("broken", 0) > 0, counts
    assert "http_503" not in counts


def test_a_bad_version_hurts_nobody_and_goes_back(lab: Lab) -> None:
    lab.apply(ROLLING / "4-grace")
    settle(lab)
    old = lab.pods()
    users = lab.load(Open(CROWD), workload=WORK)
    try:
        lab.kubectl(f"set image {SERVER} model-server=registry.lab:5000/llm-inference:2.0")
        lab.until("pods app=llm-model stuck=2", seconds=30)
        lab.kubectl(f"rollout undo {SERVER}")
        settle(lab)
    finally:
        users.end()
    assert users.result().failures() == {}
    assert lab.pods() == old
