"""Fields of a pod that a node like these honours in its own way, or refuses aloud."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from labkit.errors import ClusterError
from labkit.kube import Kube
from localcluster import polling
from localcluster.node.unsupported import EVENT
from tests.cluster.live.test_pods import (
    IMAGE,
    finished,
    image,
    kube,
    run,
    shell,
    status,
    told,
    until_reason,
    until_told,
)

pytestmark = pytest.mark.embedded
__all__ = ["image", "kube"]  # fixtures
ENDS = {"restartPolicy": "Never"}


@pytest.fixture(autouse=True)
def unguarded(kube: Kube) -> None:
    """Pods that Pod Security would refuse reach the node."""
    label = "pod-security.kubernetes.io/enforce=privileged"
    kube.kubectl("label", "namespace", kube.namespace, label, "--overwrite")


def printed(kube: Kube, name: str, script: str, container: dict[str, Any] | None = None, **spec: Any) -> str:
    """What a pod of one container prints until it ends."""
    run(kube, name, shell(script) | (container or {}), **ENDS, **spec)
    assert finished(kube, name) == "Succeeded", kube.logs(name)
    return str(kube.logs(name))


def failure(kube: Kube, name: str) -> tuple[str, str]:
    """Of a pod that its node rejected: reason and message."""
    assert finished(kube, name) == "Failed"
    pod = kube.object(f"pod/{name}")
    return pod.at("status.reason"), pod.at("status.message")


def phase(kube: Kube, name: str) -> str:
    return str(kube.object(f"pod/{name}").at("status.phase"))


def test_safe_sysctls_are_set_in_the_pod_alone(kube: Kube) -> None:
    wanted = [
        {"name": "kernel.shm_rmid_forced", "value": "1"},
        {"name": "net/ipv4/tcp_keepalive_time", "value": "77"},
    ]
    show = "cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/tcp_keepalive_time"
    user = {"securityContext": {"runAsUser": 1000}}
    assert printed(kube, "set", show, user, securityContext={"sysctls": wanted}).split() == ["1", "77"]
    assert "77" not in printed(kube, "unset", show, user)


@pytest.mark.parametrize("user", [4321, 65534])
def test_a_user_of_whom_the_image_knows_nothing_has_no_name(kube: Kube, user: int) -> None:
    """No runtime adds a line to /etc/passwd: programs that ask for their name fail, as elsewhere."""
    script = (
        'id -u; name=$(id -un 2>&1) || name=nameless; echo $name; grep -c ":$(id -u):" /etc/passwd || true'
    )
    said = printed(kube, f"user-{user}", script, {"securityContext": {"runAsUser": user}})
    known = ["nobody", "1"] if user == 65534 else ["nameless", "0"]
    assert said.split() == [str(user), *known]


@pytest.mark.parametrize(
    ("name", "spec", "wanted"),
    [
        (
            "unsafe",
            {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}},
            ("SysctlForbidden", 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
        ),
        (
            "app-armor",
            {"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}},
            ("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"),
        ),
    ],
)
def test_what_a_node_can_not_admit_has_failed_with_the_kubelets_reason(
    kube: Kube, name: str, spec: dict[str, Any], wanted: tuple[str, str]
) -> None:
    run(kube, name, shell("true"), **spec)
    reason, message = failure(kube, name)
    assert (reason, message) == (wanted[0], f"Pod was rejected: {wanted[1]}")
    until_told(kube, name, f"{wanted[0]}: {wanted[1]}")


def test_a_sysctl_with_a_value_that_the_kernel_refuses_is_waited_for(kube: Kube) -> None:
    sysctls = [{"name": "net.ipv4.tcp_keepalive_time", "value": "soon"}]
    run(kube, "odd", shell("true"), securityContext={"sysctls": sysctls})
    until_told(kube, "odd", "FailedCreatePodSandBox: Failed to create pod sandbox: open /proc/sys/net/ipv4/")
    assert phase(kube, "odd") == "Pending"


def test_a_pod_of_a_runtime_that_is_not_there_is_waited_for(kube: Kube) -> None:
    made = [("gvisor", "runsc", {}), ("walled", "bubblewrap", {"podFixed": {"cpu": "250m"}})]
    for name, handler, overhead in made:
        runtime = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}}
        body = runtime | {"handler": handler} | ({"overhead": overhead} if overhead else {})
        kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(body))
    try:
        run(kube, "elsewhere", shell("true"), runtimeClassName="gvisor")
        until_told(
            kube, "elsewhere", 'FailedCreatePodSandBox: Failed to create pod sandbox: no runtime for "runsc"'
        )
        assert phase(kube, "elsewhere") == "Pending"
        assert printed(kube, "here", "echo well", runtimeClassName="walled") == "well\n"
        assert kube.object("pod/here").at("spec.overhead.cpu") == "250m"
    finally:
        kube.kubectl("delete", "runtimeclass", "gvisor", "walled")


def test_devices_of_dynamic_resource_allocation_are_waited_for(kube: Kube) -> None:
    node = kube.raw("/api/v1/nodes")["items"][0]["metadata"]["name"]
    claims = [{"name": "gpu", "resourceClaimName": "none"}]
    run(kube, "claims", shell("true"), resourceClaims=claims, nodeName=node)
    until_told(
        kube, "claims", "FailedPrepareDynamicResources: Failed to prepare dynamic resources: no DRA driver"
    )


@pytest.mark.parametrize(
    ("name", "container", "spec", "said"),
    [
        ("pid", {}, {"hostPID": True}, "spec.hostPID is not honoured"),
        ("ipc", {}, {"hostIPC": True}, "spec.hostIPC is not honoured"),
        ("users", {}, {"hostUsers": True}, "spec.hostUsers is not honoured"),
        (
            "caps",
            {"securityContext": {"capabilities": {"add": ["NET_BIND_SERVICE", "SYS_PTRACE"]}}},
            {},
            "capabilities.add is not honoured on this node: the container has no capabilities, so not SYS_",
        ),
        (
            "privileged",
            {"securityContext": {"privileged": True}},
            {},
            "securityContext.privileged is not honoured on this node: the container has no capabilities",
        ),
        (
            "escalation",
            {"securityContext": {"allowPrivilegeEscalation": True}},
            {},
            "securityContext.allowPrivilegeEscalation is not honoured",
        ),
        (
            "unmasked",
            {"securityContext": {"procMount": "Unmasked"}},
            {"hostUsers": False},
            "securityContext.procMount is not honoured",
        ),
        (
            "host-port",
            {"ports": [{"containerPort": 8000, "hostPort": 8080, "hostIP": "127.0.0.1"}]},
            {},
            "ports.hostPort is not honoured on this node: nothing leads from 127.0.0.1:8080 to the pod",
        ),
        (
            "groups",
            {"securityContext": {"runAsGroup": 7}},
            {"securityContext": {"fsGroup": 2000, "supplementalGroups": [7, 3000]}},
            "is not honoured on this node: a process has one group here, 7, so not 2000, 3000",
        ),
    ],
)
def test_a_field_that_can_not_be_honoured_is_said_in_one_event(
    kube: Kube, name: str, container: dict[str, Any], spec: dict[str, Any], said: str
) -> None:
    assert printed(kube, name, "echo started", container, **spec) == "started\n"
    until_told(kube, name, said)
    assert told(kube, name).count(EVENT) == 1


def test_what_takes_rights_away_needs_no_event(kube: Kube) -> None:
    careful = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": 1000,
    }
    show = "grep -E '^(NoNewPrivs|CapEff)' /proc/self/status; touch /opt/x || true; cat /proc/self/uid_map"
    shown = printed(kube, "careful", f"{show} 2>&1", {"securityContext": careful}, hostUsers=False)
    assert "NoNewPrivs:\t1" in shown
    assert "CapEff:\t0000000000000000" in shown
    assert [line.split()[0] for line in shown.splitlines()[-1:]] == ["1000"]
    assert "4294967295" not in shown
    assert EVENT not in told(kube, "careful")


def test_system_calls_are_filtered_where_a_profile_says_so(kube: Kube) -> None:
    thread = "import threading; threading.Thread(target=print, args=[1]).start()"
    look = "grep Seccomp: /proc/self/status; unshare -U true 2>&1 && echo unshared"
    tell = f"{look}; python3 -c '{thread}'; exec sleep 999"
    filtered = {"seccompProfile": {"type": "RuntimeDefault"}}
    run(kube, "whole", shell(tell), securityContext=filtered)
    run(kube, "own", shell(tell) | {"securityContext": filtered})
    free = {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}
    run(kube, "free", shell(tell) | free, securityContext=filtered)
    kube.until("pod/whole ready", "pod/own ready", "pod/free ready", seconds=60)
    for name in ("whole", "own"):
        polling.until(lambda n=name: kube.logs(n).endswith("1\n"), "a thread", seconds=30)  # type: ignore[misc]
        assert kube.logs(name).startswith("Seccomp:\t2\n")
        assert "Operation not permitted" in kube.logs(name)
    polling.until(lambda: "unshared" in kube.logs("free"), "a namespace", seconds=30)
    assert EVENT not in told(kube, "whole")
    assert "unshared" not in kube.kubectl("exec", "whole", "--", "sh", "-c", f"{look} || true")
    assert "unshared" in kube.kubectl("exec", "free", "--", "sh", "-c", look)


def test_a_seccomp_profile_that_the_node_does_not_have_is_waited_for(kube: Kube) -> None:
    profile = {"seccompProfile": {"type": "Localhost", "localhostProfile": "mine.json"}}
    run(kube, "mine", shell("true"), securityContext=profile)
    until_reason(kube, "mine", "CreateContainerError")
    until_told(kube, "mine", 'cannot load seccomp profile "mine.json"')


def test_files_of_volumes_belong_to_the_fs_group(kube: Kube) -> None:
    kube.kubectl("create", "configmap", "words", "--from-literal=word=x")
    sources: dict[str, dict[str, Any]] = {
        "disk": {"emptyDir": {}},
        "memory": {"emptyDir": {"medium": "Memory"}},
        "words": {"configMap": {"name": "words", "defaultMode": 0o400}},
    }
    volumes = [{"name": name, **source} for name, source in sources.items()]
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in sources]
    show = "touch /disk/x; id -g; stat -c '%n %g %a' /disk /disk/x /memory; stat -L -c '%n %g %a' /words/word"
    shown = printed(
        kube,
        "grouped",
        show,
        {"volumeMounts": mounts, "securityContext": {"runAsUser": 1000}},
        volumes=volumes,
        securityContext={"fsGroup": 2000, "fsGroupChangePolicy": "Always"},
    )
    assert shown.splitlines() == [
        "2000",
        "/disk 2000 2777",
        "/disk/x 2000 644",
        "/memory 2000 2777",
        "/words/word 2000 440",
    ]
    assert EVENT not in told(kube, "grouped")


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        (
            "host",
            {"hostPath": {"path": "/etc", "type": "File"}},
            "hostPath type check failed: /etc is not a file",
        ),
        ("nfs", {"nfs": {"server": "a", "path": "/"}}, "the embedded node does not support nfs volumes"),
        ("csi", {"csi": {"driver": "d"}}, "the embedded node does not support csi volumes"),
        ("iscsi", {"iscsi": {"targetPortal": "a", "iqn": "iqn.2001-04.com.x:y", "lun": 0}}, "iscsi volumes"),
        ("fc", {"fc": {"wwids": ["1"]}}, "the embedded node does not support fc volumes"),
        ("huge", {"emptyDir": {"medium": "HugePages"}}, "this node has no pages for medium HugePages"),
        (
            "trust",
            {"projected": {"sources": [{"clusterTrustBundle": {"name": "x", "path": "ca"}}]}},
            "projected source clusterTrustBundle is not supported",
        ),
        (
            "certificate",
            {
                "projected": {
                    "sources": [
                        {
                            "podCertificate": {
                                "signerName": "example.com/x",
                                "keyType": "ED25519",
                                "credentialBundlePath": "c",
                            }
                        }
                    ]
                }
            },
            "projected source podCertificate is not supported",
        ),
    ],
)
def test_a_volume_that_no_node_of_a_lab_has_is_waited_for(
    kube: Kube, name: str, source: dict[str, Any], said: str
) -> None:
    mount = {"volumeMounts": [{"name": "there", "mountPath": "/there"}]}
    volumes = [{"name": "there", **source}]
    run(kube, name, shell("true") | mount, volumes=volumes)
    until_told(kube, name, 'FailedMount: MountVolume.SetUp failed for volume "there" : ')
    until_told(kube, name, said)
    assert phase(kube, name) == "Pending"


def test_a_claim_that_is_bound_is_waited_for(kube: Kube) -> None:
    for mode in ("Filesystem", "Block"):
        name = f"{kube.namespace}-{mode.lower()}"
        common = {"accessModes": ["ReadWriteOnce"], "volumeMode": mode, "storageClassName": ""}
        disk = common | {"capacity": {"storage": "1Mi"}, "hostPath": {"path": "/nowhere"}}
        disk |= {"claimRef": {"namespace": kube.namespace, "name": mode.lower()}}
        claim = common | {"resources": {"requests": {"storage": "1Mi"}}, "volumeName": name}
        for kind, called, spec in (
            ("PersistentVolume", name, disk),
            ("PersistentVolumeClaim", mode.lower(), claim),
        ):
            made = {"apiVersion": "v1", "kind": kind, "metadata": {"name": called}, "spec": spec}
            kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(made))
    try:
        for mode, where in {
            "filesystem": {"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
            "block": {"volumeDevices": [{"name": "v", "devicePath": "/dev/v"}]},
        }.items():
            volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": mode}}]
            run(kube, mode, shell("true") | where, volumes=volumes)
            until_told(kube, mode, "FailedMount: ")
            until_told(kube, mode, "does not support persistentVolumeClaim volumes")
    finally:
        kube.kubectl("delete", "pod", "--all", "--grace-period=0", "--force")
        kube.kubectl("delete", "pvc", "--all")
        for mode in ("filesystem", "block"):
            kube.kubectl("delete", "pv", f"{kube.namespace}-{mode}")


def test_an_image_is_mounted_as_a_volume(kube: Kube) -> None:
    image = {"reference": IMAGE, "pullPolicy": "IfNotPresent"}
    mounts = [
        {"name": "weights", "mountPath": "/weights"},
        {"name": "weights", "mountPath": "/part", "subPath": "work"},
    ]
    show = "ls /weights /part; touch /weights/x; touch /part/x; true"
    volumes = [{"name": "weights", "image": image}]
    shown = printed(kube, "weights", f"{show} 2>&1", {"volumeMounts": mounts}, volumes=volumes)
    assert shown.count("Read-only file system") == 2
    assert "serve.py" in shown.split()


def test_an_image_for_a_volume_that_can_not_be_had_is_tried_again(kube: Kube) -> None:
    mount = {"volumeMounts": [{"name": "weights", "mountPath": "/weights"}]}
    volumes = [{"name": "weights", "image": {"reference": f"{IMAGE}-no", "pullPolicy": "Always"}}]
    run(kube, "none", shell("true") | mount, volumes=volumes)
    until_reason(kube, "none", "ImagePullBackOff")


def test_the_pods_of_a_node_share_its_disk_and_see_nothing_of_the_machine(kube: Kube) -> None:
    here, there = (n.name for n in kube.objects("nodes")[:2])
    mount = {"volumeMounts": [{"name": "host", "mountPath": "/host"}]}
    models = {"name": "host", "hostPath": {"path": "/var/models", "type": "DirectoryOrCreate"}}
    whole = {"name": "host", "hostPath": {"path": "/"}}
    write = "echo weights > /host/llm; ln -s /etc /host/away; echo written"
    assert printed(kube, "writes", write, mount, nodeName=here, volumes=[models]) == "written\n"
    read = "cat /host/var/models/llm; ls /host /host/etc"
    shown = printed(kube, "reads", read, mount, nodeName=here, volumes=[whole]).split()
    assert shown == ["weights", "/host:", "etc", "tmp", "var", "/host/etc:", "hostname", "hosts"]
    assert printed(kube, "elsewhere", "ls -A /host", mount, nodeName=there, volumes=[models]) == ""
    link = {"name": "host", "hostPath": {"path": "/var/models/away"}}
    run(kube, "astray", shell("ls /host") | mount, nodeName=here, volumes=[link])
    until_told(kube, "astray", "leads out of the volume")


def test_a_variable_comes_from_a_file_of_an_init_container(kube: Kube) -> None:
    data = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    write = "echo \"A='one'\" > /data/vars; ln -s /etc/passwd /data/link"
    first = {"name": "first", "image": IMAGE, **shell(write), **data}
    where = {"volumeName": "data", "path": "vars"}

    def variables(name: str, **more: Any) -> dict[str, Any]:
        reference = {"fileKeyRef": {**where, "key": name, **more}}
        return {"env": [{"name": "FOUND", "valueFrom": reference}]}

    spec = {"initContainers": [first], "volumes": [{"name": "data", "emptyDir": {}}]}
    assert printed(kube, "there", "echo $FOUND", variables("A"), **spec) == "one\n"
    assert printed(kube, "optional", "echo ${FOUND-none}", variables("B", optional=True), **spec) == "none\n"
    run(kube, "missing", shell("true") | variables("B"), **ENDS, **spec)
    until_reason(kube, "missing", "CreateContainerConfigError")
    until_told(kube, "missing", 'environment variable key "B" not found in file "vars"')
    run(kube, "leaving", shell("true") | variables("A", path="link"), **ENDS, **spec)
    until_reason(kube, "leaving", "CreateContainerConfigError")
    assert "root:" not in told(kube, "leaving")


def test_a_hook_of_a_kind_that_no_kubelet_has_fails(kube: Kube) -> None:
    hook = {"lifecycle": {"postStart": {"tcpSocket": {"port": 80}}}}
    run(kube, "hook", shell("sleep 999") | hook, **ENDS)
    until_told(kube, "hook", "FailedPostStartHook: PostStartHook failed")


def test_a_port_of_the_node_leads_to_the_pod_until_it_is_gone(kube: Kube) -> None:
    serve = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8000)"
    udp = "import socket as s; u = s.socket(type=s.SOCK_DGRAM)"
    echo = f"{udp}; u.bind(('', 9000))\nwhile 1: d, a = u.recvfrom(9); u.sendto(d, a)"
    ports = [
        {"containerPort": 8000, "hostPort": 8080},
        {"containerPort": 9000, "hostPort": 8080, "protocol": "UDP"},
    ]
    web = {"command": ["python3", "-c", serve], "workingDir": "/work", "ports": ports}
    beside = {"name": "echo", "image": IMAGE, "command": ["python3", "-c", echo]}
    run(kube, "web", {}, containers=[{"name": "main", "image": IMAGE, **web}, beside])
    run(kube, "client", shell("sleep 999"))
    kube.until("pod/web ready", "pod/client ready", seconds=60)
    ip = kube.object("pod/web").at("status.hostIP")
    get = f"import urllib.request as u; print(u.urlopen('http://{ip}:8080/serve.py', timeout=5).status)"
    send = f"{udp}; u.settimeout(5); u.sendto(b'x', ('{ip}', 8080)); print(u.recv(9))"

    def asked(pod: str, script: str) -> str:
        return str(kube.kubectl("exec", pod, "-c", "main", "--", "python3", "-c", script)).strip()

    polling.until(lambda: asked("client", get) == "200", "the server to listen", seconds=30)
    assert asked("client", send) == "b'x'"
    assert asked("web", get) == "200"  # its own
    kube.kubectl("delete", "pod", "web", "--grace-period=1")
    with pytest.raises(ClusterError, match=r"refused|timed out"):
        asked("client", get)


def test_a_pod_on_its_nodes_network_has_its_nodes_address(kube: Kube) -> None:
    show = {"env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}
    bind = "python3 -c \"import socket; socket.create_server(('', 79)); print('bound')\""
    words = f"echo $IP; cat /proc/net/dev | grep -c veth; {bind}"
    ip, links, bound = printed(kube, "there", words, show, hostNetwork=True).split()
    assert bound == "bound"
    assert ip == kube.object("pod/there").at("status.hostIP")
    assert int(links) >= 1  # of other pods: its own would be called eth0


def test_the_containers_of_a_pod_share_its_memory_segments(kube: Kube) -> None:
    make = 'python3 -c "import ctypes; print(ctypes.CDLL(None).shmget(77, 4096, 0o1666))"; sleep 999'
    look = "until grep -q ' 77 ' /proc/sysvipc/shm; do sleep 0.1; done; echo seen"
    both = [
        {"name": name, "image": IMAGE, **shell(script)}
        for name, script in {"maker": make, "reader": look}.items()
    ]
    run(kube, "shared-ipc", {}, containers=both)
    kube.until("pod/shared-ipc restarts>=1", seconds=60)
    assert kube.logs("shared-ipc", container="reader", previous=True) == "seen\n"


def test_the_containers_of_a_pod_may_share_their_processes(kube: Kube) -> None:
    look = "until grep -aq 4711 /proc/[0-9]*/cmdline; do sleep 0.1; done; echo seen; echo $$; id -u"
    memory = {"volumeMounts": [{"name": "shm", "mountPath": "/shm"}]}
    both = [
        {"name": "sleeper", "image": IMAGE, **shell("exec sleep 4711"), **memory},
        {"name": "looker", "image": IMAGE, **shell(f"{look}; exec sleep 999")}
        | {"securityContext": {"runAsUser": 4321}},
    ]
    volumes = [{"name": "shm", "emptyDir": {"medium": "Memory"}}]
    run(kube, "open", {}, containers=both, shareProcessNamespace=True, volumes=volumes)
    kube.until("pod/open ready", seconds=60)
    polling.until(
        lambda: "seen" in kube.logs("open", container="looker"),
        "the other container's process",
        seconds=30,
        last_seen=lambda: told(kube, "open"),
    )
    _, own, user = kube.logs("open", container="looker").split()
    assert own != "1"
    assert user == "10001"  # a user namespace has one user: the one of the first container
    until_told(kube, "open", "SharedUser: Runs as user 10001")
    assert kube.kubectl(
        "exec", "open", "-c", "looker", "--", "sh", "-c", "pkill -f '[s]leep 4711' && echo killed"
    )
    kube.until("pod/open restarts>=1", seconds=30)


def test_without_that_field_they_do_not(kube: Kube) -> None:
    both = [
        {"name": "sleeper", "image": IMAGE, **shell("exec sleep 4711")},
        {"name": "looker", "image": IMAGE, **shell("cat /proc/1/cmdline; exec sleep 999")},
    ]
    run(kube, "closed", {}, containers=both)
    kube.until("pod/closed ready", seconds=60)
    assert (
        kube.kubectl("exec", "closed", "-c", "looker", "--", "sh", "-c", "echo /proc/[0-9]*").count("/proc/")
        < 4
    )


# Resources of a running pod ---------------------------------------------------------------------------------


def resize(kube: Kube, name: str, resources: dict[str, Any]) -> None:
    patch = {"spec": {"containers": [{"name": "main", "resources": resources}]}}
    kube.kubectl("patch", f"pod/{name}", "--subresource=resize", "-p", yaml.safe_dump(patch))


def condition(kube: Kube, name: str, kind: str) -> tuple[str, str]:
    """Reason and message of a condition; empty if the pod has none of the kind."""
    found = [c for c in kube.object(f"pod/{name}").at("status.conditions", []) if c["type"] == kind]
    return (found[0].get("reason", ""), found[0].get("message", "")) if found else ("", "")


def until(kube: Kube, name: str, holds: Any, what: str) -> None:
    polling.until(holds, what, seconds=30, last_seen=lambda: str(kube.object(f"pod/{name}").at("status")))


def test_a_resize_holds_at_once_and_is_shown(kube: Kube) -> None:
    small = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "64Mi"}}
    large = {"requests": {"cpu": "200m", "memory": "300Mi"}, "limits": {"memory": "300Mi"}}
    grow = (
        "until [ -e /tmp/go ]; do sleep 0.1; done; python3 -c 'x = bytearray(10**8); print(len(x)); input()'"
    )
    run(kube, "grown", shell(grow) | {"resources": small, "stdin": True})
    kube.until("pod/grown ready", seconds=30)
    resize(kube, "grown", large)
    until(kube, "grown", lambda: status(kube, "grown").get("resources") == large, "the new resources")
    assert status(kube, "grown")["allocatedResources"] == large["requests"]
    until_told(kube, "grown", "ResizeCompleted: Pod resize completed: ")
    kube.kubectl("exec", "grown", "--", "touch", "/tmp/go")  # noqa: S108 - the container's own
    polling.until(lambda: "100000000" in kube.logs("grown"), "more than the old limit", seconds=30)
    assert status(kube, "grown")["restartCount"] == 0
    resize(kube, "grown", small)
    until(
        kube,
        "grown",
        lambda: "below current usage" in condition(kube, "grown", "PodResizeInProgress")[1],
        "an error",
    )
    assert status(kube, "grown")["resources"] == large
    resize(kube, "grown", large)
    until(kube, "grown", lambda: condition(kube, "grown", "PodResizeInProgress") == ("", ""), "no condition")


def test_a_container_that_wants_it_is_restarted_to_be_resized(kube: Kube) -> None:
    policy = {"resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]}
    small, large = ({"requests": {"memory": m}, "limits": {"memory": m}} for m in ("64Mi", "96Mi"))
    shown = [
        {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}}
    ]
    run(kube, "restarted", shell("echo $LIMIT; exec sleep 999") | policy | {"resources": small, "env": shown})
    kube.until("pod/restarted ready", seconds=30)
    resize(kube, "restarted", large)
    until(kube, "restarted", lambda: status(kube, "restarted")["restartCount"] == 1, "a restart")
    until_told(kube, "restarted", "Killing: Container main resize requires restart")
    polling.until(lambda: kube.logs("restarted") == "96\n", "the new limit", seconds=30)


def test_a_resize_that_has_no_room_is_deferred_until_there_is(kube: Kube) -> None:
    node = next(n for n in kube.raw("/api/v1/nodes")["items"])
    name, cpu = node["metadata"]["name"], int(node["status"]["allocatable"]["cpu"])
    most = {"requests": {"cpu": str(cpu - 1)}}
    place = {"nodeSelector": {"kubernetes.io/hostname": name}, "tolerations": [{"operator": "Exists"}]}
    grace = {"terminationGracePeriodSeconds": 0}
    run(
        kube,
        "other",
        shell("sleep 999") | {"resources": {"requests": {"cpu": str(cpu // 2)}}},
        **place,
        **grace,
    )
    run(kube, "waits", shell("sleep 999") | {"resources": {"requests": {"cpu": "100m"}}}, **place)
    kube.until("pod/waits ready", "pod/other ready", seconds=30)
    resize(kube, "waits", most)
    until(kube, "waits", lambda: condition(kube, "waits", "PodResizePending")[0] == "Deferred", "Deferred")
    assert "Node didn't have enough resource: cpu" in condition(kube, "waits", "PodResizePending")[1]
    until_told(kube, "waits", "ResizeDeferred: Pod resize Deferred: ")
    assert status(kube, "waits")["resources"] == {"requests": {"cpu": "100m"}}
    kube.kubectl("delete", "pod", "other")
    until(kube, "waits", lambda: status(kube, "waits")["resources"] == most, "room")
    until(kube, "waits", lambda: condition(kube, "waits", "PodResizePending") == ("", ""), "no condition")


def test_a_resize_of_the_pod_as_such_is_refused_by_the_api_server(kube: Kube) -> None:
    """Nodes declare no such feature."""
    run(kube, "whole", shell("sleep 999"), resources={"limits": {"memory": "64Mi"}})
    kube.until("pod/whole ready", seconds=30)
    patch = {"spec": {"resources": {"limits": {"memory": "96Mi"}}}}
    with pytest.raises(ClusterError, match="node without support for resize"):
        kube.kubectl("patch", "pod/whole", "--subresource=resize", "-p", yaml.safe_dump(patch))


def test_what_a_whole_pod_may_hold_is_enforced_too(kube: Kube) -> None:
    greedy = {"command": ["python3", "-c", "import time; x = bytearray(10**8); time.sleep(99)"]}
    run(kube, "whole", greedy, resources={"limits": {"memory": "64Mi"}}, **ENDS)
    assert finished(kube, "whole") == "Failed"
    assert status(kube, "whole")["state"]["terminated"]["reason"] == "OOMKilled"
