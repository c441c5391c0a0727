"""`labkit up --provider kind` on a real engine: whole, ours, and gone without a trace."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from labkit import pull_secret, reset
from labkit.errors import NotOurs, ProviderError
from labkit.kube import Kube
from labkit.kube.client import Which
from localcluster import polling, spawn
from localcluster.images import blocking
from localcluster.images.credentials import Login
from localcluster.images.failure import Unauthorized
from localcluster.images.push import check_login
from localcluster.images.registry import Mirror
from localcluster.kind.engine import Engine
from localcluster.kind.machines import CLUSTER
from localcluster.kind.provider import Kind
from localcluster.kind.settings import Settings
from localcluster.provider import Spec
from tests.cluster.kind.wanted import wanted

GPU_DEPLOYMENT = Path(__file__).parents[3] / "manifests" / "00-start" / "thirteen-gpus.yaml"


def small(name: str) -> Spec:
    """A control plane and one GPU node."""
    return replace(wanted(name), gpu_nodes=1, cpu_nodes=0)


def traces(name: str) -> list[str]:
    """Containers and volumes of a lab, running or not."""
    engine = Engine.chosen()
    found = engine.run("ps", "--all", "--format", "{{.Names}}").split()
    return [container for container in found if container.startswith(f"labkit-{name}-")]


def test_a_second_up_finds_the_first(cluster: Kind) -> None:
    said: list[str] = []
    cluster.up(cluster.spec(), said.append)
    assert "is already up" in said[-1]
    with pytest.raises(ProviderError, match="with other settings: clock=15"):
        cluster.up(replace(cluster.spec(), clock=30))


def test_every_part_is_ready_and_says_what_it_is_for(cluster: Kind) -> None:
    parts = cluster.parts()
    assert {part.state for part in parts} == {"ready"}
    assert len([part for part in parts if part.does.startswith("a node")]) == 5
    assert {"prometheus", "prometheus-adapter", "gpu-plugin"} <= {part.name for part in parts}


def test_everything_listens_on_the_loopback_only(cluster: Kind) -> None:
    settings = Settings.load(cluster.layout)
    for container in traces(settings.spec.name):
        for line in cluster.engine.run("port", container).splitlines():
            assert line.split("-> ")[1].startswith("127.0.0.1:"), line


def test_the_users_own_kubeconfig_is_left_alone(cluster: Kind) -> None:
    own = Path.home() / ".kube" / "config"
    assert not own.exists() or Settings.load(cluster.layout).cluster not in own.read_text()
    assert cluster.kubeconfig().stat().st_mode & 0o077 == 0


def test_prometheus_lets_nobody_in_without_a_certificate(cluster: Kind) -> None:
    at = cluster.prometheus()
    assert at.ca is not None
    context = ssl.create_default_context(cafile=str(at.ca))
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{at.url}/-/ready", verify=context, trust_env=False)


def test_the_registry_asks_for_a_login(cluster: Kind) -> None:
    access = cluster.registry()
    mirrors = [Mirror.of(access)]
    blocking.run(check_login(access.host, Login(access.username, access.password), mirrors=mirrors))
    with pytest.raises(Unauthorized):
        blocking.run(check_login(access.host, Login(access.username, "wrong"), mirrors=mirrors))


def test_a_laptop_runs_what_asks_for_a_server_and_the_deployment_stays_as_it_is(
    cluster: Kind, namespace: Kube
) -> None:
    served(cluster, namespace)
    deployment = namespace.object("deployment/llm-inference-service")
    container = deployment.at("spec.template.spec.containers.0")
    assert container["resources"]["requests"] == {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}
    assert deployment.at("spec.template.spec.terminationGracePeriodSeconds") == 120
    (pod, *_) = namespace.objects("pods", which=Which("app=llm-model"))
    requests = pod.at("spec.containers.0.resources.requests")
    assert requests == {"cpu": "100m", "memory": "256Mi", "nvidia.com/gpu": "1"}
    assert pod.at("spec.terminationGracePeriodSeconds") == 8
    assert pod.at("spec.containers.0.lifecycle.preStop.sleep.seconds") == 1
    assert pod.at("spec.containers.0.startupProbe.failureThreshold") == 40


def test_a_service_and_a_single_pod_answer_on_this_machine(cluster: Kind, namespace: Kube) -> None:
    url = served(cluster, namespace)
    assert httpx.get(f"{url}/health", trust_env=False).status_code == 200
    (pod, *_) = namespace.objects("pods", which=Which("app=llm-model"))
    page = httpx.get(f"http://{cluster.pod_address(pod)}/metrics", trust_env=False)
    assert "vllm:num_requests_waiting" in page.text


def test_a_killed_server_is_started_again_by_its_kubelet(cluster: Kind, namespace: Kube) -> None:
    served(cluster, namespace)
    (pod, *_) = namespace.objects("pods", which=Which("app=llm-model"))
    assert cluster.kill(pod) > 0
    namespace.until(f"pod/{pod.name} restarts>=1", "deployment/llm-inference-service available", seconds=90)


def test_the_thirteenth_gpu_is_one_too_many(cluster: Kind, namespace: Kube) -> None:
    login(cluster, namespace)
    namespace.apply(GPU_DEPLOYMENT)
    namespace.until("pods app=thirteen-gpus pending=1", "deployment/thirteen-gpus ready=12", seconds=120)
    (waiting,) = [
        pod
        for pod in namespace.objects("pods", which=Which("app=thirteen-gpus"))
        if pod.at("status.phase") == "Pending"
    ]
    assert "Insufficient nvidia.com/gpu" in (waiting.condition("PodScheduled") or {})["message"]


def test_no_start_over_a_cluster_that_somebody_else_made(cluster: Kind) -> None:
    image = next(iter(cluster.engine.run("images", "--format", "{{.Repository}}:{{.Tag}}").split()))
    name = "labkit-foreign-control-plane"
    cluster.engine.run("create", "--name", name, "--label", f"{CLUSTER}=labkit-foreign", image, "true")
    try:
        with pytest.raises(NotOurs, match="that this lab did not make"):
            Kind("foreign").up(small("foreign"))
        assert cluster.engine.says("container", "inspect", "--format", "{{.Id}}", name)
    finally:
        cluster.engine.remove(name)
        shutil.rmtree(Kind("foreign").layout.dir)


def test_what_an_interrupted_start_left_is_taken_away_by_down(cluster: Kind) -> None:
    """Killed while the nodes boot, with no chance to clean up."""
    child = started("killed")
    polling.until(lambda: traces("killed"), "the first containers", seconds=120)
    child.kill()
    child.communicate()
    Kind("killed").down()
    assert traces("killed") == []
    assert not Kind("killed").layout.config.exists()


def test_ctrl_c_rolls_back(cluster: Kind) -> None:
    child = started("stopped")
    polling.until(lambda: len(traces("stopped")) > 1, "nodes to boot", seconds=120)
    child.send_signal(signal.SIGINT)
    said = child.communicate(timeout=120)[1]
    assert child.returncode == 130
    assert "rolling back" in said
    assert traces("stopped") == []


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"DOCKER_HOST": "unix:///nowhere/docker.sock"}, "Its daemon is not running"),
        ({"PATH": "/nowhere"}, "needs Docker or Podman"),
    ],
    ids=["no daemon", "no engine"],
)
def test_no_engine_is_told_with_its_fix(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], told: str
) -> None:
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(ProviderError, match=told):
        Kind("nothing").up(wanted("nothing"))
    assert not Kind("nothing").layout.dir.exists()


def test_a_node_image_that_does_not_exist_is_told_and_nothing_is_left(cluster: Kind) -> None:
    spec = replace(small("absent"), node_image="localhost/no-such/image:1")
    with pytest.raises(ProviderError) as caught:
        Kind("absent").up(spec)
    assert "no-such/image" in str(caught.value)
    assert caught.value.fix
    assert traces("absent") == []


def login(cluster: Kind, kube: Kube) -> None:
    """The pull secret and the model server's image, as every notebook starts with them."""
    access = cluster.registry()
    reset.model_image(access, lambda _line: None)
    pull_secret.make(kube, access, name=reset.PULL_SECRET)


def served(cluster: Kind, kube: Kube) -> str:
    """Two model servers behind a Service; where it answers."""
    login(cluster, kube)
    kube.apply(Path(__file__).parents[3] / "manifests" / "overlays" / "kind" / "server")
    kube.until("deployment/llm-inference-service available", "pods app=llm-model ready=2", seconds=120)
    return cluster.address(kube.namespace, "llm-inference-service", 80)


def started(name: str) -> spawn.Piped:
    """`labkit up` for a small kind lab, as a person starts it."""
    spec = small(name)
    words = ["up", "--provider", "kind", "--name", name, "--gpu-nodes", "1", "--cpu-nodes", "0"]
    if spec.node_image:
        words += ["--node-image", spec.node_image]
    if spec.node_patches:
        words += ["--node-patches", spec.node_patches]
    return spawn.piped([sys.executable, "-m", "labkit.cli", *words], env=os.environ)
