"""What the code inside a pod can see and do on the machine that it runs on: nothing beyond its own walls.

The containers of these tests run as root, the worst case, and try on purpose what they must not manage.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from labkit import pull_secret
from labkit.kube import Kube
from localcluster import polling
from localcluster.embedded.provider import Embedded
from localcluster.images.build import Request, build
from localcluster.images.push import publish
from localcluster.images.reference import parse
from localcluster.images.store import Store
from localcluster.netns.plan import GATEWAY
from localcluster.node.process import bounds
from localcluster.toolchain.versions import cache_root

pytestmark = pytest.mark.embedded

IMAGE = "registry.lab:5000/intruder:1.0"
LINKS = "registry.lab:5000/intruder:links"
CANARY = "root:x:0:0:HOST-SECRET:/root:/bin/sh\n"

LOOK = """
import ctypes, json, os, sys
def may_write(path):
    try:
        os.close(os.open(path, os.O_WRONLY))
    except OSError:
        return False
    return True
status = dict(l.split(":\\t", 1) for l in open("/proc/self/status").read().splitlines() if ":\\t" in l)
remount = ctypes.CDLL(None).mount(b"none", b"/usr/share", None, 32 | 4096, None)
print(json.dumps({
    "seen": [p for p in sys.argv[1:] if os.path.lexists(p)],
    "pids": [int(p) for p in os.listdir("/proc") if p.isdigit()],
    "more_fds": sorted(n for n in range(3, 64) if os.path.lexists("/proc/self/fd/%d" % n)),
    "capabilities": status["CapEff"], "bounding": status["CapBnd"], "no_new": status["NoNewPrivs"],
    "remount": remount, "usr": os.access("/usr/share", os.W_OK),
    "switches": may_write("/proc/sys/kernel/core_pattern") or may_write("/proc/sysrq-trigger"),
    "own_program": may_write("/proc/1/exe"),
}))
"""

KNOCK = """
import json, os, ssl, sys, urllib.error, urllib.request
context = ssl._create_unverified_context()
answers = {}
for name, url in json.loads(sys.argv[1]).items():
    try:
        answers[name] = urllib.request.urlopen(url, context=context, timeout=10).status
    except urllib.error.HTTPError as error:
        answers[name] = error.code
    except OSError as error:
        answers[name] = 0
token = open("/var/run/secrets/kubernetes.io/serviceaccount/token").read()
for name, path in json.loads(sys.argv[2]).items():
    server = "https://{KUBERNETES_SERVICE_HOST}:{KUBERNETES_SERVICE_PORT}".format_map(os.environ)
    request = urllib.request.Request(server + path, headers={"Authorization": "Bearer " + token})
    try:
        answers[name] = urllib.request.urlopen(request, context=context, timeout=10).status
    except urllib.error.HTTPError as error:
        answers[name] = error.code
print(json.dumps(answers))
"""


MULTIPLY = """
import os, time
for _ in range(1500):
    if os.fork() == 0:
        time.sleep(99)
        os._exit(0)
time.sleep(99)
"""


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the host with a file in it that no pod may ever show."""
    folder = tmp_path_factory.mktemp("host")
    (folder / "secret").write_text(CANARY)
    return folder


