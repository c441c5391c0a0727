"""What a kind lab is made of, and what its engine's refusals mean: all that needs no engine."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from labkit.errors import BadInput, ProviderError
from localcluster.api.objects import KubeObject
from localcluster.kind import engine, files, outside
from localcluster.kind.engine import Engine
from localcluster.kind.settings import FIRST_NODE_PORT, Settings, layout_of
from localcluster.provider import Spec

SPEC = Spec(name="class", gpu_nodes=2, cpu_nodes=1)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "home"))
    return tmp_path


def config(spec: Spec = SPEC) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(files.cluster_config(layout_of("class"), Settings.new(spec)))
    return found


def kubeadm(cluster: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    patches = map(yaml.safe_load, cluster["kubeadmConfigPatches"])
    return [patch for patch in patches if patch["kind"] == kind]


def test_the_cluster_has_the_nodes_that_were_asked_for_each_labelled_for_what_it_is() -> None:
    head, *workers = config()["nodes"]
    assert head["role"] == "control-plane"
    assert [w["labels"]["labkit.dev/gpus"] for w in workers] == ["simulated", "simulated", "none"]


def test_pods_have_as_many_cpus_as_on_the_embedded_cluster_on_the_laptops_scale() -> None:
    made = yaml.safe_load(files.cluster_config(layout_of("class"), Settings.new(SPEC), cpus=2))
    head, *workers = made["nodes"]
    assert "kubeadmConfigPatches" not in head
    patches = [yaml.safe_load(patch) for worker in workers for patch in worker["kubeadmConfigPatches"]]
    reserved = [patch["nodeRegistration"]["kubeletExtraArgs"][0]["value"] for patch in patches]
    assert reserved == ["cpu=375m", "cpu=375m", "cpu=1175m"]  # 64 cores are 1600m, and 25m for what is there
    few = yaml.safe_load(files.cluster_config(layout_of("class"), Settings.new(SPEC), cpus=1))
    assert "cpu=0m" in few["nodes"][1]["kubeadmConfigPatches"][0], "a small machine gives all that it has"


def test_the_scheduler_can_pack_here_too() -> None:
    files.write_first(layout_of("class"), Settings.new(SPEC))
    text = (layout_of("class").dir / "scheduler" / "scheduler.yaml").read_text()
    assert "kubeconfig: /etc/kubernetes/scheduler.conf" in text
    (patch,) = kubeadm(config(), "ClusterConfiguration")
    assert {"name": "config", "value": "/labkit/scheduler/scheduler.yaml"} in patch["scheduler"]["extraArgs"]
    assert any(m["containerPath"] == "/labkit/scheduler" for m in config()["nodes"][0]["extraMounts"])


def test_only_the_loopback_leads_in_and_each_node_port_to_a_port_of_its_own() -> None:
    head, *_ = config()["nodes"]
    ports = head["extraPortMappings"]
    assert {port["listenAddress"] for port in ports} == {"127.0.0.1"}
    assert ports[0]["containerPort"] == FIRST_NODE_PORT
    assert len({port["hostPort"] for port in ports}) == len(ports)


def test_the_clock_reaches_the_controllers_as_kubeadm_lists_flags() -> None:
    (patch,) = kubeadm(config(replace(SPEC, clock=15)), "ClusterConfiguration")
    flags = {a["name"]: a["value"] for a in patch["controllerManager"]["extraArgs"]}
    assert flags["horizontal-pod-autoscaler-sync-period"] == "1s"
    assert flags["horizontal-pod-autoscaler-downscale-stabilization"] == "20s"
    (slow,) = kubeadm(config(replace(SPEC, clock=1)), "ClusterConfiguration")
    assert {"name": "horizontal-pod-autoscaler-sync-period", "value": "15s"} in slow["controllerManager"][
        "extraArgs"
    ]


def test_the_users_image_and_patches_are_taken_as_they_are(home: Path) -> None:
    patches = home / "patches.yaml"
    patches.write_text("kind: KubeletConfiguration\nfailCgroupV1: false\n")
    cluster = config(replace(SPEC, node_image="localhost/node:1", node_patches=str(patches)))
    assert {node["image"] for node in cluster["nodes"]} == {"localhost/node:1"}
    assert kubeadm(cluster, "KubeletConfiguration")[-1]["failCgroupV1"] is False


@pytest.mark.parametrize(
    "text", ["a: [", "just words", "no: kind"], ids=["not YAML", "no mapping", "no kind"]
)
def test_patches_that_are_none_are_refused_before_anything_is_made(home: Path, text: str) -> None:
    patches = home / "patches.yaml"
    patches.write_text(text)
    with pytest.raises(BadInput) as caught:
        config(replace(SPEC, node_patches=str(patches)))
    assert str(patches) in caught.value.what
    assert "KubeletConfiguration" in caught.value.fix


def test_settings_come_back_as_they_were_written() -> None:
    layout = layout_of("class")
    settings = Settings.new(SPEC)
    settings.save(layout)
    assert Settings.load(layout) == settings
    layout.config.write_text("{}")
    with pytest.raises(ProviderError, match="another version"):
        Settings.load(layout)


def test_a_kind_lab_and_an_embedded_one_may_share_a_name() -> None:
    assert layout_of("lab").dir.name == "lab.kind"
    with pytest.raises(BadInput):
        layout_of("lab.kind")


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (
            "permission denied while trying to connect to the Docker daemon socket",
            "no permission for its socket",
        ),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock", "daemon is not running"),
        ("write /var/lib/docker/tmp: no space left on device", "disk is full"),
        ('ERROR: could not find a log line that matches "Reached target .*"', "did not boot within the 30 s"),
        ("Bind for 127.0.0.1:30000 failed: port is already allocated", "another program now listens"),
        ("exec /usr/local/bin/entrypoint: exec format error", "another CPU architecture"),
        ("pull access denied for localhost/x, repository does not exist", "no such image"),
    ],
)
def test_what_an_engine_refuses_is_told_with_cause_and_fix(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: str, cause: str
) -> None:
    program = home / "docker"
    program.write_text(f'#!/bin/sh\necho "{said}" >&2\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(home))
    with pytest.raises(ProviderError) as caught:
        Engine("docker").run("run", "x")
    assert cause.lower() in caught.value.cause.lower()
    assert caught.value.fix


def test_too_little_memory_and_too_few_watchers_are_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = home / "docker"
    program.write_text("#!/bin/sh\necho '{\"MemTotal\": 2147483648}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(home))
    assert "has 2.0 GiB of memory" in (Engine("docker").missing(workers=4) or "")
    allowed = home / "max_user_instances"
    allowed.write_text("32\n")
    monkeypatch.setattr(engine, "INOTIFY", allowed)
    assert "sudo sysctl fs.inotify.max_user_instances=512" in (engine.watchers_missing(4) or "")


PODMAN = {"memTotal": 2**35, "security": {"rootless": True}, "cgroupVersion": "v2"}
DOCKER = {"MemTotal": 2**35, "SecurityOptions": ["name=seccomp", "name=rootless"], "CgroupVersion": "2"}


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"host": PODMAN | {"cgroupVersion": "v1", "cgroupControllers": []}}, "needs cgroup v2"),
        ({"host": PODMAN | {"cgroupControllers": ["memory", "pids"]}}, "may not limit cpu,"),
        (DOCKER | {"CgroupVersion": "1"}, "needs cgroup v2"),
        (DOCKER | {"MemoryLimit": True, "PidsLimit": True}, "may not limit cpu,"),
        ({"host": PODMAN | {"cgroupControllers": ["cpu", "memory", "pids"]}}, ""),
        (DOCKER | {"MemoryLimit": True, "PidsLimit": True, "CPUShares": True}, ""),
        ({"host": PODMAN | {"security": {"rootless": False}, "cgroupVersion": "v1"}}, ""),
    ],
)
def test_what_an_engine_without_root_lacks_is_told_before_anything_starts(
    home: Path, monkeypatch: pytest.MonkeyPatch, info: dict[str, Any], said: str
) -> None:
    program = home / "podman"
    program.write_text(f"#!/bin/sh\necho '{json.dumps(info)}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(home))
    told = Engine("podman").missing(workers=0) or ""
    assert said in told
    assert bool(told) == bool(said)
    assert not said or "Fix: " in told


def test_a_fix_names_the_engine_that_is_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = home / "podman"
    program.write_text("#!/bin/sh\necho 'lookup registry: dial tcp: no such host' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(home))
    with pytest.raises(ProviderError) as caught:
        Engine("podman").run("build", "x")
    assert "`podman load`" in caught.value.fix


def test_a_name_beside_a_long_one_still_fits_a_service() -> None:
    assert outside.name_beside("web") == "web-outside"
    long = "a" * 60
    assert len(outside.name_beside(long)) <= 63
    assert outside.name_beside(long) != outside.name_beside(long[:-1] + "b")


def test_a_port_that_a_service_has_not_is_told_with_those_that_it_has() -> None:
    service = KubeObject({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}})
    with pytest.raises(ProviderError, match="no port 81") as caught:
        outside.service_port(None, service, 81)  # type: ignore[arg-type]
    assert "80" in caught.value.fix
