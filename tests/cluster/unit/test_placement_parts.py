"""What notebook 09 stands on: how fast pods are placed, and nodes brought back to how they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from course.existing.provider import Existing
from labkit.errors import BadInput
from labkit.evidence.pace import Pace
from labkit.kube import nodes
from localcluster import catalog, kwok
from localcluster.api.objects import KubeObject
from localcluster.data import DATA
from localcluster.embedded import kwok as process
from localcluster.embedded.provider import Embedded
from localcluster.layout import Layout
from localcluster.provider import Machines, RunsKwok

KWOK = DATA / "kwok"


def node(labels: dict[str, str], *taints: str, **spec: Any) -> KubeObject:
    made = [{"key": key, "effect": "NoSchedule"} for key in taints]
    return KubeObject({"metadata": {"name": "n", "labels": labels}, "spec": {"taints": made, **spec}})


def test_a_node_as_it_registered_needs_no_change() -> None:
    labels = {"kubernetes.io/hostname": "n", "nvidia.com/gpu.present": "true", "labkit.dev/simulated": "true"}
    assert nodes.undo(node(labels, "node.kubernetes.io/unreachable", "node-role.kubernetes.io/x")) == {}


def test_labels_and_taints_of_people_are_taken_off() -> None:
    changed = node({"pool": "inference", "kubernetes.io/os": "linux"}, "nvidia.com/gpu", "maintenance")
    assert nodes.undo(changed) == {"metadata": {"labels": {"pool": None}}, "spec": {"taints": []}}


def test_taints_of_the_system_stay_where_others_go() -> None:
    change = nodes.undo(node({}, "mine", "node.kubernetes.io/not-ready"))
    assert [taint["key"] for taint in change["spec"]["taints"]] == ["node.kubernetes.io/not-ready"]


def test_a_cordoned_node_may_be_used_again() -> None:
    assert nodes.undo(node({}, unschedulable=True)) == {"spec": {"unschedulable": None}}


PACE = Pace(created=(0.0, 0.1, 0.2, 0.3), bound=(0.5, 0.6, 1.1, 2.0), running=(0.7, 0.9, 1.3, 2.2))


def test_seconds_and_rate_run_from_the_first_pod_to_the_last_node() -> None:
    assert PACE.seconds == 2.0
    assert PACE.rate == 2.0
    assert list(PACE.curves().points["bound"])[-1] == (2.0, 4.0)


def test_the_longest_queue_shows_who_was_waited_for() -> None:
    assert PACE.queues() == {"scheduler": 4, "kubelet": 2}


def test_nobody_seen_is_no_rate() -> None:
    assert Pace((), (), ()).rate == 0.0
    assert Pace((), (), ()).queues() == {"scheduler": 0, "kubelet": 0}


def test_an_unknown_stage_names_the_stages() -> None:
    with pytest.raises(BadInput, match="no stage 'scheduled'") as told:
        PACE.times("scheduled")
    assert "bound" in told.value.fix


def test_only_the_owner_of_machines_switches_them_off() -> None:
    assert isinstance(Embedded("x"), Machines)
    assert isinstance(Embedded("x"), RunsKwok)
    with pytest.raises(BadInput, match="can't turn nodes off"):
        catalog.machines(Existing("x"))
    with pytest.raises(BadInput, match="can't run KWOK"):
        kwok.runner(Existing("x"))


def test_kwok_is_held_to_its_own_nodes(tmp_path: Path) -> None:
    part = process.component(Layout(tmp_path), Path("/bin/kwok"))
    assert "--manage-nodes-with-label-selector=type=kwok" in part.argv
    assert not [word for word in part.argv if "server-address" in word]
    assert part.env["KWOK_WORKDIR"].startswith(str(tmp_path))


def test_nothing_else_lands_on_a_node_of_kwok() -> None:
    made = yaml.safe_load((KWOK / "node.yaml").read_text().replace("NUMBER", "7"))
    assert made["metadata"]["name"] == "kwok-7"
    assert made["metadata"]["labels"]["type"] == "kwok"
    assert [taint["effect"] for taint in made["spec"]["taints"]] == ["NoSchedule"]
    assert nodes.undo(KubeObject(made))["metadata"]["labels"] == {"type": None}, "tidy must pass it over"