@pytest.fixture(scope="module")
def images(cluster: Embedded, canary: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A harmless image, and one whose layer is full of links to the host."""
    lines = {
        IMAGE: "",
        LINKS: f"RUN rm /etc/passwd && ln -s {canary}/secret /etc/passwd && ln -s /oldroot{canary} /out\n",
    }
    access = cluster.registry()
    for name, line in lines.items():
        context = tmp_path_factory.mktemp("context")
        (context / "Dockerfile").write_text(f'FROM python:3.11-slim\n{line}CMD ["sleep", "999"]\n')
        build(Request(context, parse(name)), Store())
        publish(parse(name), access)


@pytest.fixture
def kube(cluster: Embedded, namespace: Kube, images: None) -> Iterator[Kube]:
    del images
    pull_secret.make(namespace, cluster.registry(), name="login")
    yield namespace
    namespace.kubectl("delete", "pod", "--all", "--grace-period=1", "--wait=true")


def run(kube: Kube, name: str, container: dict[str, Any], **spec: Any) -> None:
    """Make a pod of one container that starts once."""
    main = {"name": "main", "image": IMAGE, **container}
    given = {"imagePullSecrets": [{"name": "login"}], "restartPolicy": "Never", **spec}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}}
    kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(pod | {"spec": {**given, "containers": [main]}}))


def shell(script: str) -> dict[str, Any]:
    return {"command": ["sh", "-c", script]}


def told(kube: Kube, name: str) -> str:
    """The pod's container statuses and events as one text."""
    query = f"/api/v1/namespaces/{kube.namespace}/events?fieldSelector=involvedObject.name={name}"
    events = [f"{e['reason']}: {e['message']}" for e in kube.raw(query)["items"]]
    return "\n".join([json.dumps(kube.object(f"pod/{name}").at("status.containerStatuses", [])), *events])


def finished(kube: Kube, name: str) -> str:
    """The phase that the pod ended in."""

    def phase() -> str:
        return str(kube.object(f"pod/{name}").at("status.phase"))

    polling.until(
        lambda: phase() in {"Succeeded", "Failed"},
        f"{name} to end",
        seconds=30,
        last_seen=lambda: told(kube, name),
    )
    return phase()


def nodes_of(kube: Kube) -> list[dict[str, Any]]:
    return list(kube.raw("/api/v1/nodes")["items"])


def host_folder(cluster: Embedded, kube: Kube, name: str) -> Path:
    return cluster.layout.dir / "pods" / str(kube.object(f"pod/{name}").at("metadata.uid"))


def check_walls(seen: dict[str, Any]) -> None:
    assert seen["seen"] == []
    assert max(seen["pids"]) < 50
    assert seen["more_fds"] == []
    assert int(seen["capabilities"], 16) == int(seen["bounding"], 16) == 0
    assert seen["no_new"] == "1"
    assert seen["remount"] == -1
    for place in ("usr", "switches", "own_program"):
        assert not seen[place], place


def test_neither_a_container_nor_an_exec_in_it_sees_or_changes_the_host(
    cluster: Embedded, kube: Kube, canary: Path
) -> None:
    run(kube, "neighbour", shell("sleep 999"))
    kube.until("pod/neighbour ready", seconds=30)
    lab = cluster.layout.dir
    hidden = [lab, lab / "pki", cluster.kubeconfig(), host_folder(cluster, kube, "neighbour"), canary]
    hidden += [lab / "etcd" / "localhost:2379", cache_root(), Path(__file__), Path.home() / ".bashrc"]
    look = ["python3", "-c", LOOK, *map(str, hidden)]
    run(kube, "looks", {"command": look})
    assert finished(kube, "looks") == "Succeeded", kube.logs("looks")
    check_walls(json.loads(kube.logs("looks")))
    check_walls(json.loads(kube.kubectl("exec", "neighbour", "--", *look)))


def test_links_in_volumes_lead_nowhere(kube: Kube, canary: Path) -> None:
    data = {"name": "data", "mountPath": "/data"}
    script = f"ln -s {canary} /data/out; ln -s /oldroot{canary} /data/old; ln -s /proc/1/root /data/root"
    prepare = {"name": "prepare", "image": IMAGE, "volumeMounts": [data], **shell(script)}
    spec = {"volumes": [{"name": "data", "emptyDir": {}}], "initContainers": [prepare]}
    reads = shell("cat /host/secret; sleep 999")
    for name, mounts in {
        "sub-path": [{"name": "data", "mountPath": "/host", "subPath": "out"}],
        "sub-path-made": [{"name": "data", "mountPath": "/host", "subPath": "out/made"}],
        "mount-point": [data, {"name": "data", "mountPath": "/data/old/made"}],
    }.items():
        run(kube, name, reads | {"volumeMounts": mounts}, **spec)
        polling.until(
            lambda name=name: any(w in told(kube, name) for w in ("leads out", "symbolic link")),  # type: ignore[misc]
            f"{name} to be refused",
            seconds=30,
        )
    assert [entry.name for entry in canary.iterdir()] == ["secret"]


def test_links_in_an_image_lead_nowhere(kube: Kube, canary: Path) -> None:
    mounts = [{"name": "data", "mountPath": "/out/made"}]
    main = shell("cat /etc/passwd; cat /out/secret; echo over") | {"image": LINKS, "volumeMounts": mounts}
    run(kube, "links", main, volumes=[{"name": "data", "emptyDir": {}}])
    finished(kube, "links")
    assert "over" in kube.logs("links")
    assert "HOST-SECRET" not in kube.logs("links")
    assert [entry.name for entry in canary.iterdir()] == ["secret"]


def test_the_environment_of_a_pod_stays_inside_it(cluster: Embedded, kube: Kube) -> None:
    place = "$(LABKIT_LAB_DIR)/pods/$(LABKIT_POD_UID)/volumes/data/trace"
    env = [{"name": "LD_DEBUG", "value": "libs"}, {"name": "LD_DEBUG_OUTPUT", "value": place}]
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    volumes = {"volumes": [{"name": "data", "emptyDir": {}}]}
    mounts = [{"name": "data", "mountPath": "/data"}]
    run(
        kube,
        "env",
        shell("sleep 999") | {"env": env, "volumeMounts": mounts, "readinessProbe": probe},
        **volumes,
    )
    kube.until("pod/env ready", seconds=30)
    kube.kubectl("exec", "env", "--", "true")
    assert list((host_folder(cluster, kube, "env") / "volumes" / "data").iterdir()) == []


def test_of_the_control_plane_a_pod_reaches_only_what_asks_who_is_there(
    cluster: Embedded, kube: Kube
) -> None:
    """At every address that the lab has in its own network; the pod's own loopback is nobody else's."""
    _, ports = cluster.layout.load()
    nodes = {n["metadata"]["name"]: n["status"]["addresses"][0]["address"] for n in nodes_of(kube)}
    hosts = {"loopback": "127.0.0.1", "gateway": GATEWAY, **nodes}
    paths = {"registry": "/v2/_catalog", "prometheus": "/api/v1/query?query=up"}
    urls = {
        f"{name} at {where}": f"https://{host}:{port}{paths.get(name, '/metrics')}"
        for where, host in hosts.items()
        for name, port in vars(ports).items()
    }
    urls |= {f"kubelet at {where}": f"https://{host}:10250/pods" for where, host in hosts.items()}
    own = f"/api/v1/namespaces/{kube.namespace}"
    paths = {"secrets": f"{own}/secrets", "exec": f"{own}/pods/x/exec?command=id", "nodes": "/api/v1/nodes"}
    run(kube, "knocks", {"command": ["python3", "-c", KNOCK, json.dumps(urls), json.dumps(paths)]})
    assert finished(kube, "knocks") == "Succeeded", kube.logs("knocks")
    answers = json.loads(kube.logs("knocks"))
    assert {name: code for name, code in answers.items() if code not in {0, 401, 403}} == {}
    assert {name for name in urls if answers[name]} == {f"api at {where}" for where in ("gateway", *nodes)}


def test_too_many_processes_end_their_container_and_nobody_else(kube: Kube) -> None:
    run(kube, "calm", shell("sleep 999"))
    run(kube, "bomb", {"command": ["python3", "-c", MULTIPLY]})
    assert finished(kube, "bomb") == "Failed"
    if os.geteuid() == 0:  # an ordinary user's container meets the kernel's wall before
        assert "TooManyProcesses" in told(kube, "bomb")
    kube.until("pod/calm ready", seconds=30)
    assert kube.kubectl("exec", "calm", "--", "echo", "alive").strip() == "alive"


def test_a_flood_of_log_lines_keeps_its_end_and_leaves_the_disk(cluster: Embedded, kube: Kube) -> None:
    many = 60 * 2**20
    run(kube, "flood", shell(f"yes 'the river rises' | head -c {many}; echo; echo the last line; sleep 999"))
    kube.until("pod/flood ready", seconds=30)
    log = host_folder(cluster, kube, "flood") / "main" / "0.log"

    def on_disk() -> int:
        return log.stat().st_blocks * 512

    polling.until(
        lambda: log.stat().st_size > many and on_disk() <= 2 * bounds.LOG_BYTES,
        "the log to be shortened",
        seconds=30,
        last_seen=lambda: f"{on_disk()} bytes",
    )
    assert kube.kubectl("logs", "flood", "--tail=1") == "the last line\n"
    whole = kube.kubectl("logs", "flood")
    assert "\0" not in whole
    assert whole.startswith("the river rises\n")
    assert len(whole) <= 2 * bounds.LOG_BYTES


def test_a_daemon_that_hides_from_its_pod_ends_with_it(kube: Kube) -> None:
    marks = (f"4711{os.getpid()}.5", f"4712{os.getpid()}.5")
    hide = f"trap '' TERM; env -i setsid -f sleep {marks[0]}; exec env -i setsid -w sleep {marks[1]}"
    run(kube, "hides", shell(hide), terminationGracePeriodSeconds=15)

    def alive() -> int:
        return sum(p.info["cmdline"][:1] == ["sleep"] and p.info["cmdline"][1] in marks for p in listed())

    def listed() -> Iterator[psutil.Process]:
        return (p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"])

    polling.until(lambda: alive() == 2, "both to run", seconds=30)
    kube.kubectl("delete", "pod", "hides")
    assert alive() == 0


def test_what_a_container_puts_beside_its_gpu_harms_nobody(
    cluster: Embedded, kube: Kube, canary: Path
) -> None:
    script = (
        "cd $LABKIT_GPU_DIR/*/ && (rm -rf usage || true) && (echo x > device.json || true) && cd usage && "
        f"ln -s {canary}/secret $LABKIT_POD_UID.json && mkfifo pipe.json && mkdir -p d/e && "
        f"ln -s {canary} l && echo done; sleep 999"
    )
    run(kube, "gpu", shell(script) | {"resources": {"limits": {"nvidia.com/gpu": 1}}})
    kube.until("pod/gpu ready", seconds=30)
    polling.until(
        lambda: "done" in kube.logs("gpu"), "the script", seconds=20, last_seen=lambda: kube.logs("gpu")
    )
    (pipe,) = (cluster.layout.dir / "gpus").glob("*/usage/pipe.json")
    device = pipe.parent.parent
    assert kube.kubectl("exec", "gpu", "--", "echo", "alive").strip() == "alive"
    kube.kubectl("delete", "pod", "gpu", "--grace-period=1")
    polling.until(lambda: not any((device / "usage").iterdir()), "the device to be wiped", seconds=20)
    assert json.loads((device / "device.json").read_text())["uuid"] == device.name
    assert (canary / "secret").read_text() == CANARY


def test_secrets_are_for_their_owner_and_in_no_process_list(cluster: Embedded) -> None:
    lab = cluster.layout.dir
    assert stat.S_IMODE(lab.stat().st_mode) == 0o700
    secret = [
        *lab.glob("pki/*"),
        *lab.glob("kubeconfigs/*"),
        lab / "kubeconfig",
        lab / "registry" / "password",
    ]
    assert [f for f in secret if stat.S_IMODE(f.stat().st_mode) & 0o077] == []
    password = (lab / "registry" / "password").read_text()
    lines = [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]
    assert not any(password in line for line in lines)
    logs = [f for f in lab.glob("logs/*.log") if password in f.read_text(errors="replace")]
    assert logs == []
