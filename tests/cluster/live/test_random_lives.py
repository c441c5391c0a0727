"""Pods with random specs and random lives: none gets stuck, nothing is given twice, and nothing is left.

One history is the life of one pod: it is created, and then, in random order and beside all others, its
containers are killed, it is patched, deleted, created again, and the node agent dies. Twenty such lives are
led at a time. Half of the pods have fields of whatever the API server's OpenAPI document permits.

Everything is real (see `lives/world.py`). CI has a thousand histories, always the same ones, as far as a real
cluster can repeat anything. `LABKIT_HISTORIES=20000 pytest -m long tests/cluster/live/test_random_lives.py`
has as many others as it says.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from labkit import pull_secret, reset
from labkit.kube import Kube
from localcluster.api import STRATEGIC, identity
from localcluster.embedded.provider import Embedded
from localcluster.images.build import Request, build
from localcluster.images.push import publish
from localcluster.images.reference import parse
from localcluster.images.store import Store
from localcluster.node.pod.status import PodView, pod_status
from localcluster.provider import Spec
from tests.cluster.live.lives import tame
from tests.cluster.live.lives.tame import GATE, IMAGE, OTHER_IMAGE
from tests.cluster.live.lives.wild import Schema
from tests.cluster.live.lives.world import NAMESPACE, World
from tests.cluster.unit.status_world import views
from tests.clusters import running

TOGETHER = 20
HISTORIES = int(os.environ.get("LABKIT_HISTORIES", "20000"))
SMALL = Spec(name="lives", clock=30, gpu_nodes=1, cpu_nodes=1)


@pytest.fixture(scope="module")
def lab(own_home: Path) -> Iterator[Embedded]:
    with running(SMALL) as started:
        yield started


@pytest.fixture(scope="module")
def world(lab: Embedded) -> Iterator[World]:
    for image in (IMAGE, OTHER_IMAGE):
        build(Request(Path(__file__).parents[2] / "images" / "plain_image", parse(image)), Store())
        publish(parse(image), lab.registry())
    kube = Kube(lab.kubeconfig(), namespace=NAMESPACE)
    kube.kubectl("create", "namespace", NAMESPACE)
    kube.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=privileged")
    pull_secret.make(kube, lab.registry(), name=reset.PULL_SECRET)
    pull_secret.give(kube, reset.PULL_SECRET)
    admin = identity.of_kubeconfig(lab.kubeconfig())
    with httpx.Client(base_url=admin.server, verify=admin.tls, trust_env=False, timeout=30) as client:
        yield World(lab, client)


class Lives(RuleBasedStateMachine):
    """Twenty pods, from their creation until nothing of them is left."""

    world: ClassVar[World]
    at_rest: ClassVar[Counter[str]]
    most_deaths: ClassVar[int]
    any_pod: ClassVar[st.SearchStrategy[tame.Spec]]
    pods = Bundle("pods")

    def __init__(self) -> None:
        super().__init__()
        self.world.diary.clear()
        self.answers = self.world.answers()
        self.deaths = self.steps = 0

    @initialize(target=pods, data=st.data())
    def come(self, data: st.DataObject) -> Any:
        names = [f"p{n}" for n in range(TOGETHER)]
        for name in names:
            self._create(name, *self._drawn(name, data))
        return multiple(*names)

    def _drawn(self, name: str, data: st.DataObject) -> tuple[tame.Spec, tame.Spec]:
        """Two specs, the second for where the first is refused: no draw may depend on a cluster."""
        return data.draw(self.any_pod, label=name), data.draw(tame.pods(), label=name)

    def _create(self, name: str, wild: tame.Spec, instead: tame.Spec) -> None:
        if not self.world.create(name, wild):
            self.world.create(name, instead)

    @rule(name=pods, data=st.data())
    def come_again(self, name: str, data: st.DataObject) -> None:
        """A namesake, if the first one is gone."""
        drawn = self._drawn(name, data)
        if not self.world.object(name):
            self._create(name, *drawn)

    @rule(name=pods)
    def begin(self, name: str) -> None:
        self.world.until_begun(name)

    @rule(name=pods, which=st.integers(0, 3))
    def kill(self, name: str, which: int) -> None:
        self.world.kill(name, which)

    @rule(name=pods, grace=st.sampled_from([None, 0, 1, 30]))
    def delete(self, name: str, grace: int | None) -> None:
        self.world.delete(name, **({} if grace is None else {"gracePeriodSeconds": grace}))

    @rule(name=pods, container=st.sampled_from(["c0", "c0", "c1", "i0"]), image=tame.images)
    def change_image(self, name: str, container: str, image: str) -> None:
        kind = "initContainers" if container.startswith("i") else "containers"
        self.world.patch(name, {"spec": {kind: [{"name": container, "image": image}]}})

    @rule(name=pods, seconds=st.sampled_from([1, 10, 1000]))
    def shorten(self, name: str, seconds: int) -> None:
        self.world.patch(name, {"spec": {"activeDeadlineSeconds": seconds}})

    @rule(name=pods, value=st.sampled_from(["1", "2"]))
    def label(self, name: str, value: str) -> None:
        self.world.patch(name, {"metadata": {"labels": {"n": value}, "annotations": {"n": value}}})

    @rule(name=pods, resources=tame.resources())
    def resize(self, name: str, resources: tame.Spec) -> None:
        resources = {kind: {k: v for k, v in of.items() if "/" not in k} for kind, of in resources.items()}
        self.world.patch(name, {"spec": {"containers": [{"name": "c0", "resources": resources}]}}, "/resize")

    @rule(name=pods, value=st.sampled_from(["True", "False", "Unknown"]))
    def open_gate(self, name: str, value: str) -> None:
        self.world.patch(name, {"status": {"conditions": [{"type": GATE, "status": value}]}}, "/status")

    @rule(name=pods, number=st.integers(0, 1), command=tame.commands)
    def debug(self, name: str, number: int, command: list[str]) -> None:
        added = {"name": f"e{number}", "image": IMAGE, "command": command, "targetContainerName": "c0"}
        self.world.patch(name, {"spec": {"ephemeralContainers": [added]}}, "/ephemeralcontainers")

    @precondition(lambda self: self.deaths < self.most_deaths)
    @rule()
    def agent_dies(self) -> None:
        self.deaths += 1
        self.world.kill_agent()

    @invariant()
    def nothing_is_shared(self) -> None:
        """A look costs as much as a pod's start, so it is not taken after each step."""
        self.steps += 1
        if self.steps % 4 == 0:
            self.world.nothing_is_shared()

    def teardown(self) -> None:
        self.world.nothing_is_shared()
        self.world.all_can_be_deleted()
        self.world.nothing_is_left(self.at_rest)
        self.world.all_gpus_are_free()
        self.world.no_status_is_refused(self.answers)
        self.world.the_agent_is_well()


