"""Real GPUs on kind: from what a host's tools said to a verdict, and to the steps that it takes.

The hosts lie in gpu_hosts/, each the words of nvidia-smi, docker and the toolkit on one kind of machine.
"""

import json
import stat
from pathlib import Path

import pytest
import yaml

from labkit.errors import BadInput, ProviderError
from localcluster import spawn
from localcluster.cli.cluster import up
from localcluster.kind import files, nvidia
from localcluster.kind.engine import Engine
from localcluster.kind.host_gpus import Facts, judge, look, read_gpus
from localcluster.kind.settings import Settings, layout_of
from localcluster.kind.startup import Startup
from localcluster.kind.transcript import transcript
from localcluster.provider import RegistryAccess, Spec

HOSTS = Path(__file__).parent / "gpu_hosts"
CONFIG = {
    "kind": "Cluster",
    "apiVersion": "kind.x-k8s.io/v1alpha4",
    "nodes": [
        {"role": "control-plane"},
        {"role": "worker", "labels": {"labkit.dev/gpus": "simulated"}, "image": "node:1"},
        {"role": "worker", "labels": {"labkit.dev/gpus": "simulated"}, "image": "node:1"},
        {"role": "worker", "labels": {"labkit.dev/gpus": "none"}},
    ],
}


def host(name: str) -> Facts:
    return Facts(**json.loads((HOSTS / f"{name}.json").read_text()))


@pytest.mark.parametrize(
    ("name", "why", "fix"),
    [
        ("no-gpu", "no GPU", "omit the option"),
        ("gpu-without-docker", "Docker does not answer", "Start Docker"),
        ("gpu-without-toolkit", "nvidia-ctk) is not installed", "install-guide"),
        ("toolkit-not-configured", "default runtime is runc", "--set-as-default"),
        ("mounts-not-accepted", "does not accept GPUs through mounts", "as-volume-mounts=true --in-place"),
    ],
)
def test_what_is_missing_is_named_with_its_fix(name: str, why: str, fix: str) -> None:
    found = judge(host(name))
    assert not found.usable
    assert why in found.why
    assert fix in found.fix
    assert nvidia.offer(host(name)) is None
    with pytest.raises(ProviderError, match="Real GPUs can't be used here"):
        nvidia.plan(host(name))


def test_a_host_that_has_everything_is_offered_but_nothing_more() -> None:
    assert nvidia.offer(host("two-a100")) == (
        "This machine has 2 × NVIDIA A100-SXM4-40GB: "
        "`localcluster up --provider kind --gpus real --clock 1` would use them."
    )


def test_each_fact_alone_can_spoil_it() -> None:
    whole = json.loads((HOSTS / "two-a100.json").read_text())
    assert judge(Facts(**whole)).usable
    for fact in ("nvidia_smi", "docker_info", "toolkit_version", "toolkit_config"):
        assert not judge(Facts(**{**whole, fact: type(whole[fact])()})).usable, fact


def test_one_node_gets_all_gpus_and_nothing_is_hidden() -> None:
    (worker,) = nvidia.plan(host("two-a100"), nodes=1).workers
    assert worker.mounts == (
        {"hostPath": "/dev/null", "containerPath": "/var/run/nvidia-container-devices/all"},
    )
    assert [step.name for step in worker.steps] == ["see", "toolkit", "runtime", "params"]
    assert worker.labels["nvidia.com/gpu.product"] == "NVIDIA-A100-SXM4-40GB"
    assert worker.labels["nvidia.com/gpu.count"] == "2"


def test_gpus_are_parted_among_nodes_and_each_node_hides_the_others() -> None:
    plan = nvidia.plan(host("two-a100"), nodes=3)
    assert [[gpu.minor for gpu in worker.gpus] for worker in plan.workers] == [[0], [1]]
    for worker, other in zip(plan.workers, (1, 0), strict=True):
        (mount,) = worker.mounts
        assert mount["containerPath"].endswith(worker.gpus[0].uuid)
        assert f"/dev/nvidia{other};" in worker.steps[-1].script
        assert worker.labels["nvidia.com/gpu.count"] == "1"


