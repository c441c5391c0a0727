"""Each pod has a network of its own: they reach each other at the same port, and nothing reaches the host."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from labkit import pull_secret, reset
from labkit.kube import Kube
from labkit.metrics.client import Metrics
from localcluster import polling, spawn
from localcluster.api.kubectl import binary
from localcluster.embedded.provider import Embedded
from localcluster.images.push import publish
from localcluster.images.reference import parse
from localcluster.netns import holder, plan
from localcluster.provider import Spec
from tests.clusters import running

pytestmark = pytest.mark.embedded

IMAGE = "registry.lab:5000/queue-server:1.0"
"""Its server listens on port 8000, whatever the manifest and the environment say."""

GET = """
import sys, urllib.request
for url in sys.argv[1:]:
    try:
        print(urllib.request.urlopen(url, timeout=10).read().decode().split()[-1])
    except OSError as error:
        print("failed:", getattr(error, "reason", error))
"""
KNOCK = """
import json, socket, sys
answers = {}
for host, port in json.loads(sys.argv[1]):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        sock.settimeout(10)
        try:
            sock.connect((host, port))
            answers[f"{host} {port}"] = "open"
        except OSError as error:
            answers[f"{host} {port}"] = str(error)
with socket.socket(socket.AF_UNIX) as sock:
    try:
        sock.connect("\\0" + sys.argv[2])
        answers["abstract"] = "open"
    except OSError as error:
        answers["abstract"] = str(error)
