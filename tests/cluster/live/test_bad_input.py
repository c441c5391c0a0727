"""What bad input and bad days get: a message that names cause and fix, nothing half-done, nothing lost.

Machines that lack something (a disk with room, a network, user namespaces) are made with bubblewrap around
`labkit` itself: the kernel really refuses. A namespace for processes around each ends whatever a test leaves.
Other lines of the same promise are held in test_up_and_down, test_kube, test_pods and the unit tests.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from labkit import pull_secret
from labkit.errors import ComponentError, LabError
from labkit.kube import Kube
from localcluster import polling, spawn
from localcluster.embedded import startup
from localcluster.embedded.provider import Embedded
from localcluster.images.build import Request, build
from localcluster.images.push import publish
from localcluster.images.reference import parse
from localcluster.images.store import Store
from localcluster.layout import Layout
from localcluster.provider import RegistryAccess, Spec
from localcluster.toolchain.locate import bwrap
from tests.clusters import running

pytestmark = pytest.mark.embedded

LABKIT = (sys.executable, "-m", "labkit.cli")
SMALL = ("--gpu-nodes", "1", "--cpu-nodes", "0")
BARE = shlex.join((*SMALL, "--isolation", "none"))  # a container in a box may be one wall too many
IMAGE = "registry.lab:5000/bad-input:1.0"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


def boxed(script: str, *options: str, home: Path) -> spawn.Finished:
    """Run a shell script on a machine that lacks what the options take away; `labkit` is a word in it."""
    box = [str(bwrap()), "--unshare-user", "--unshare-pid", "--dev-bind", "/", "/", "--proc", "/proc"]
    env = {**os.environ, "LABKIT_HOME": str(home)}
    env = {name: value for name, value in env.items() if name != spawn.MARKER}
    words = f'labkit() {{ {shlex.join(LABKIT)} "$@"; }}\n{script}'
    return spawn.run([*box, "--die-with-parent", *options, "--", "sh", "-c", words], env=env, seconds=300)


def left_over(layout: Layout) -> list[spawn.Proc]:
    return spawn.marked(layout.dir)


def spoken(error: LabError) -> str:
    """What a person reads; each error must name at least the way out."""
    assert error.fix
    return str(error)


# Disk


def test_too_small_a_disk_is_told_before_anything_is_made(tmp_path: Path) -> None:
    script = f"labkit up {shlex.join(SMALL)}; echo $?; ls -A {tmp_path}/lab"
    done = boxed(script, "--size", str(60 * 2**20), "--tmpfs", str(tmp_path), home=tmp_path)
    assert done.stdout.split() == ["1"]
    assert "MiB are free" in done.stderr
    assert "LABKIT_HOME" in done.stderr


def test_a_disk_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    done = boxed("labkit up; echo $?", "--ro-bind", str(tmp_path), str(tmp_path), home=tmp_path)
    assert done.stdout.split() == ["1"]
    assert "Read-only file system" in done.stderr
    assert "LABKIT_HOME" in done.stderr


FULL = """
set -e
labkit up {small} >&2
labkit kubectl create configmap kept --from-literal=a=b
cat /dev/zero > {home}/fill 2>/dev/null || true
labkit up {small} 2>{home}/../up || grep -qi "space" {home}/../up  # a part may have died of it just before
echo still-up-or-told
while labkit kubectl create configmap flood-$(date +%N) --from-file={home}/lab/pki --request-timeout=3s; do
    cat /dev/zero >> {home}/fill 2>/dev/null || true