def test_wsl_can_not_part_its_gpus() -> None:
    plan = nvidia.plan(host("wsl-2"), nodes=2)
    assert [len(worker.gpus) for worker in plan.workers] == [2]
    assert any("WSL 2" in note for note in plan.notes)


def test_gpus_are_not_parted_where_the_driver_does_not_tell_which_is_which() -> None:
    facts = json.loads((HOSTS / "two-a100.json").read_text()) | {"driver_files": {}}
    with pytest.raises(ProviderError, match="--gpu-nodes 1"):
        nvidia.plan(Facts(**facts), nodes=2)


def test_real_gpus_take_their_own_time() -> None:
    with pytest.raises(BadInput, match="CLOCK=15"):
        nvidia.plan(host("two-a100"), clock=15)


def test_a_person_is_told_what_the_card_and_the_driver_can_not_do() -> None:
    notes = nvidia.plan(host("small-card-old-driver")).notes
    assert any("CUDA 13" in note and "v0.30.0-cu129" in note for note in notes)
    assert any("10,240 MiB" in note for note in notes)
    assert any("stays Pending" in note for note in notes)
    assert nvidia.plan(host("two-a100")).notes == ()


def test_memory_that_is_not_told_is_no_reason_to_refuse() -> None:
    (gpu,) = read_gpus(Facts(nvidia_smi="0, GPU-1, NVIDIA GB10, [N/A], 580.95.05"))
    assert gpu.memory_mib == 0


def test_kinds_configuration_gets_the_workers_of_the_plan() -> None:
    plan = nvidia.plan(host("two-a100"), nodes=1)
    changed = nvidia.patch(CONFIG, plan)
    assert [node["role"] for node in changed["nodes"]] == ["control-plane", "worker", "worker"]
    gpu_node = changed["nodes"][-1]
    assert gpu_node["image"] == "node:1"
    assert gpu_node["labels"]["labkit.dev/gpus"] == "real", "or labkit's own plugin would come, too"
    assert gpu_node["extraMounts"] == [dict(mount) for mount in plan.workers[0].mounts]
    assert all(isinstance(value, str) for value in gpu_node["labels"].values())
    assert len(CONFIG["nodes"]) == 4, "the configuration that was handed in stays as it was"


