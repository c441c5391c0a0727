"""How pods begin and end on the simulated nodes: sidecars, hooks, addresses, and a status that is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from labkit import reset
from labkit.errors import ClusterError
from labkit.kube import Kube
from localcluster import polling
from localcluster.embedded.provider import Embedded
from localcluster.netns import doors
from tests.cluster.live.test_pods import IMAGE, finished, image, kill_agent, kube, run, shell, until_told

pytestmark = pytest.mark.embedded
__all__ = ["image", "kube"]  # fixtures

SIDECAR = {"name": "shipper", "image": IMAGE, "restartPolicy": "Always"}
POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: refuse-status}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [UPDATE], resources: [pods/status]}]
  matchConditions: [{name: one, expression: "object.metadata.name == 'refused'"}]
  validations: [{expression: "false", message: not this one}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: refuse-status}
spec: {policyName: refuse-status, validationActions: [Deny]}
"""


def job(kube: Kube, name: str, init: list[dict[str, Any]], script: str) -> None:
    main = {"name": "main", "image": IMAGE, **shell(script)}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 15, "initContainers": init}
    pod = {"imagePullSecrets": [{"name": reset.PULL_SECRET}], "containers": [main], **spec}
    body = {"backoffLimit": 0, "template": {"spec": pod}}
    made = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": body}
    kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(made))


def pod_of(kube: Kube, name: str) -> Any:
    raw = kube.raw(
        f"/api/v1/namespaces/{kube.namespace}/pods?labelSelector=batch.kubernetes.io/job-name={name}"
    )
    return raw["items"][0]


def outcome(kube: Kube, name: str) -> str:
    """Complete or Failed."""

    def conditions() -> list[str]:
        found = kube.object(f"job/{name}").at("status.conditions", [])
        return [c["type"] for c in found if c["status"] == "True" and c["type"] in {"Complete", "Failed"}]

    polling.until(lambda: bool(conditions()), f"job {name} to end", seconds=60)
    return conditions()[0]


def test_the_main_containers_alone_decide_a_jobs_end(kube: Kube) -> None:
    killed = SIDECAR | shell("trap '' TERM; while :; do sleep 0.2; done")
    failing = SIDECAR | shell("trap 'exit 3' TERM; while :; do sleep 0.2; done")
    job(kube, "killed", [killed], "sleep 0.5")
    job(kube, "failing", [failing | {"name": "first"}, failing], "sleep 0.5")
    job(kube, "broken", [killed], "exit 4")
    job(kube, "init", [killed, {"name": "setup", "image": IMAGE, **shell("exit 1")}], "true")
    assert {n: outcome(kube, n) for n in ("killed", "failing", "broken", "init")} == {
        "killed": "Complete",
        "failing": "Complete",
        "broken": "Failed",
        "init": "Failed",
    }
    status = pod_of(kube, "killed")["status"]
    assert status["phase"] == "Succeeded"
    assert status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 137


def test_a_post_start_hook_is_part_of_the_start(kube: Kube) -> None:
    waits = shell("until test -e /tmp/go; do sleep 0.1; done")["command"]
    hook = {"lifecycle": {"postStart": {"exec": {"command": waits}}}}
    probe = {"readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1}}
    run(kube, "slow", shell("sleep 999") | hook | probe)
    run(kube, "failing", shell("sleep 999") | {"lifecycle": {"postStart": {"exec": {"command": ["false"]}}}})
    until_told(kube, "slow", "Started: Container started")
    status = kube.object("pod/slow").raw["status"]
    assert (status["phase"], "podIP" in status) == ("Pending", False)
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    kube.kubectl("exec", "slow", "--", "touch", "/tmp/go")  # noqa: S108 - in the container
    kube.until("pod/slow ready", seconds=30)
    until_told(kube, "failing", "FailedPostStartHook: PostStartHook failed")
    until_told(kube, "failing", "BackOff: Back-off restarting failed container main")


def test_a_finished_pods_address_is_taken_back_once(cluster: Embedded, kube: Kube) -> None:
    run(kube, "done", shell("true"), restartPolicy="Never", nodeName="cpu-node-1")
    assert finished(kube, "done") == "Succeeded"
    kill_agent(cluster)
    run(kube, "next", {"readinessProbe": {"tcpSocket": {"port": 8000}}}, nodeName="cpu-node-1")
    kube.until("pod/next ready", seconds=30)
    ip = kube.object("pod/next").at("status.podIP")
    kube.kubectl("delete", "pod", "done")
    assert kube.object("pod/next").at("status.phase") == "Running"
    with doors.connected(cluster.layout.dir / doors.INSIDE, f"{ip}:8000"):
        pass
    run(kube, "third", shell("sleep 999"), nodeName="cpu-node-1")
    kube.until("pod/third ready", seconds=30)
    assert kube.object("pod/third").at("status.podIP") != ip


def is_refused(kube: Kube) -> bool:
    try:
        kube.kubectl("patch", "pod", "refused", "--subresource=status", "-p", '{"status": {"message": "x"}}')
    except ClusterError as error:
        return "not this one" in str(error)
    return False


@pytest.fixture
def refusing(kube: Kube) -> Iterator[None]:
    """The API server takes no status of the pod any more, from a moment after it runs."""
    run(kube, "refused", shell("until test -e /tmp/go; do sleep 0.1; done"))
    kube.until("pod/refused ready", seconds=30)
    kube.kubectl("apply", "-f", "-", stdin=POLICY)
    yield
    kube.kubectl("delete", "-f", "-", stdin=POLICY)


def test_a_pod_whose_status_is_refused_can_be_deleted(kube: Kube, refusing: None) -> None:
    polling.until(lambda: is_refused(kube), "the policy to hold", seconds=60)
    kube.kubectl("exec", "refused", "--", "touch", "/tmp/go")  # noqa: S108 - in the container
    until_told(kube, "refused", "FailedStatusUpdate: The API server refuses this pod's status")
    kube.kubectl("delete", "pod", "refused", "--grace-period=1", "--timeout=30s")


def test_a_containers_own_restart_policy_holds(kube: Kube) -> None:
    rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
    again = shell("exit 42") | {"restartPolicy": "Never", "restartPolicyRules": [rule]}
    run(kube, "rules", again, restartPolicy="Never")
    until_told(kube, "rules", "BackOff: Back-off restarting failed container main")
    run(kube, "once", shell("sleep 1; exit 1") | {"restartPolicy": "Never"})
    assert finished(kube, "once") == "Failed"
    assert kube.object("pod/once").at("status.containerStatuses.0.restartCount") == 0