print(json.dumps(answers))
"""


@pytest.fixture
def kube(cluster: Embedded, namespace: Kube, queue_image: None) -> Kube:
    del queue_image
    pull_secret.make(namespace, cluster.registry(), name=reset.PULL_SECRET)
    return namespace


def apply(kube: Kube, *objects: dict[str, Any]) -> None:
    kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))


def pod_spec(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    given = [{"name": "main", "image": IMAGE, **container} for container in containers]
    secrets = [{"name": reset.PULL_SECRET}]
    return {"imagePullSecrets": secrets, "terminationGracePeriodSeconds": 1, "containers": given, **spec}


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}}
    return made | {"spec": pod_spec(*containers, **spec)}


SERVER = {"ports": [{"containerPort": 8000}], "readinessProbe": {"httpGet": {"port": 8000}}}
IDLE = {"command": ["sleep", "infinity"]}


def service(name: str, **spec: Any) -> dict[str, Any]:
    ports = [{"port": 80, "targetPort": 8000}]
    made = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}}
    return made | {"spec": {"selector": {"app": name}, "ports": ports, **spec}}


def get(kube: Kube, client: str, *urls: str) -> list[str]:
    """What each URL answers a process in a pod."""
    return kube.kubectl("exec", client, "--", "python3", "-c", GET, *urls).splitlines()


def set_queue(cluster: Embedded, kube: Kube, name: str, value: int) -> None:
    """Make the answer of one pod known."""
    url = f"http://{cluster.pod_address(kube.object(f'pod/{name}'))}/queue/{value}"
    httpx.put(url, trust_env=False).raise_for_status()


@pytest.fixture
def replicas(cluster: Embedded, kube: Kube) -> dict[str, str]:
    """Two replicas behind the Service `web`, and the pod `client`: IP -> what the replica there answers."""
    template = {
        "metadata": {"labels": {"app": "web"}, "annotations": {"prometheus.io/scrape": "true"}},
        "spec": pod_spec(SERVER, nodeName="cpu-node-1"),
    }
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    apply(kube, made, service("web"), pod("client", IDLE, nodeName="gpu-node-1"))
    kube.until("pods app=web ready=2", "pod/client ready", seconds=60)
    found: dict[str, str] = {}
    for number, each in enumerate((p for p in kube.objects("pods") if p.labels["app"] == "web"), start=1):
        set_queue(cluster, kube, each.name, number)
        found[each.at("status.podIP")] = f"{number}.0"
    return found


def test_replicas_with_the_same_port_are_told_apart_by_address(kube: Kube, replicas: dict[str, str]) -> None:
    assert len(replicas) == 2
    assert get(kube, "client", *(f"http://{ip}:8000/" for ip in replicas)) == list(replicas.values())


def test_a_service_leads_a_pod_to_each_replica(kube: Kube, replicas: dict[str, str]) -> None:
    ip = kube.object("service/web").at("spec.clusterIP")
    heard: set[str] = set()

    def both() -> bool:
        heard.update(get(kube, "client", *[f"http://{ip}/"] * 10))
        return len(heard) > 1

    polling.until(both, "both replicas to answer", seconds=30, last_seen=lambda: str(heard))
    assert heard == set(replicas.values())


def test_a_service_has_the_names_that_a_cluster_gives_it(kube: Kube, replicas: dict[str, str]) -> None:
    names = ["web", f"web.{kube.namespace}", f"web.{kube.namespace}.svc.cluster.local"]

    def known() -> bool:
        return set(get(kube, "client", *(f"http://{name}/" for name in names))) <= set(replicas.values())

    polling.until(known, "the names to lead to the replicas", seconds=30)
    told = get(kube, "client", "http://web.elsewhere/", "http://example.com/")
    assert all("Name or service not known" in said for said in told), told


def test_other_names_are_answered_as_in_any_cluster(kube: Kube, replicas: dict[str, str]) -> None:
    """An ExternalName, and a pod of a headless Service by its hostname."""
    names = f"{kube.namespace}.svc.cluster.local"
    named = {**SERVER, "name": "main"}
    apply(
        kube,
        service("alias", type="ExternalName", externalName=f"web.{names}", selector=None, ports=None),
        service("group", clusterIP="None"),
        pod("group", named, hostname="first", subdomain="group"),
    )
    kube.until("pod/group ready", seconds=60)
    urls = [f"http://alias.{names}/", f"http://first.group.{names}:8000/"]

    def known() -> bool:
        by_alias, by_host = get(kube, "client", *urls)
        return by_alias in replicas.values() and by_host == "0.0"

    polling.until(known, "the names to be known", seconds=30)
    assert kube.kubectl("exec", "group", "--", "hostname", "-f").strip() == f"first.group.{names}"


def test_a_pod_reaches_itself_through_its_service(kube: Kube) -> None:
    apply(kube, pod("alone", SERVER), service("alone"))
    kube.until("pod/alone ready", seconds=60)
    ip = kube.object("service/alone").at("spec.clusterIP")
    polling.until(
        lambda: get(kube, "alone", f"http://{ip}/") == ["0.0"], "the Service to know its pod", seconds=20
    )
    assert get(kube, "alone", *[f"http://{ip}/"] * 10) == ["0.0"] * 10


def test_a_client_in_the_lab_is_seen_with_its_own_address(kube: Kube, replicas: dict[str, str]) -> None:
    """The server's own list of connections names the client's pod."""
    (first, *_) = replicas
    hold = f"import socket, time; s = socket.create_connection(('{first}', 8000)); print('x', flush=True); "
    apply(kube, pod("holds", {"command": ["python3", "-c", f"{hold} time.sleep(999)"]}))
    kube.until("pod/holds ready", seconds=60)
    polling.until(lambda: "x" in kube.logs("holds"), "the connection", seconds=30)
    mine = kube.object("pod/holds").at("status.podIP")
    (server,) = [p.name for p in kube.objects("pods") if p.at("status.podIP") == first]
    told = kube.kubectl("exec", server, "--", "cat", "/proc/net/tcp", "/proc/net/tcp6")
    assert socket.inet_aton(mine)[::-1].hex().upper() in told


def test_prometheus_scrapes_each_replica_at_its_own_address(
    cluster: Embedded, kube: Kube, replicas: dict[str, str]
) -> None:
    at = cluster.prometheus()
    assert at.ca
    assert at.cert
    assert at.key
    metrics = Metrics(at.url, ca=at.ca, cert=at.cert, key=at.key, clock=cluster.spec().clock)
    up = f'up{{namespace="{kube.namespace}"}}'
    names = {p.name: 1.0 for p in kube.objects("pods") if p.labels["app"] == "web"}
    polling.until(
        lambda: metrics.query(up, may_be_empty=True).by("pod") == names, "both targets to be up", seconds=30
    )
    context = ssl.create_default_context(cafile=str(at.ca))
    context.load_cert_chain(at.cert, at.key)
    reply = httpx.get(f"{at.url}/api/v1/targets?state=active", verify=context, trust_env=False)
    targets = [t for t in reply.json()["data"]["activeTargets"] if t["labels"].get("pod") in names]
    assert {t["scrapeUrl"] for t in targets} == {f"http://{ip}:8000/metrics" for ip in replicas}
    own = [key for p in kube.objects("pods") for key in p.annotations if key.startswith("labkit.dev/")]
    assert own == []


@contextlib.contextmanager
def forwarded(kube: Kube, target: str, port: int) -> Iterator[str]:
    """The URL at which `kubectl port-forward` makes a port of a target answer."""
    env = {**os.environ, "KUBECONFIG": str(kube.kubeconfig)}
    words = ("--namespace", kube.namespace, "port-forward", target, f":{port}")
    process = spawn.piped([binary(), *words], env=env)
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("Forwarding from 127.0.0.1:"), line + process.communicate()[1]
        yield f"http://{line.split()[2]}/"
    finally:
        process.terminate()
        process.communicate()


def test_port_forward_leads_to_a_pod_and_to_a_service(kube: Kube, replicas: dict[str, str]) -> None:
    for each in [p for p in kube.objects("pods") if p.labels["app"] == "web"]:
        with forwarded(kube, f"pod/{each.name}", 8000) as url:
            told = httpx.get(url, trust_env=False).text.split()[-1]
        assert told == replicas[each.at("status.podIP")]
    with forwarded(kube, "svc/web", 80) as url:
        assert httpx.get(url, trust_env=False).text.split()[-1] in replicas.values()


def test_port_forward_reaches_what_no_manifest_declares_and_only_the_pod_can(kube: Kube) -> None:
    """A server on the pod's own loopback, as a debugger listens."""
    quiet = {"command": ["python3", "-m", "http.server", "--bind", "127.0.0.1", "5678"]}
    apply(kube, pod("quiet", quiet), pod("client", IDLE))
    kube.until("pod/quiet ready", "pod/client ready", seconds=60)
    ip = kube.object("pod/quiet").at("status.podIP")
    local = "http://127.0.0.1:5678/"
    polling.until(lambda: "failed" not in get(kube, "quiet", local)[0], "the server to listen", seconds=60)
    with forwarded(kube, "pod/quiet", 5678) as url:  # kubectl ends with the first connection that is refused
        assert answers(url)
    assert "refused" in get(kube, "client", f"http://{ip}:5678/")[0]


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