def test_a_configuration_without_a_gpu_worker_is_refused() -> None:
    with pytest.raises(ProviderError, match="no GPU worker"):
        nvidia.patch({"nodes": [{"role": "control-plane"}]}, nvidia.plan(host("two-a100")))


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of Docker's name that writes down what it is told, and fails where a file says so."""
    program = tmp_path / "docker"
    program.write_text(f'#!/bin/sh\necho "$2 $5" | head -1 >>{tmp_path}/told\n! test -e {tmp_path}/broken\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "home"))
    return tmp_path


def startup(plan: nvidia.Plan, said: list[str]) -> Startup:
    spec = Spec(name="class", gpu_nodes=2, cpu_nodes=1, clock=1, gpus="real")
    access = RegistryAccess("registry.lab:5000", "https://127.0.0.1:5000", Path("ca.crt"), "u", "p")
    return Startup(layout_of("class"), Settings.new(spec), Engine("docker"), access, said.append, plan)


def test_every_worker_gets_its_own_steps_in_order(docker: Path) -> None:
    plan, said = nvidia.plan(host("two-a100"), nodes=2), list[str]()
    startup(plan, said)._give_gpus(plan)
    told = [line.split()[0] for line in (docker / "told").read_text().splitlines()]
    assert told == ["labkit-class-worker2"] * 5 + ["labkit-class-worker3"] * 5
    assert "toolkit" in said[1]


def test_a_step_that_fails_ends_the_start_and_says_what_helps(docker: Path) -> None:
    (docker / "broken").touch()
    plan = nvidia.plan(host("two-a100"), nodes=2)
    with pytest.raises(ProviderError, match=r"labkit-class-worker2.*'see' failed") as caught:
        startup(plan, [])._give_gpus(plan)
    assert "nvidia-smi -L` must list the GPUs" in caught.value.fix
    assert len((docker / "told").read_text().splitlines()) == 1


def test_the_cluster_and_its_manifests_are_those_of_real_gpus(docker: Path) -> None:
    plan = nvidia.plan(host("two-a100"), nodes=2)
    start = startup(plan, [])
    config = yaml.safe_load(files.cluster_config(start.layout, start.settings, real=plan))
    kinds = [node["labels"]["labkit.dev/gpus"] for node in config["nodes"][1:]]
    assert kinds == ["none", "real", "real"], "in the order in which kind names them"
    assert (start._shares, start._node_count) == ([1, 1], 4)
    files.write_first(start.layout, start.settings)
    tags = dict.fromkeys(("PROMETHEUS_TAG", "ADAPTER_TAG", "PLUGIN_TAG"), "1")
    files.write_manifests(start.layout, start.settings, tags, real=plan)
    resources = yaml.safe_load((start.layout.dir / "kustomization.yaml").read_text())["resources"]
    assert not set(resources) & set(nvidia.LEFT_OUT)
    assert {"runtime-class.yaml", "device-plugin.yaml"} <= set(resources)
    assert all((start.layout.dir / name).exists() for name in resources)


def test_a_dry_run_shows_what_happens_inside_the_workers(docker: Path) -> None:
    plan = nvidia.plan(host("two-a100"), nodes=1)
    start = startup(plan, [])
    text = transcript(start.layout, start.settings.spec, "docker", real=plan)
    assert "# Simulated: nothing." in text
    assert "docker exec labkit-class-worker2 bash -euc" in text
    assert "nvidia-ctk runtime configure" in text


@pytest.mark.parametrize(
    ("provider", "asked"), [("embedded", "real"), ("kind", "many"), ("kind", "17"), ("kind", "-1")]
)
def test_gpus_that_no_node_can_have_are_refused(docker: Path, provider: str, asked: str) -> None:
    with pytest.raises(BadInput, match=asked):
        up(name="class", provider=provider, gpus=asked, dry_run=True)


def test_every_script_is_one_that_bash_can_read() -> None:
    for worker in nvidia.plan(host("two-a100"), nodes=2).workers:
        for step in worker.steps:
            read = spawn.run(["bash", "-nc", step.script])
            assert read.returncode == 0, f"{step.name}: {read.stderr}"


def test_the_params_of_a_driver_are_masked_once(tmp_path: Path) -> None:
    """The script on files of our own; `mount` is a recorder, since a test is not root."""
    params = tmp_path / "params"
    params.write_text("ResmanDebugLevel: 4294967295\nModifyDeviceFiles: 1\nDeviceFileMode: 438\n")
    recorder = tmp_path / "mount"
    recorder.write_text(f'#!/bin/sh\ncp "$2" "$3"\necho "$@" >>{tmp_path}/mounts\n')
    recorder.chmod(recorder.stat().st_mode | stat.S_IXUSR)
    (step,) = (s for s in nvidia.plan(host("two-a100")).workers[0].steps if s.name == "params")
    script = step.script.replace("/proc/driver/nvidia/params", str(params))
    script = script.replace("/run/nvidia-params", str(tmp_path / "masked"))
    for _ in range(2):
        done = spawn.run(["bash", "-euc", script], env={"PATH": f"{tmp_path}:/usr/bin:/bin:/sbin"})
        assert done.returncode == 0, done.stderr
    assert "ModifyDeviceFiles: 0\n" in params.read_text()
    assert len((tmp_path / "mounts").read_text().splitlines()) == 1


def test_the_manifests_are_there_and_pinned() -> None:
    (runtime,) = yaml.safe_load_all(nvidia.MANIFESTS[0].read_text())
    (plugin,) = yaml.safe_load_all(nvidia.MANIFESTS[1].read_text())
    spec = plugin["spec"]["template"]["spec"]
    assert spec["runtimeClassName"] == runtime["metadata"]["name"] == runtime["handler"]
    assert spec["nodeSelector"] == runtime["scheduling"]["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert "@sha256:" in spec["containers"][0]["image"]


def test_this_machine_can_be_asked() -> None:
    assert look().kernel
