"""Pods on the simulated nodes: they behave, fail and end as a kubelet's do."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from labkit import pull_secret, reset
from labkit.kube import Kube
from localcluster import polling, spawn
from localcluster.embedded.provider import Embedded
from localcluster.images.build import Request, build
from localcluster.images.push import publish
from localcluster.images.reference import parse
from localcluster.images.store import Store
from localcluster.netns import doors

pytestmark = pytest.mark.embedded

IMAGE = "registry.lab:5000/plain:1.0"
HERE = Path(__file__).parents[2] / "images" / "plain_image"


@pytest.fixture(scope="module")
def image(cluster: Embedded) -> None:
    access = cluster.registry()
    ref = parse(IMAGE)
    build(Request(HERE, ref), Store())
    publish(ref, access)


@pytest.fixture
def kube(cluster: Embedded, namespace: Kube, image: None) -> Iterator[Kube]:
    del image
    pull_secret.make(namespace, cluster.registry(), name=reset.PULL_SECRET)
    yield namespace
    namespace.kubectl("delete", "pod", "--all", "--grace-period=1", "--wait=true")


def run(kube: Kube, name: str, container: dict[str, Any], **spec: Any) -> None:
    """Make a pod of one container; `spec` holds what else stands in the pod's spec."""
    main = {"name": "main", "image": IMAGE, **container}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"imagePullSecrets": [{"name": reset.PULL_SECRET}], "containers": [main], **spec},
    }
    kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(pod))


def shell(script: str) -> dict[str, Any]:
    return {"command": ["sh", "-c", script]}


def status(kube: Kube, name: str) -> dict[str, Any]:
    found = kube.object(f"pod/{name}").at("status.containerStatuses", [{}])[0]
    return dict(found)


def reason(kube: Kube, name: str) -> str:
    """Why the container waits."""
    return str(status(kube, name).get("state", {}).get("waiting", {}).get("reason", ""))


def told(kube: Kube, name: str) -> str:
    """All events of a pod as one text."""
    raw = kube.raw(f"/api/v1/namespaces/{kube.namespace}/events?fieldSelector=involvedObject.name={name}")
    return "\n".join(f"{e['reason']}: {e['message']}" for e in raw["items"])


def until_told(kube: Kube, name: str, text: str) -> None:
    polling.until(lambda: text in told(kube, name), text, seconds=30, last_seen=lambda: told(kube, name))


def until_reason(kube: Kube, name: str, wanted: str) -> None:
    polling.until(
        lambda: reason(kube, name) == wanted, wanted, seconds=30, last_seen=lambda: str(status(kube, name))
    )


def finished(kube: Kube, name: str) -> str:
    """The phase that the pod ended in."""

    def phase() -> str:
        return str(kube.object(f"pod/{name}").at("status.phase"))

    over = {"Succeeded", "Failed"}
    polling.until(lambda: phase() in over, f"{name} to end", seconds=30, last_seen=lambda: told(kube, name))
    return phase()


def kill_agent(cluster: Embedded) -> None:
    """kill -9, then wait for the supervisor to start another."""
    before = spawn.Proc.load(cluster.layout.record("node-agent"))
    assert before is not None
    os.kill(before.pid, signal.SIGKILL)

    def another() -> bool:
        now = spawn.Proc.load(cluster.layout.record("node-agent"))
        return now is not None and now.pid != before.pid and now.alive()

    polling.until(another, "another node agent", seconds=20)