done >/dev/null 2>&1
labkit status >/dev/null 2>{home}/../status || true
rm {home}/fill
for _ in $(seq 100); do labkit status >/dev/null 2>&1 && break; done
labkit status >&2
labkit kubectl get configmap kept -o name
labkit down >&2
ls -A {home}/lab
"""


def test_a_disk_that_fills_up_costs_no_object_once_there_is_room_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    script = FULL.format(small=BARE, home=home)
    done = boxed(script, "--size", str(400 * 2**20), "--tmpfs", str(home), home=home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["configmap/kept", "created", "still-up-or-told", "configmap/kept", "logs"]
    assert "free some space" in (tmp_path / "status").read_text()


# The machine


def test_a_host_that_refuses_user_namespaces_is_told_before_anything_is_made(tmp_path: Path) -> None:
    done = boxed("labkit up; echo $?; ls -A $LABKIT_HOME/lab", "--disable-userns", home=tmp_path)
    assert done.stdout.split() == ["1", "lock"]
    assert "Containers can't be isolated" in done.stderr
    assert "denies user namespaces" in done.stderr
    cures = [
        done.stderr.find(word) for word in ("apparmor_parser", "sysctl -w", "labkit up --isolation none")
    ]
    assert -1 < cures[0] < cures[1] < cures[2], "the one that opens least comes first"


def test_without_network_and_namespaces_there_still_is_a_lab_without_walls(tmp_path: Path) -> None:
    script = f"set -e; labkit up {BARE}; labkit kubectl get nodes -o name; labkit down"
    done = boxed(script, "--disable-userns", "--unshare-net", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["node/gpu-node-1"]


def test_a_step_that_takes_too_long_is_told_and_rolled_back(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "PATIENCE", 3.0)
    lab = Embedded("frozen")

    def freeze(line: str) -> None:
        if "etcd is ready" in line:
            record = lab.layout.record("kube-apiserver")
            server = polling.until(lambda: spawn.Proc.load(record), "the API server", seconds=20)
            os.kill(server.pid, signal.SIGSTOP)

    with pytest.raises(ComponentError, match="Waited 3 s for kube-apiserver to be ready") as caught:
        lab.up(Spec(name="frozen", gpu_nodes=0, cpu_nodes=0), freeze)
    assert "slow machine" in spoken(caught.value)
    assert left_over(lab.layout) == []
    assert [path.name for path in lab.layout.dir.iterdir()] == ["logs"]


# Two at once, Ctrl-C, strange surroundings


def start(*words: str, env: dict[str, str]) -> spawn.Piped:
    return spawn.piped([*LABKIT, *words], env=env)


def end(process: spawn.Piped) -> tuple[int, str]:
    _, err = process.communicate(timeout=120)
    return process.returncode, err


def test_two_ups_at_once_in_a_strange_home_make_one_lab(tmp_path: Path) -> None:
    home = tmp_path / "ein Ördner mit 'Quotes', $HOME {und} 实验室"
    plain = {"LC_ALL": "C", "LANG": "C", "TERM": "dumb", "NO_COLOR": "1"}
    env = {**os.environ, **plain, "LABKIT_HOME": str(home)}
    both = [start("up", *SMALL, env=env) for _ in range(2)]
    try:
        ended = [end(process) for process in both]
        assert [status for status, _ in ended] == [0, 0], ended
        assert sum("waiting for it" in err and "already up" in err for _, err in ended) == 1
        assert "\x1b" not in ended[0][1] + ended[1][1]
        assert f"export KUBECONFIG={shlex.quote(str(home / 'lab' / 'kubeconfig'))}" in ended[0][1]
        nodes = spawn.run([*LABKIT, "kubectl", "get", "nodes", "-o", "name"], env=env, cwd=tmp_path)
        assert nodes.stdout == "node/gpu-node-1\n"
        status, err = end(start("up", "--gpu-nodes", "2", "--cpu-nodes", "0", env=env))
        assert (status, "gpu_nodes=1 (asked for: 2)" in err) == (1, True)
    finally:
        down = start("down", env=env)
        polling.until((home / "lab" / "stopping").exists, "down to begin", seconds=20, every=0.005)
        os.kill(down.pid, signal.SIGINT)  # an impatient person: what began is finished first
        status, err = end(down)
    assert (status, err.splitlines()[-1]) == (130, "interrupted")
    assert left_over(Layout(home / "lab")) == []
    assert [path.name for path in (home / "lab").iterdir()] == ["logs"]


def test_a_second_ctrl_c_while_rolling_back_leaves_nothing(own_home: Path) -> None:
    layout = Layout.of("impatient")
    up = start("up", "--name", "impatient", *SMALL, env=dict(os.environ))
    assert up.stderr is not None
    for line in up.stderr:
        if "etcd is ready" in line:
            os.kill(up.pid, signal.SIGINT)
        if "rolling back" in line:
            os.kill(up.pid, signal.SIGINT)
            break
    status, err = end(up)
    assert (status, err.splitlines()[-1]) == (130, "interrupted")
    polling.until(lambda: not left_over(layout), "everything to be gone", seconds=20)
    assert [path.name for path in layout.dir.iterdir()] == ["logs"]


def test_down_during_up_ends_both_and_says_so(own_home: Path) -> None:
    lab = Embedded("torn")

    def tear(line: str) -> None:
        if "etcd is ready" in line:
            Embedded("torn").down()

    with pytest.raises(ComponentError) as caught:
        lab.up(Spec(name="torn", gpu_nodes=0, cpu_nodes=0), tear)
    assert "`localcluster down` ran in the meantime" in spoken(caught.value)
    assert left_over(lab.layout) == []


def test_an_up_that_fails_on_an_older_lab_keeps_its_data(own_home: Path) -> None:
    with running(Spec(name="older", gpu_nodes=0, cpu_nodes=0)) as lab:
        Kube(lab.kubeconfig(), namespace="kept").ensure_namespace()
        for proc in left_over(lab.layout):
            os.kill(proc.pid, signal.SIGKILL)

        def interrupt(line: str) -> None:
            if "etcd is ready" in line:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            lab.up(lab.spec(), interrupt)
        polling.until(lambda: not left_over(lab.layout), "everything to be gone", seconds=20)
        lab.up(lab.spec())
        assert Kube(lab.kubeconfig()).object("namespace/kept").at("status.phase") == "Active"


# On the running cluster


@pytest.fixture(scope="module")
def image(cluster: Embedded) -> RegistryAccess:
    access, ref = cluster.registry(), parse(IMAGE)
    build(Request(Path(__file__).parents[2] / "images" / "plain_image", ref), Store())
    publish(ref, access)
    return access


def pod(name: str, **spec: Any) -> str:
    container = {"name": "main", "image": IMAGE, "imagePullPolicy": "Always"}
    whole = {"containers": [container], "imagePullSecrets": [{"name": "login"}], **spec}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": whole})


def told(kube: Kube) -> str:
    raw = kube.raw(f"/api/v1/namespaces/{kube.namespace}/events")
    return "\n".join(f"{e['reason']}: {e['message']}" for e in raw["items"])


def test_a_wrong_registry_password_is_told_and_the_right_one_mends_the_pod(
    namespace: Kube, image: RegistryAccess
) -> None:
    wrong = RegistryAccess(image.host, image.url, image.ca, image.username, "not-the-password")
    pull_secret.make(namespace, wrong, name="login")
    namespace.kubectl("apply", "-f", "-", stdin=pod("locked-out"))
    for words in ("401 Unauthorized", "Error: ErrImagePull", "Error: ImagePullBackOff"):
        polling.until(
            lambda words=words: words in told(namespace),  # type: ignore[misc]
            words, seconds=30, last_seen=lambda: told(namespace),
        )  # fmt: skip
    pull_secret.make(namespace, image, name="login")
    namespace.until("pod/locked-out ready", seconds=60)


def test_more_gpus_than_the_cluster_has_stay_pending_with_each_nodes_reason(namespace: Kube) -> None:
    asks = {"name": "main", "image": IMAGE, "resources": {"limits": {"nvidia.com/gpu": 5}}}
    namespace.kubectl("apply", "-f", "-", stdin=pod("greedy", containers=[asks]))
    polling.until(lambda: "FailedScheduling" in told(namespace), "the scheduler's word", seconds=20)
    assert "4 Insufficient nvidia.com/gpu" in told(namespace)
    assert namespace.object("pod/greedy").at("status.phase") == "Pending"


def test_a_proxy_of_the_machine_is_not_asked_for_the_cluster(
    cluster: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PROXIES:
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    kube = Kube(cluster.kubeconfig())
    assert len(kube.get("nodes").objects) == 4
    assert kube.kubectl("get", "nodes", "-o", "name").count("node/") == 4
    assert next(iter(kube.watch("nodes", seconds=20))).type == "ADDED"


def test_the_status_of_kubectl_is_the_status_of_labkit_kubectl(cluster: Embedded) -> None:
    words = (*LABKIT, "kubectl", "--name", "tests", "get")
    assert spawn.run([*words, "nodes"]).returncode == 0
    missing = spawn.run([*words, "pod", "nobody"])
    assert missing.returncode == 1
    assert 'pods "nobody" not found' in missing.stderr
