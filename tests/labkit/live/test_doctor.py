"""The doctor on a real cluster: faults are planted, each is blamed on its own hop, and health is silent.

`LABKIT_KEEP=tests/golden/doctor pytest tests/labkit/live/test_doctor.py` keeps what was seen for unit tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from labkit import clients, faults, pull_secret, reset
from labkit.doctor.facts import Observation
from labkit.doctor.look import look
from labkit.doctor.pipeline import diagnose
from labkit.errors import NotOurs
from labkit.kube import Kube
from localcluster import polling, spawn
from localcluster.api import Json
from localcluster.embedded.provider import Embedded
from localcluster.stored import plain, write_atomically

pytestmark = pytest.mark.embedded

ROOT = Path(__file__).parents[3]
FAULTS = ROOT / "manifests" / "05-hpa-queue" / "faults"
SERVER = Path(__file__).parents[2] / "images" / "queue_server" / "manifest.yaml"
QUEUE_HPA = ROOT / "manifests" / "base" / "hpa.yaml"
CPU_HPA = ROOT / "manifests" / "04-hpa-cpu" / "solutions" / "hpa.yaml"
DEPLOYMENT = "deployment/llm-inference-service"


@dataclass(frozen=True)
class World:
    """A cluster, a namespace in it, and a folder for what is made up."""

    cluster: Embedded
    kube: Kube
    folder: Path

    def deploy(self, change: Callable[[Json], None] = lambda _: None, *, hpa: Path = QUEUE_HPA) -> None:
        """Two servers under an HPA; `change` plants a fault in the Deployment. No `replicas`: the HPA's."""
        server = yaml.safe_load(SERVER.read_text())
        del server["spec"]["replicas"]
        server["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"] = "8000"
        change(server)
        self.apply(server)
        self.kube.apply(hpa)
        self.kube.until(f"{DEPLOYMENT} replicas=2", "pods app=llm-model ready=2", seconds=60)

    def apply(self, *objects: Json) -> None:
        file = self.folder / "made.yaml"
        file.write_text(yaml.safe_dump_all(objects))
        self.kube.apply(file)

    def look(self) -> Observation:
        return look(self.kube, lambda: clients.prometheus(self.cluster))

    def until_blamed(self, hop: str, fault: str) -> Observation:
        """Look until the fault is found. Meanwhile nobody else may be blamed."""
        seen: list[Observation] = []

        def blamed() -> bool:
            seen[:] = [self.look()]
            found = diagnose(seen[0]).first
            assert found is None or found.hop == hop, found
            return found is not None

        last = lambda: diagnose(seen[0]).summary  # noqa: E731 - read only where it never came true
        polling.until(blamed, f"{hop} to be blamed", seconds=60, every=0.5, last_seen=last)
        step = diagnose(seen[0]).first
        assert step
        assert step.finding.fault == fault, step.finding
        return seen[0]

    def until_healthy(self) -> None:
        """Look until all hops are fine."""
        last: list[str] = []

        def healthy() -> bool:
            last[:] = [
                step.hop for step in diagnose(self.look()).steps if step.state not in {"ok", "skipped"}
            ]
            return not last

        polling.until(healthy, "a healthy path", seconds=60, every=0.5, last_seen=lambda: ", ".join(last))


@pytest.fixture
def world(cluster: Embedded, queue_image: None, namespace: Kube, tmp_path: Path) -> World:
    del queue_image
    namespace.clock = cluster.spec().clock
    pull_secret.make(namespace, cluster.registry(), name=reset.PULL_SECRET)
    return World(cluster, namespace, tmp_path)


def test_a_healthy_path_is_silent(world: World) -> None:
    world.deploy()
    world.until_healthy()
    keep("healthy", "", "", world.look())


def test_a_healthy_path_on_cpu_is_silent(world: World) -> None:
    world.deploy(hpa=CPU_HPA)
    world.until_healthy()
    keep("healthy-cpu", "", "", world.look())


# Faults. Each is planted in a namespace of its own, or for a while in the cluster's own parts.

Fault = Callable[[World], AbstractContextManager[None]]