def test_a_pod_reads_its_token_at_the_real_path_and_it_is_good(kube: Kube) -> None:
    script = (
        "import os, ssl, urllib.request as u; d='/var/run/secrets/kubernetes.io/serviceaccount/';"
        "host=os.environ['KUBERNETES_SERVICE_HOST']+':'+os.environ['KUBERNETES_SERVICE_PORT'];"
        "r=u.Request(f'https://{host}/apis/authentication.k8s.io/v1/selfsubjectreviews', method='POST',"
        'data=b\'{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}\','
        "headers={'Authorization':'Bearer '+open(d+'token').read(),'Content-Type':'application/json'});"
        "c=ssl.create_default_context(cafile=d+'ca.crt');"
        "print(u.urlopen(r, context=c).read().decode(), os.getuid())"
    )
    run(kube, "who", {"command": ["python3", "-c", script]}, restartPolicy="Never")
    assert finished(kube, "who") == "Succeeded", kube.logs("who")
    log = kube.logs("who")
    assert f"system:serviceaccount:{kube.namespace}:default" in log
    assert log.strip().endswith("10001")


def test_a_crash_loop_shows_itself_as_on_a_real_node(kube: Kube) -> None:
    run(kube, "crash", shell("echo going down; exit 3"))
    until_reason(kube, "crash", "CrashLoopBackOff")
    last = status(kube, "crash")["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (3, "Error")
    assert status(kube, "crash")["restartCount"] >= 1
    assert "going down" in kube.logs("crash", previous=True)
    until_told(kube, "crash", "BackOff: Back-off restarting failed container main in pod crash_")


@pytest.mark.parametrize(
    ("name", "container", "spec", "waits_with", "event"),
    [
        (
            "nologin",
            {"imagePullPolicy": "Always"},
            {"imagePullSecrets": []},
            "ImagePullBackOff",
            "no basic auth",
        ),
        ("notag", {"image": f"{IMAGE}-no"}, {}, "ImagePullBackOff", "not found"),
        ("badname", {"image": "registry.lab:5000/PLAIN"}, {}, "InvalidImageName", "lower case"),
        (
            "never",
            {"image": f"{IMAGE}-no", "imagePullPolicy": "Never"},
            {},
            "ErrImageNeverPull",
            "policy of Never",
        ),
    ],
)
def test_an_image_that_can_not_be_had(  # noqa: PLR0913, PLR0917 - one row of a table
    kube: Kube, name: str, container: dict[str, Any], spec: dict[str, Any], waits_with: str, event: str
) -> None:
    run(kube, name, container, **spec)
    until_reason(kube, name, waits_with)
    until_told(kube, name, event)


def pull_secret_of(kube: Kube, name: str, kind: str, key: str, text: object) -> None:
    made = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": f"kubernetes.io/{kind}",
        "stringData": {key: json.dumps(text)},
    }
    kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(made))


def test_all_logins_for_a_host_are_tried(kube: Kube, cluster: Embedded) -> None:
    """A wrong one first; the right one in the older format, without padding, beside another name."""
    access = cluster.registry()
    auth = base64.b64encode(f"{access.username}:{access.password}".encode()).decode().rstrip("=")
    pull_secret_of(
        kube, "old", "dockerconfigjson", ".dockerconfigjson", {"auths": {access.host: {"auth": "b2xkOm9sZA"}}}
    )
    right = {f"https://{access.host}/v2/": {"username": "nobody", "password": "no", "auth": auth}}
    pull_secret_of(kube, "right", "dockercfg", ".dockercfg", right)
    secrets = [{"name": "old"}, {"name": "right"}]
    run(
        kube,
        "two-logins",
        {"imagePullPolicy": "Always", **shell("true")},
        imagePullSecrets=secrets,
        restartPolicy="Never",
    )
    assert finished(kube, "two-logins") == "Succeeded"
    run(kube, "one-login", {"imagePullPolicy": "Always"}, imagePullSecrets=secrets[:1])
    until_reason(kube, "one-login", "ImagePullBackOff")
    until_told(kube, "one-login", "401 Unauthorized")


def test_a_pull_secret_that_can_not_be_read_stops_the_pull(kube: Kube) -> None:
    entries = {"auths": {"elsewhere.example": {"auth": "%"}}}
    pull_secret_of(kube, "broken", "dockerconfigjson", ".dockerconfigjson", entries)
    secrets = [{"name": "broken"}, {"name": reset.PULL_SECRET}]
    run(kube, "broken-secret", {"imagePullPolicy": "Always"}, imagePullSecrets=secrets)
    until_reason(kube, "broken-secret", "The registry credentials are not valid.")


