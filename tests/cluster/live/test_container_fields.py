"""Plain fields of containers and volumes: each does what the API says of it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from labkit.kube import Kube
from localcluster import polling
from tests.cluster.live.test_pod_fields import ENDS, printed, until
from tests.cluster.live.test_pods import IMAGE, finished, image, kube, run, shell, status, told, until_told

pytestmark = pytest.mark.embedded
__all__ = ["image", "kube"]  # fixtures


def ended(kube: Kube, name: str) -> dict[str, Any]:
    """How the one container of a pod ended."""
    finished(kube, name)
    return dict(status(kube, name)["state"]["terminated"])


def test_the_termination_message_comes_from_where_the_manifest_says(kube: Kube) -> None:
    own = shell("echo -n the end > /opt/last; exit 3") | {"terminationMessagePath": "/opt/last"}
    run(kube, "file", own, **ENDS)
    logged = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    run(kube, "log", shell("echo last line; exit 4") | logged, **ENDS)
    run(kube, "quiet", shell("echo not an error") | logged, **ENDS)
    assert [ended(kube, name).get("message") for name in ("file", "log", "quiet")] == [
        "the end",
        "last line\n",
        None,
    ]


def test_a_command_has_its_folder_words_and_terminal(kube: Kube) -> None:
    words = {
        "command": ["sh", "-c"],
        "args": ["pwd; test -t 0 && echo terminal; echo $TERM"],
        "workingDir": "/usr/lib",
        "tty": True,
    }
    run(kube, "words", words, **ENDS)
    finished(kube, "words")
    assert kube.logs("words").split() == ["/usr/lib", "terminal", "xterm"]


def test_stdin_once_ends_with_its_first_client(kube: Kube) -> None:
    run(kube, "once", shell("cat; echo over") | {"stdin": True, "stdinOnce": True}, **ENDS)
    kube.until("pod/once ready", seconds=30)
    kube.kubectl("attach", "-i", "once", stdin="hello\n")
    assert finished(kube, "once") == "Succeeded"
    assert kube.logs("once") == "hello\nover\n"


def test_each_source_of_a_projected_volume_has_its_names_and_modes(kube: Kube) -> None:
    kube.kubectl("create", "configmap", "words", "--from-literal=a=1", "--from-literal=b=2")
    kube.kubectl("create", "secret", "generic", "hidden", "--from-literal=key=3")
    kube.kubectl("create", "serviceaccount", "worker")
    limit = {"resource": "limits.cpu", "containerName": "main", "divisor": "1m"}
    sources = [
        {"configMap": {"name": "words", "items": [{"key": "a", "path": "deep/a", "mode": 0o440}]}},
        {"configMap": {"name": "none", "optional": True}},
        {"secret": {"name": "hidden", "items": [{"key": "key", "path": "key"}]}},
        {"secret": {"name": "none", "optional": True}},
        {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 900}},
        {
            "downwardAPI": {
                "items": [
                    {"path": "name", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
                    {"path": "cpu", "resourceFieldRef": limit, "mode": 0o400},
                ]
            }
        },
    ]
    volumes = [{"name": "all", "projected": {"defaultMode": 0o444, "sources": sources}}]
    read = (
        "cd /all; cat deep/a key name cpu; echo; stat -L -c %a deep/a key cpu;"
        "cut -d. -f2 token | python3 -c 'import base64, json, sys; "
        't = json.loads(base64.urlsafe_b64decode(sys.stdin.read().strip() + "===")); '
        'print(t["aud"], t["exp"] - t["iat"], t["sub"].rpartition(":")[2])\''
    )
    mount = {
        "volumeMounts": [{"name": "all", "mountPath": "/all"}],
        "resources": {"limits": {"cpu": "1500m"}},
    }
    shown = printed(kube, "sources", read, mount, volumes=volumes, serviceAccountName="worker").splitlines()
    assert shown == ["13sources1500", "440", "444", "400", "['vault'] 900 worker"]


def test_a_volume_of_one_source_has_its_names_and_modes(kube: Kube) -> None:
    kube.kubectl("create", "configmap", "words", "--from-literal=a=1", "--from-literal=b=2")
    kube.kubectl("create", "secret", "generic", "hidden", "--from-literal=key=3")
    one = [{"key": "a", "path": "renamed", "mode": 0o400}]
    downward = {"path": "labels", "fieldRef": {"fieldPath": "metadata.namespace"}, "mode": 0o440}
    sources: dict[str, dict[str, Any]] = {
        "some": {"configMap": {"name": "words", "items": one}},
        "all": {"configMap": {"name": "words", "defaultMode": 0o440}},
        "no-map": {"configMap": {"name": "none", "optional": True}},
        "key": {"secret": {"secretName": "hidden", "items": [{"key": "key", "path": "key"}]}},
        "mode": {"secret": {"secretName": "hidden", "defaultMode": 0o400}},
        "no-secret": {"secret": {"secretName": "none", "optional": True}},
        "about": {"downwardAPI": {"items": [downward], "defaultMode": 0o400}},
    }
    volumes = [{"name": name, **source} for name, source in sources.items()]
    mounts = [{"name": name, "mountPath": f"/v/{name}"} for name in sources]
    show = "cd /v; for f in */*; do echo $f $(stat -L -c %a $f) $(cat $f); done"
    shown = printed(kube, "single", show, {"volumeMounts": mounts}, volumes=volumes)
    assert shown.splitlines() == [
        f"about/labels 440 {kube.namespace}",
        "all/a 440 1",
        "all/b 440 2",
        "key/key 644 3",
        "mode/key 400 3",
        "some/renamed 400 1",
    ]


def test_binary_data_is_for_volumes_alone(kube: Kube) -> None:
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "both"}, "data": {"TEXT": "1"}}
    kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(made | {"binaryData": {"BYTES": "Mg=="}}))
    container = {
        "envFrom": [{"configMapRef": {"name": "both"}}],
        "volumeMounts": [{"name": "both", "mountPath": "/both"}],
    }
    volumes = [{"name": "both", "configMap": {"name": "both"}}]
    show = "echo $TEXT${BYTES-none}; cat /both/TEXT /both/BYTES"
    assert printed(kube, "both", show, container, volumes=volumes) == "1none\n12"


def test_who_is_not_root_can_not_write_what_is_roots(kube: Kube) -> None:
    kube.kubectl("create", "configmap", "words", "--from-literal=a=1")
    mount = {"volumeMounts": [{"name": "words", "mountPath": "/etc/app"}]}
    volumes = [{"name": "words", "configMap": {"name": "words"}}]
    tried = "touch /etc/x; echo x >> /etc/passwd; rm /etc/hostname; echo x > /usr/x"
    show = f"({tried}; touch /tmp/x && cat /etc/app/a) 2>&1"
    said = printed(kube, "user", show, mount, volumes=volumes)
    assert said.count("Read-only file system") == 4
    assert said.splitlines()[-1] == "1"
    root = mount | {"securityContext": {"runAsUser": 0}}
    said = printed(
        kube, "root", "touch /etc/x && echo x >> /etc/passwd && cat /etc/app/a", root, volumes=volumes
    )
    assert said == "1"


def test_all_of_a_secret_becomes_the_environment(kube: Kube) -> None:
    kube.kubectl("create", "secret", "generic", "hidden", "--from-literal=A=1", "--from-literal=B=2")
    refs = [{"secretRef": {"name": "hidden"}}, {"secretRef": {"name": "none", "optional": True}}]
    assert printed(kube, "secret", "echo $A$B", {"envFrom": refs}) == "12\n"


def test_a_folder_for_a_sub_path_has_its_volumes_mode(kube: Kube) -> None:
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "a/b"}]}
    volumes = [{"name": "v", "emptyDir": {}}]
    assert printed(kube, "new", "stat -c %a /v", mount, volumes=volumes) == "777\n"


def test_a_missing_item_of_a_volume_is_waited_for(kube: Kube) -> None:
    kube.kubectl("create", "configmap", "words", "--from-literal=a=1")
    volumes = [{"name": "v", "configMap": {"name": "words", "items": [{"key": "b", "path": "b"}]}}]
    run(
        kube, "missing", shell("true") | {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}, volumes=volumes
    )
    until_told(kube, "missing", "FailedMount: ")
    until_told(kube, "missing", "references non-existent configmap key: b")


@pytest.mark.parametrize("how", [{}, {"recursiveReadOnly": "Enabled", "mountPropagation": "None"}])
def test_a_read_only_mount_can_not_be_written(kube: Kube, how: dict[str, Any]) -> None:
    mounts = [
        {"name": "v", "mountPath": "/open"},
        {"name": "v", "mountPath": "/closed", "readOnly": True, **how},
    ]
    show = "touch /open/x; touch /closed/y; ls /closed"
    volumes = [{"name": "v", "emptyDir": {}}]
    shown = printed(kube, "closed", f"{show} 2>&1", {"volumeMounts": mounts}, volumes=volumes)
    assert "Read-only file system" in shown
    assert shown.splitlines()[-1] == "x"


def hook(kube: Kube, name: str, how: dict[str, Any], script: str) -> None:
    """A pod with a preStop hook, deleted as soon as it runs."""
    run(kube, name, shell(script) | {"lifecycle": {"preStop": how}}, terminationGracePeriodSeconds=20)
    kube.until(f"pod/{name} ready", seconds=30)


def test_a_pre_stop_hook_runs_before_the_signal(kube: Kube) -> None:
    wait = "trap 'echo signal; sleep 1; exit 0' TERM; while :; do sleep 0.1; done"
    sleeps: dict[str, Any] = {"sleep": {"seconds": 1}}
    says: dict[str, Any] = {"exec": {"command": ["sh", "-c", "echo hook > /proc/1/fd/1"]}}
    hook(kube, "says", says, wait)
    hook(kube, "sleeps", sleeps, wait)
    following = kube.kubectl("delete", "pod", "says", "--wait=false")
    assert "says" in following
    polling.until(lambda: "signal" in kube.logs("says"), "the signal", seconds=20)
    assert kube.logs("says").split() == ["hook", "signal"]
    kube.kubectl("delete", "pod", "sleeps")
    assert "FailedPreStopHook" not in told(kube, "sleeps")


def test_a_pre_stop_hook_that_fails_is_said(kube: Kube) -> None:
    how = {"httpGet": {"port": 1, "path": "/", "scheme": "HTTP"}}
    hook(kube, "deaf", how, "sleep 999")
    kube.kubectl("delete", "pod", "deaf")
    until_told(kube, "deaf", "FailedPreStopHook: PreStopHook failed")


def test_a_deadline_may_be_set_later(kube: Kube) -> None:
    run(kube, "late", shell("exec sleep 999"), terminationGracePeriodSeconds=1)
    kube.until("pod/late ready", seconds=30)
    kube.kubectl("patch", "pod", "late", "-p", yaml.safe_dump({"spec": {"activeDeadlineSeconds": 1}}))
    assert finished(kube, "late") == "Failed"
    assert kube.object("pod/late").at("status.reason") == "DeadlineExceeded"


def test_a_probe_counts_as_its_fields_say(kube: Kube) -> None:
    slow = {
        "exec": {"command": ["sh", "-c", "echo x >> /opt/tries; test $(wc -l < /opt/tries) -ge 3"]},
        "initialDelaySeconds": 1,
        "periodSeconds": 1,
        "failureThreshold": 30,
        "timeoutSeconds": 5,
    }
    open_door = {"exec": {"command": ["sh", "-c", "test -e /opt/open"]}, "periodSeconds": 1}
    probes = {
        "startupProbe": slow,
        "readinessProbe": open_door | {"successThreshold": 2},
        "livenessProbe": {"exec": {"command": ["test", "!", "-e", "/opt/sick"]}, "periodSeconds": 1}
        | {"failureThreshold": 1, "terminationGracePeriodSeconds": 1},
    }
    run(kube, "probed", shell("trap '' TERM; touch /opt/open; while :; do sleep 0.1; done") | probes)
    kube.until("pod/probed ready", seconds=60)
    assert int(kube.kubectl("exec", "probed", "--", "sh", "-c", "wc -l < /opt/tries")) == 3
    kube.kubectl("exec", "probed", "--", "touch", "/opt/sick")
    until(kube, "probed", lambda: status(kube, "probed")["restartCount"] == 1, "a restart")
    until_told(kube, "probed", "Killing: Container main failed liveness probe, will be restarted")


def test_an_ephemeral_container_sees_its_targets_processes(kube: Kube) -> None:
    run(kube, "target", shell("sleep 4711"))
    kube.until("pod/target ready", seconds=30)
    look = {
        "name": "look",
        "image": IMAGE,
        "command": ["sh", "-c", "cat /proc/1/cmdline /proc/[0-9]*/cmdline"],
    }
    patch = {"spec": {"ephemeralContainers": [look | {"targetContainerName": "main"}]}}
    kube.kubectl("patch", "pod", "target", "--subresource=ephemeralcontainers", "-p", yaml.safe_dump(patch))
    polling.until(lambda: "4711" in _log(kube, "target", "look"), "the target's process", seconds=30)


def _log(kube: Kube, pod: str, container: str) -> str:
    found = kube.object(f"pod/{pod}").at("status.ephemeralContainerStatuses", [])
    begun = any(c["name"] == container and "waiting" not in c["state"] for c in found)
    return str(kube.logs(pod, container=container)) if begun else ""


def test_a_readiness_gate_holds_a_pod_back(kube: Kube) -> None:
    run(kube, "gated", shell("sleep 999"), readinessGates=[{"conditionType": "example.com/open"}])

    def ready() -> str:
        found = kube.object("pod/gated").at("status.conditions", [])
        return str(next((c["status"] for c in found if c["type"] == "Ready"), ""))

    until(
        kube, "gated", lambda: ready() == "False" and "running" in status(kube, "gated")["state"], "a start"
    )
    opened = {"type": "example.com/open", "status": "True"}
    kube.kubectl(
        "patch",
        "pod",
        "gated",
        "--subresource=status",
        "-p",
        yaml.safe_dump({"status": {"conditions": [opened]}}),
    )
    until(kube, "gated", lambda: ready() == "True", "an open gate")
