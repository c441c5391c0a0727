"""Whatever the states of a pod's containers are, its status keeps what Kubernetes promises of phases."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from localcluster.node.pod.status import PodView, pod_status
from tests.cluster.unit.status_world import views

OVER = {"Succeeded", "Failed"}
SIDECAR = {"name": "s", "restartPolicy": "Always"}
SPECS = st.builds(
    lambda policy, init, count: {
        "restartPolicy": policy,
        "initContainers": init,
        "containers": [{"name": f"c{n}"} for n in range(count)],
    },
    st.sampled_from(["Always", "OnFailure", "Never"]),
    st.sampled_from([[], [{"name": "i"}], [SIDECAR], [{"name": "i"}, SIDECAR]]),
    st.integers(1, 3),
)
VIEWS = SPECS.flatmap(views)


@settings(max_examples=40)
@given(VIEWS)
def test_a_pod_is_over_only_when_nothing_of_it_runs_and_then_for_good(view: PodView) -> None:
    status = pod_status(view)
    assert status["phase"] in {"Pending", "Running", *OVER}
    if view.alive:
        assert status["phase"] not in OVER
    for phase in OVER:
        assert pod_status(replace(view, told_phase=phase))["phase"] == phase
    if view.terminating and not view.alive:
        assert status["phase"] in OVER


@settings(max_examples=40)
@given(VIEWS)
def test_a_pod_is_ready_only_with_all_its_containers(view: PodView) -> None:
    status = pod_status(view)
    held = {c["type"]: c["status"] for c in status["conditions"]}
    assert set(held.values()) <= {"True", "False"}
    if held["Ready"] == "True":
        assert held["ContainersReady"] == "True"
    if held["ContainersReady"] == "True":
        assert all(c.ready for c in view.main)
        assert status["phase"] not in OVER
    assert all(c["lastTransitionTime"] for c in status["conditions"])