def test_a_missing_config_map_is_named_and_waited_for(kube: Kube) -> None:
    run(
        kube,
        "late",
        shell("echo $COLOUR") | {"envFrom": [{"configMapRef": {"name": "paint"}}]},
        restartPolicy="Never",
    )
    until_reason(kube, "late", "CreateContainerConfigError")
    until_told(kube, "late", 'configmap "paint" not found')
    kube.kubectl("create", "configmap", "paint", "--from-literal=COLOUR=red")
    assert finished(kube, "late") == "Succeeded"
    assert kube.logs("late") == "red\n"


def test_init_containers_run_in_order_and_hand_on_files(kube: Kube) -> None:
    data = [{"name": "data", "mountPath": "/data"}]

    def step(name: str) -> dict[str, Any]:
        return shell(f"echo {name} >> /data/x") | {"name": name, "image": IMAGE, "volumeMounts": data}

    spec = {"initContainers": [step("one"), step("two")], "volumes": [{"name": "data", "emptyDir": {}}]}
    run(kube, "init", shell("cat /data/x") | {"volumeMounts": data}, restartPolicy="Never", **spec)
    assert finished(kube, "init") == "Succeeded"
    assert kube.logs("init") == "one\ntwo\n"


def test_memory_past_the_limit_is_oom_killed(kube: Kube) -> None:
    greedy = {"command": ["python3", "-c", "import time; x = bytearray(10**8); time.sleep(99)"]}
    run(kube, "oom", greedy | {"resources": {"limits": {"memory": "64Mi"}}}, restartPolicy="Never")
    assert finished(kube, "oom") == "Failed"
    ended = status(kube, "oom")["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


def test_readiness_comes_and_goes_and_liveness_restarts(kube: Kube) -> None:
    probe = {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 3}
    server = {"ports": [{"name": "http", "containerPort": 8000}], "readinessProbe": probe}
    run(kube, "ready", server)
    kube.until("pod/ready ready", seconds=30)
    kube.kubectl("exec", "ready", "--", "touch", "/tmp/sick")  # noqa: S108 - in the container
    polling.until(lambda: not status(kube, "ready")["ready"], "the pod to be unready", seconds=30)
    until_told(kube, "ready", "Readiness probe failed: HTTP probe failed with statuscode: 503")
    run(kube, "alive", server | {"livenessProbe": probe | {"failureThreshold": 2, "initialDelaySeconds": 30}})
    kube.until("pod/alive ready", seconds=30)
    kube.kubectl("exec", "alive", "--", "touch", "/tmp/sick")  # noqa: S108 - in the container
    polling.until(lambda: status(kube, "alive")["restartCount"] > 0, "a restart", seconds=30)
    until_told(kube, "alive", "Container main failed liveness probe, will be restarted")


@pytest.mark.parametrize(
    ("container", "hint"),
    [
        ({"ports": [{"containerPort": 8000}]}, "8000"),
        ({"ports": [{"containerPort": 8000}], "env": [{"name": "PORT", "value": "5"}]}, "5"),
        ({}, ""),
    ],
    ids=["declared", "set by the manifest", "not declared"],
)
def test_a_server_listens_where_it_likes_and_port_is_only_a_hint(
    kube: Kube, container: dict[str, Any], hint: str
) -> None:
    """What is declared changes neither where the server is probed nor where it can be reached."""
    serves = {"args": ["python3", "/work/serve.py", "9000"], "readinessProbe": {"tcpSocket": {"port": 9000}}}
    run(kube, "free", serves | container)
    kube.until("pod/free ready", seconds=30)
    assert kube.kubectl("exec", "free", "--", "sh", "-c", "echo $PORT").strip() == hint
    assert "PORT" not in told(kube, "free")


def test_a_gpu_is_held_by_one_container_and_too_many_are_refused(kube: Kube) -> None:
    script = shell("echo $NVIDIA_VISIBLE_DEVICES; ls $LABKIT_GPU_DIR; sleep 999")
    for name in ("a", "b"):
        run(kube, name, script | {"resources": {"limits": {"nvidia.com/gpu": 2}}}, nodeName="gpu-node-1")
        kube.until(f"pod/{name} ready", seconds=30)
    held = {gpu for name in ("a", "b") for gpu in kube.logs(name).split("\n")[0].split(",")}
    assert len(held) == 4
    run(kube, "c", script | {"resources": {"limits": {"nvidia.com/gpu": 1}}}, nodeName="gpu-node-1")
    assert finished(kube, "c") == "Failed"
    assert kube.object("pod/c").at("status.reason") == "UnexpectedAdmissionError"


def test_deleting_a_pod_ends_every_process_within_its_grace(cluster: Embedded, kube: Kube) -> None:
    run(kube, "deaf", shell("trap '' TERM; sleep 999 & wait; sleep 999"), terminationGracePeriodSeconds=15)
    kube.until("pod/deaf ready", seconds=30)
    uid = kube.object("pod/deaf").at("metadata.uid")
    kube.kubectl("delete", "pod", "deaf")
    assert not processes_of(uid)
    polling.until(lambda: not (cluster.layout.dir / "pods" / uid).exists(), "the folder to go", seconds=20)


def processes_of(uid: str) -> list[int]:
    """Host pids that carry the pod's uid in their environment."""
    marker = f"LABKIT_POD_UID={uid}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if marker in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def test_the_agent_killed_adopts_its_pods_and_doubles_none(cluster: Embedded, kube: Kube) -> None:
    run(kube, "stays", shell("sleep 999"))
    run(kube, "ends", shell("sleep 1.5; exit 4"), restartPolicy="Never")
    kube.until("pod/stays ready", "pod/ends ready", seconds=30)
    uid, before = kube.object("pod/stays").at("metadata.uid"), status(kube, "stays")
    alive = processes_of(uid)
    kill_agent(cluster)
    assert finished(kube, "ends") == "Failed"  # it ended while nobody watched
    assert status(kube, "ends")["state"]["terminated"]["exitCode"] == 4
    assert status(kube, "stays")["containerID"] == before["containerID"]
    assert status(kube, "stays")["restartCount"] == 0
    assert processes_of(uid) == alive


def test_a_pod_deleted_while_the_agent_was_away_is_cleaned_up(cluster: Embedded, kube: Kube) -> None:
    run(kube, "orphan", shell("sleep 999"))
    kube.until("pod/orphan ready", seconds=30)
    uid = kube.object("pod/orphan").at("metadata.uid")
    kill_agent_and(cluster, lambda: kube.delete("pod/orphan", grace=0))
    polling.until(lambda: not processes_of(uid), "its processes to end", seconds=20)
    polling.until(lambda: not (cluster.layout.dir / "pods" / uid).exists(), "its folder to go", seconds=20)


def kill_agent_and(cluster: Embedded, act: Any) -> None:
    """Do something in the moment when there is no agent."""
    proc = spawn.Proc.load(cluster.layout.record("node-agent"))
    assert proc is not None
    os.kill(proc.pid, signal.SIGSTOP)
    act()
    kill_agent(cluster)


def test_each_pod_has_an_address_of_its_own_where_its_port_is(cluster: Embedded, kube: Kube) -> None:
    """Two servers on the same node and the same port; nothing but the status says where they are."""
    server = {"ports": [{"containerPort": 8000}], "readinessProbe": {"httpGet": {"port": 8000}}}
    for name in ("one", "two"):
        run(kube, name, server, nodeName="cpu-node-1")
    kube.until("pod/one ready", "pod/two ready", seconds=30)
    pods = [kube.object(f"pod/{name}") for name in ("one", "two")]
    ips = {pod.at("status.podIP") for pod in pods}
    assert len(ips) == 2
    for pod in pods:
        assert not [name for name in pod.annotations if name.startswith("labkit.dev/")]
        with doors.connected(cluster.layout.dir / doors.INSIDE, f"{pod.at('status.podIP')}:8000"):
            pass
        host, _, port = cluster.pod_address(pod).rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5):
            pass