def test_the_containers_of_a_pod_share_its_network(kube: Kube) -> None:
    beside = {"name": "beside", **IDLE}
    apply(kube, pod("pair", SERVER, beside), pod("other", IDLE))
    kube.until("pod/pair ready", "pod/other ready", seconds=60)
    told = kube.kubectl("exec", "pair", "-c", "beside", "--", "python3", "-c", GET, "http://127.0.0.1:8000/")
    assert told == "0.0\n"
    networks = {
        kube.kubectl("exec", "pair", "-c", name, "--", "readlink", f"/proc/{pid}/ns/net")
        for name in ("main", "beside")
        for pid in (1, "self")
    }
    assert len(networks) == 1
    assert kube.kubectl("exec", "other", "--", "readlink", "/proc/1/ns/net") not in networks
    assert "refused" in get(kube, "other", "http://127.0.0.1:8000/")[0]


def test_a_pod_is_told_the_address_of_its_node(kube: Kube) -> None:
    env = [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}]
    seen = set()
    for node in ("gpu-node-1", "gpu-node-2"):
        apply(kube, pod(f"on-{node}", IDLE | {"env": env}, nodeName=node))
        kube.until(f"pod/on-{node} ready", seconds=60)
        ip = kube.object(f"pod/on-{node}").at("status.hostIP")
        assert kube.kubectl("exec", f"on-{node}", "--", "printenv", "NODE").strip() == ip
        addresses = kube.object(f"node/{node}").at("status.addresses")
        assert ip in {a["address"] for a in addresses if a["type"] == "InternalIP"}
        seen.add(ip)
    assert len(seen) == 2


