"""A real inference gateway: it chooses servers, holds requests while there is none, and leaves nothing.

Its endpoint picker takes minutes to build, and Envoy is a package of its own: left out where one is missing.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from labkit import clients, pull_secret, reset
from labkit.kube import Kube
from labkit.load import Load, Open, Workload, arrivals, start
from localcluster import gateway, keda, polling, spawn
from localcluster.embedded import admin
from localcluster.embedded.provider import Embedded
from localcluster.errors import BadInput, ToolchainError
from localcluster.provider import Pool
from localcluster.toolchain import ladder, locate
from tests.cluster.live.test_keda import NAMES as KEDA
from tests.cluster.live.test_keda import scaled

ROOT = Path(__file__).parents[3]
DEPLOYMENT = "deployment/llm-inference-service"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
QUEUE = "inference_extension_flow_control_queue_size"
BODY = {"model": "meta-llama/Llama-3.1-8B-Instruct", "prompt": "hello", "max_tokens": 5}


def missing() -> str:
    try:
        locate.envoy()
    except ToolchainError as error:
        return f"{error.what} {error.fix}"
    return "" if ladder.Ladder().look(["epp"]) else "not built: labkit toolchain fetch epp"


pytestmark = [pytest.mark.embedded, pytest.mark.skipif(bool(missing()), reason=missing() or "all is here")]


@pytest.fixture
def servers(cluster: Embedded, namespace: Kube) -> Kube:
    """Two model servers."""
    access = cluster.registry()
    reset.model_image(access, print)
    pull_secret.make(namespace, access, name=pull_secret.NAME)
    pull_secret.give(namespace, pull_secret.NAME)
    namespace.apply(ROOT / "manifests" / "overlays" / cluster.name / "server")
    namespace.until(f"{DEPLOYMENT} available", seconds=90)
    return namespace


@pytest.fixture
def url(cluster: Embedded, servers: Kube) -> Iterator[str]:
    gateway.start(cluster, Pool(servers.namespace), report=print)
    yield cluster.address(servers.namespace, gateway.SERVICE, 80)
    gateway.remove(cluster)


def asked(url: str, *, seconds: float = 30, **more: Any) -> httpx.Response:
    return httpx.post(f"{url}/v1/completions", json=BODY | more, timeout=seconds, trust_env=False)


class Asking(threading.Thread):
    """A request on its way."""

    def __init__(self, url: str, seconds: float) -> None:
        super().__init__(daemon=True)
        self._url, self._seconds = url, seconds
        self.answer: httpx.Response | None = None
        self.start()

    def run(self) -> None:
        self.answer = asked(self._url, seconds=self._seconds)

    def waited(self) -> httpx.Response:
        self.join(self._seconds)
        assert self.answer is not None
        return self.answer


def sent_to(cluster: Embedded) -> list[str]:
    lines = (cluster.layout.dir / "gateway" / "access.log").read_text().splitlines()
    return [json.loads(line)["server"] for line in lines]


def test_a_request_is_sent_to_the_server_that_the_picker_names(
    cluster: Embedded, servers: Kube, url: str
) -> None:
    assert asked(url).status_code == 200
    addresses = {f"{pod.at('status.podIP')}:8000" for pod in servers.objects("pods")}
    polling.until(lambda: sent_to(cluster), "the access log", seconds=10)
    assert set(sent_to(cluster)) <= addresses
    assert {part.name: state for part, _, state in cluster.states()}["epp"] == "ready"


def test_a_stream_comes_event_by_event(url: str) -> None:
    body = BODY | {"stream": True, "max_tokens": 20}
    with httpx.stream("POST", f"{url}/v1/completions", json=body, timeout=30, trust_env=False) as answer:
        events = [line for line in answer.iter_lines() if line.startswith("data: ")]
    assert events[-1] == "data: [DONE]"
    assert len(events) > 2


def test_a_request_waits_while_no_server_is_there_and_is_answered_when_one_comes(
    servers: Kube, url: str
) -> None:
    servers.kubectl("scale", DEPLOYMENT, "--replicas=0")
    servers.until("pods total=0", seconds=60)
    request = Asking(url, seconds=110)
    servers.until(f"{DEPLOYMENT} replicas=0", seconds=5)
    assert request.answer is None
    servers.kubectl("scale", DEPLOYMENT, "--replicas=1")
    assert request.waited().status_code == 200


@pytest.mark.skipif(len(ladder.Ladder().look(KEDA)) < len(KEDA), reason="KEDA is not built here")
def test_a_request_wakes_a_service_that_sleeps_and_is_itself_answered(
    cluster: Embedded, servers: Kube, url: str
) -> None:
    """The gateway's queue wakes it: the servers' own metrics are gone while there are none."""
    keda.start(cluster, report=print)
    try:
        query = f"(sum({QUEUE}) or vector(0)) + (sum(vllm:num_requests_running) or vector(0))"
        sleeps = scaled(query, scaleTargetRef={"name": "llm-inference-service"})
        admin.apply_objects(
            servers.api, [sleeps | {"metadata": sleeps["metadata"] | {"namespace": servers.namespace}}]
        )
        servers.until(f"{DEPLOYMENT} replicas=0", "pods total=0", seconds=60)
        assert Asking(url, seconds=110).waited().status_code == 200
        servers.until(f"{DEPLOYMENT} replicas=0", seconds=60)
    finally:
        keda.remove(servers.api, cluster, report=print)


@pytest.mark.parametrize("name", ["epp", "envoy"])
def test_a_part_that_is_killed_comes_back_and_requests_are_answered(
    cluster: Embedded, url: str, name: str
) -> None:
    part = spawn.Proc.load(cluster.layout.record(name))
    assert part
    os.kill(part.pid, signal.SIGKILL)

    def answered() -> bool:
        try:
            return asked(url).status_code == 200
        except httpx.TransportError:
            return False

    polling.until(answered, f"an answer after {name} was killed", seconds=60)


def test_a_picker_that_dies_fails_closed(cluster: Embedded, servers: Kube, url: str) -> None:
    """Nobody is sent anywhere by chance: what it held is answered with an error."""
    servers.kubectl("scale", DEPLOYMENT, "--replicas=0")
    servers.until("pods total=0", seconds=60)
    request = Asking(url, seconds=60)
    polling.until(lambda: held(cluster) >= 1, "the request to be held", seconds=20)
    part = spawn.Proc.load(cluster.layout.record("epp"))
    assert part
    os.kill(part.pid, signal.SIGKILL)
    assert request.waited().status_code in {500, 503}
    servers.kubectl("scale", DEPLOYMENT, "--replicas=1")
    polling.until(lambda: asked(url).status_code == 200, "an answer of the next picker", seconds=60)


def held(cluster: Embedded) -> float:
    rows = clients.prometheus(cluster).query(f"sum({QUEUE}) or vector(0)")
    return rows[0].value


def test_a_load_is_answered_through_it_and_its_requests_carry_a_header(
    cluster: Embedded, servers: Kube, url: str, tmp_path: Path
) -> None:
    """The lab's load sends token ids, which the picker's usual parser refuses."""
    headers = {"x-gateway-inference-objective": "none-such"}
    shape = Open(arrivals.even(rate=1, seconds=10))
    load = Load(url, shape, Workload(input=10, output=5), clock=servers.clock, headers=headers)
    result = start(load, tmp_path, cluster.inside(url)).wait()
    assert [row.outcome for row in result.rows] == ["ok"] * 10


def test_a_proxy_that_is_killed_under_load_costs_only_what_it_carried_and_every_loss_is_told(
    cluster: Embedded, servers: Kube, url: str, tmp_path: Path
) -> None:
    count, rate = 60, 6
    shape = Open(arrivals.even(rate=rate, seconds=count / rate))
    load = start(Load(url, shape, Workload(input=10, output=20)), tmp_path, cluster.inside(url))
    polling.until(lambda: len(sent_to(cluster)) >= count // 4, "a quarter to be answered", seconds=60)
    part = spawn.Proc.load(cluster.layout.record("envoy"))
    assert part
    os.kill(part.pid, signal.SIGKILL)
    outcomes = [row.outcome for row in load.wait().rows]
    assert len(outcomes) == count
    lost = [number for number, outcome in enumerate(outcomes) if outcome != "ok"]
    assert lost, "it was killed when nothing was under way"
    assert lost[-1] - lost[0] < count // 2
    assert outcomes[-1] == "ok"


@pytest.mark.parametrize("config", ["kind: [", "kind: InferencePool", "nothing"])
def test_a_configuration_that_is_none_is_refused_at_once(cluster: Embedded, config: str) -> None:
    with pytest.raises(BadInput):
        gateway.start(cluster, Pool("llm-lab"), config=config, report=print)
    assert "epp" not in {part.name for part, _, _ in cluster.states()}


def test_it_leaves_nothing(cluster: Embedded, servers: Kube) -> None:
    gateway.start(cluster, Pool(servers.namespace), report=print)
    procs = [spawn.Proc.load(cluster.layout.record(name)) for name in ("epp", "envoy")]
    gateway.remove(cluster)
    assert not any(proc.alive() for proc in procs if proc)
    api = servers.api
    assert not [crd for crd in api.get(CRDS)["items"] if "inference.networking" in crd["spec"]["group"]]
    assert servers.find(f"service/{gateway.SERVICE}") is None
    assert not (cluster.layout.dir / "gateway").exists()
    assert not list((cluster.layout.dir / "prometheus" / "targets").glob("*"))
    assert cluster.running()
    gateway.remove(cluster)  # safe to repeat