def test_a_volume_in_memory_is_shared_and_outlives_its_containers(kube: Kube) -> None:
    """One container fills it and starts anew, another sees what is left, through a part of it."""
    fill = (
        "echo run >> /m/part/runs; df -m /m | tail -1; [ $(wc -l < /m/part/runs) -gt 1 ] || exit 1; sleep 999"
    )
    watch = "while [ $(wc -l < /seen/runs) -lt 2 ]; do sleep 0.1; done; echo twice; sleep 999"
    container = shell(fill) | {"volumeMounts": [{"name": "shm", "mountPath": "/m"}]}
    part = [{"name": "shm", "mountPath": "/seen", "subPath": "part"}]
    beside = shell(watch) | {"name": "beside", "image": IMAGE, "volumeMounts": part}
    before = shell("mkdir /m/part; touch /m/part/runs") | {"name": "before", "image": IMAGE}
    spec = {
        "initContainers": [before | {"volumeMounts": container["volumeMounts"]}],
        "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}}],
    }
    run(kube, "shared", container, containers=[{"name": "main", "image": IMAGE, **container}, beside], **spec)
    kube.until("pod/shared ready", seconds=60)
    polling.until(lambda: "twice" in kube.logs("shared", container="beside"), "a second run", seconds=30)
    assert kube.logs("shared", container="main").split()[:2] == ["tmpfs", "8"]