@pytest.fixture
def canaries() -> Iterator[tuple[list[socket.socket], str]]:
    """Servers of the host: on its loopback, on all its addresses, and a Unix socket without a file."""
    name = f"canary-{os.getpid()}"
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.create_server((host, 0))) for host in ("127.0.0.1", "")]
        found.append(stack.enter_context(socket.socket(socket.AF_UNIX)))
        found[-1].bind(f"\0{name}")
        found[-1].listen()
        yield found, name


def addresses_of_the_host() -> set[str]:
    every = (a for link in psutil.net_if_addrs().values() for a in link)
    return {a.address for a in every if a.family == socket.AF_INET}


def test_a_pod_reaches_neither_the_host_nor_the_internet(
    cluster: Embedded, kube: Kube, canaries: tuple[list[socket.socket], str]
) -> None:
    listening, name = canaries
    nodes = {a["address"] for n in kube.objects("nodes") for a in n.at("status.addresses")}
    hosts = {*addresses_of_the_host(), plan.GATEWAY, plan.API_SERVER, *(n for n in nodes if n[0].isdigit())}
    loopback, every = (sock.getsockname()[1] for sock in listening[:2])
    doors = [["127.0.0.1", loopback], *([host, every] for host in sorted(hosts))]
    outside = [["192.0.2.1", 80], ["198.51.100.1", 53], ["2001:db8::1", 80]]
    apply(kube, pod("client", IDLE), pod("root", IDLE | {"securityContext": {"runAsUser": 0}}))
    kube.until("pod/client ready", "pod/root ready", seconds=60)
    for client in ("client", "root"):
        words = json.dumps([*doors, *outside]), name
        told = json.loads(kube.kubectl("exec", client, "--", "python3", "-c", KNOCK, *words))
        assert [where for where, said in told.items() if said == "open"] == []
        assert all("unreachable" in told[f"{host} {port}"] for host, port in outside), told
    assert select.select(listening, [], [], 0)[0] == []
    routes = Path(f"/proc/{holder.pid_of(cluster.layout.dir)}/net/route").read_text().splitlines()[1:]
    assert [line for line in routes if line.split()[1] == "00000000"] == []


def test_two_labs_have_the_same_addresses_and_do_not_meet(cluster: Embedded, kube: Kube) -> None:
    """Also a ClusterIP that both give: each lab's pods meet their own server."""
    with running(Spec(name="same", gpu_nodes=1, cpu_nodes=0)) as other:
        publish(parse(IMAGE), other.registry())
        there = Kube(other.kubeconfig(), namespace="here")
        there.ensure_namespace()
        pull_secret.make(there, other.registry(), name=reset.PULL_SECRET)
        for number, (lab, api) in enumerate(((cluster, kube), (other, there)), start=1):
            apply(api, pod("web", SERVER), service("web", clusterIP="10.96.77.7"))
            api.until("pod/web ready", seconds=60)
            set_queue(lab, api, "web", number)
        for number, api in enumerate((kube, there), start=1):
            polling.until(
                lambda api=api, n=number: get(api, "web", "http://10.96.77.7/") == [f"{n}.0"],  # type: ignore[misc]
                "each lab's own server to answer", seconds=30,
            )  # fmt: skip
        ours, theirs = (api.object("node/gpu-node-1").at("status.addresses") for api in (kube, there))
        assert ours == theirs
        addresses = (cluster.address(kube.namespace, "web", 80), other.address("here", "web", 80))
        told = [httpx.get(url, trust_env=False).text.split()[-1] for url in addresses]
        assert told == ["1.0", "2.0"]