def in_template(change: Callable[[Json], None], *, hpa: Path = QUEUE_HPA) -> Fault:
    """The Deployment is faulty from the start."""

    @contextlib.contextmanager
    def plant(world: World) -> Iterator[None]:
        world.deploy(lambda server: change(server["spec"]["template"]), hpa=hpa)
        yield

    return plant


def afterwards(plant: Callable[[World], object]) -> Fault:
    """Everything works, and then somebody does something."""

    @contextlib.contextmanager
    def planted(world: World) -> Iterator[None]:
        world.deploy()
        world.until_healthy()
        plant(world)
        yield

    return planted


def in_the_lab(plant: Callable[[World], AbstractContextManager[None]]) -> Fault:
    """A part of the cluster itself breaks, and is mended again."""

    @contextlib.contextmanager
    def planted(world: World) -> Iterator[None]:
        world.deploy()
        world.until_healthy()
        with plant(world):
            yield
        world.until_healthy()

    return planted


def wrong_port(template: Json) -> None:
    template["metadata"]["annotations"]["prometheus.io/port"] = "9000"


def no_annotation(template: Json) -> None:
    del template["metadata"]["annotations"]["prometheus.io/scrape"]


def no_cpu_request(template: Json) -> None:
    del template["spec"]["containers"][0]["resources"]["requests"]["cpu"]


def no_readiness(template: Json) -> None:
    del template["spec"]["containers"][0]["readinessProbe"]


def another_server(template: Json) -> None:
    template["spec"]["containers"][0]["command"] = [
        "sh",
        "-c",
        "exec python3 -m http.server 8000",
    ]


def relabel(world: World) -> None:
    pod = world.kube.objects("pods")[0].name
    world.kube.kubectl("label", "pod", pod, "app=debug", "--overwrite")
    world.kube.until("pods app=llm-model ready=2", seconds=60)  # the ReplicaSet has replaced it


def misspell_the_services_selector(world: World) -> None:
    port = {"port": 80, "targetPort": "http"}
    world.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "llm-inference-service"},
            "spec": {"selector": {"app": "llm-modle"}, "ports": [port]},
        }
    )


def misspell_the_target(world: World) -> None:
    hpa = yaml.safe_load(QUEUE_HPA.read_text())
    hpa["spec"]["scaleTargetRef"]["name"] = "llm-inference-servise"
    world.apply(hpa)


def value_of_a_sum(world: World) -> None:
    hpa = yaml.safe_load((FAULTS / "value-of-a-sum.yaml").read_text())
    hpa["spec"]["metrics"][0]["object"]["describedObject"]["name"] = world.kube.namespace
    world.apply(hpa)


def apply_replicas_again(world: World) -> None:
    world.kube.kubectl("apply", "-f", SERVER)


def apply_fault(name: str) -> Callable[[World], object]:
    return lambda world: world.kube.apply(FAULTS / name)