SPEC = {
    "schedulerName": "nobody",
    "restartPolicy": "OnFailure",
    "initContainers": [
        {"name": "i", "image": IMAGE},
        {"name": "s", "image": IMAGE, "restartPolicy": "Always"},
    ],
    "containers": [{"name": "a", "image": IMAGE}, {"name": "b", "image": IMAGE}],
}


def test_the_api_server_takes_every_status_that_a_node_makes(world: World) -> None:
    """Of states that no life above may come to; nothing is stored."""
    assert world.create("status", SPEC)

    @settings(max_examples=150)
    @given(views(SPEC))
    def taken(view: PodView) -> None:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/status/status?dryRun=All"
        answer = world.ask("PATCH", path, {"status": pod_status(view)}, kind=STRATEGIC)
        assert answer.is_success, answer.text

    taken()
    world.delete("status", gracePeriodSeconds=0)


def lead(world: World, histories: int, *, deaths: int, **how: Any) -> None:
    """So many lives, in which everything holds; the agent dies so often in twenty of them, or less."""
    Lives.world, Lives.at_rest, Lives.most_deaths = world, world.holdings(), deaths
    schema = Schema(world.ask("GET", "/openapi/v3/api/v1").json())
    Lives.any_pod = tame.pods() | schema.pods(tame.pods())
    before = world.made
    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=histories // TOGETHER,
            stateful_step_count=25,
            phases=[Phase.generate],  # to make a failure smaller would take hours
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            **how,
        ),
    )
    assert world.made - before >= histories


def test_a_thousand_random_lives(world: World) -> None:
    lead(world, 1000, deaths=1)


@pytest.mark.long
def test_more_random_lives(world: World) -> None:
    lead(world, HISTORIES, deaths=3, derandomize=False)