def test_who_fills_the_disk_is_evicted_and_stays_listed(kube: Kube) -> None:
    fill = shell("head -c 31457280 /dev/zero > /cache/weights; sleep 999")
    cache = {"volumeMounts": [{"name": "cache", "mountPath": "/cache"}]}
    volumes = [{"name": "cache", "emptyDir": {"sizeLimit": "10Mi"}}]
    run(kube, "volume", fill | cache, volumes=volumes)
    limits = {"resources": {"limits": {"ephemeral-storage": "5Mi"}}}
    run(kube, "layer", shell("head -c 10000000 /dev/zero > /opt/x; sleep 999") | limits)
    told = {
        "volume": 'Usage of EmptyDir volume "cache" exceeds the limit "10Mi". ',
        "layer": "Pod ephemeral local storage usage exceeds the total limit of containers 5Mi. ",
    }
    for name, message in told.items():
        assert finished(kube, name) == "Failed"
        said = kube.object(f"pod/{name}")
        assert (said.at("status.reason"), said.at("status.message")) == ("Evicted", message)
        assert status(kube, name)["state"]["terminated"]["exitCode"] == 137
        until_told(kube, name, message.strip())


def test_a_container_is_told_of_services_and_of_its_node(kube: Kube) -> None:
    kube.kubectl("create", "service", "clusterip", "my-llm", "--tcp=8000:8000")
    show = "echo $MY_LLM_PORT_8000_TCP_PORT $MY_LLM_PORT; echo $CPUS; id -un; echo $HOME"
    limit = {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}
    user = {"securityContext": {"runAsUser": 1000}, "env": [limit]}
    for name, spec in {"linked": {}, "unlinked": {"enableServiceLinks": False}}.items():
        run(kube, name, shell(show) | user, restartPolicy="Never", **spec)
        assert finished(kube, name) in {"Succeeded", "Failed"}
    ip = kube.object("service/my-llm").at("spec.clusterIP")
    linked, cpus, *rest = kube.logs("linked").splitlines()
    assert linked == f"8000 tcp://{ip}:8000"
    node = kube.object("pod/linked").at("spec.nodeName")
    assert cpus == kube.object(f"node/{node}").at("status.allocatable.cpu")
    assert "cannot find name for user ID 1000" in rest[0]
    assert rest[-1] == "/"
    assert kube.logs("unlinked").splitlines()[0] == ""