@contextlib.contextmanager
def frozen(world: World, component: str) -> Iterator[None]:
    """A part that does not answer any more: stopped, so that nobody starts another."""
    proc = spawn.Proc.load(world.cluster.layout.record(component))
    assert proc
    os.kill(proc.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(proc.pid, signal.SIGCONT)


@contextlib.contextmanager
def rewritten(world: World, file: str, old: str, new: str) -> Iterator[None]:
    """Another configuration for a part: it is ended, and its supervisor starts it with what the file says."""
    path = world.cluster.layout.dir / "prometheus" / file
    before = path.read_text()
    assert old in before
    component = "prometheus-adapter" if file == "adapter-rules.yaml" else "prometheus"
    path.write_text(before.replace(old, new))
    restart(world.cluster, component)

    def scraped() -> bool:
        return [t.health for t in world.look().prometheus.targets] == ["up", "up"]

    polling.until(scraped, "Prometheus to scrape both pods again", seconds=30)
    try:
        yield
    finally:
        path.write_text(before)
        restart(world.cluster, component)


def restart(cluster: Embedded, name: str) -> None:
    before = spawn.Proc.load(cluster.layout.record(name))
    assert before
    spawn.end([before], grace=5)

    def again() -> bool:
        proc, state = next((p, state) for c, p, state in cluster.states() if c.name == name)
        return proc is not None and proc.pid != before.pid and state == "ready"

    polling.until(again, f"{name} to run again", seconds=30)


@contextlib.contextmanager
def misnamed_apiservice(world: World) -> Iterator[None]:
    """As notebook 05 does it; what stood there before comes back whole."""
    targets = [f"apiservice/{version}.custom.metrics.k8s.io" for version in ("v1beta1", "v1beta2")]
    before = [world.kube.object(target) for target in targets]
    with pytest.raises(NotOurs, match="did not make this cluster"):
        faults.plant(world.kube, FAULTS / "apiservice.yaml", owned=False)
    assert faults.plant(world.kube, FAULTS / "apiservice.yaml", owned=True) == targets
    faults.plant(world.kube, FAULTS / "apiservice.yaml", owned=True)  # twice, as a cell may be run
    try:
        world.kube.until("hpa/llm-hpa not scalingactive", seconds=30)
        yield
    finally:
        assert faults.lift(world.kube) == targets
    for target, was in zip(targets, before, strict=True):
        after = world.kube.object(target)
        assert (after["spec"], after.annotations) == (was["spec"], was.annotations)
    assert faults.lift(world.kube) == []


@contextlib.contextmanager
def wrong_rule(world: World) -> Iterator[None]:
    """The adapter gives the queue another name, and the HPA has seen that."""
    rule = ("adapter-rules.yaml", "as: vllm_request_queue_size", "as: vllm_queue_size")
    with rewritten(world, *rule):

        def said() -> str:
            return str((world.kube.object("hpa/llm-hpa").condition("ScalingActive") or {}).get("message"))

        polling.until(
            lambda: "could not find the metric" in said(), "the HPA to miss it", seconds=60, last_seen=said
        )
        yield


LABEL = ("prometheus.yml", "        target_label: pod\n", "        target_label: pod_name\n")
PLANTED: list[tuple[str, str, str, Fault]] = [
    ("wrong-port", "scrape", "wrong-port", in_template(wrong_port)),
    ("no-annotation", "scrape", "no-scrape-annotation", in_template(no_annotation)),
    ("no-cpu-request", "pods", "no-request", in_template(no_cpu_request, hpa=CPU_HPA)),
    ("no-readiness", "pods", "no-readiness", in_template(no_readiness)),
    ("another-server", "metrics page", "no-page", in_template(another_server)),
    ("pod-label", "pods", "released-pod", afterwards(relabel)),
    ("service-selector", "pods", "service-selector", afterwards(misspell_the_services_selector)),
    ("renamed-metric", "HPA", "unknown-metric", afterwards(apply_fault("renamed-metric.yaml"))),
    ("second-hpa", "HPA", "second-hpa", afterwards(apply_fault("second-hpa.yaml"))),
    ("value-of-a-sum", "HPA", "value-of-a-sum", afterwards(value_of_a_sum)),
    ("misspelt-target", "scale target", "no-target", afterwards(misspell_the_target)),
    ("replicas-again", "scale target", "two-writers", afterwards(apply_replicas_again)),
    ("adapter-rule", "adapter", "no-rule", in_the_lab(wrong_rule)),
    ("adapter-down", "metrics API", "api-unavailable", in_the_lab(lambda w: frozen(w, "prometheus-adapter"))),
    ("apiservice", "metrics API", "api-unavailable", in_the_lab(misnamed_apiservice)),
    ("prometheus-down", "scrape", "prometheus-down", in_the_lab(lambda w: frozen(w, "prometheus"))),
    ("no-pod-label", "series", "no-labels", in_the_lab(lambda w: rewritten(w, *LABEL))),
]


@pytest.mark.parametrize(("name", "hop", "fault", "plant"), PLANTED, ids=[name for name, *_ in PLANTED])
def test_a_planted_fault_is_blamed_on_its_own_hop(
    world: World, name: str, hop: str, fault: str, plant: Fault
) -> None:
    with plant(world):
        keep(name, hop, fault, world.until_blamed(hop, fault))


def keep(name: str, hop: str, fault: str, seen: Observation) -> None:
    """Store what was seen, where a person asks for it: tests/labkit/unit/test_doctor.py judges it again."""
    folder = os.environ.get("LABKIT_KEEP")
    if folder:
        text = json.dumps({"hop": hop, "fault": fault, "seen": plain(seen)}, indent=1)
        write_atomically(ROOT / folder / f"{name}.json", f"{text}\n", mode=0o644)
