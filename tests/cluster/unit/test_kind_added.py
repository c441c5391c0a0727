"""What is added to a running kind lab, machines and optional parts: all that needs no engine."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import yaml

from labkit.errors import ProviderError
from localcluster.kind import keda, kwok
from localcluster.kind.added_nodes import join_config, plugin_of, run_words
from localcluster.provider import NewNode

NODE = NewNode("gpu-node-a100", gpus=1, gpu_product="NVIDIA-A100-SXM4-40GB", labels={"pool": "large"})
WORKER: dict[str, Any] = {
    "HostConfig": {
        "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
        "Tmpfs": {"/run": "", "/tmp": ""},  # noqa: S108 - a path in the container
        "Binds": ["/lib/modules:/lib/modules:ro", "/home/me/lab/certs.d:/etc/containerd/certs.d:ro"],
        "NetworkMode": "kind",
        "CgroupnsMode": "private",
    },
    "Config": {"Env": ["KUBECONFIG=/etc/kubernetes/admin.conf"], "Image": "kindest/node:v1"},
}
CONFIG = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
nodeRegistration:
  criSocket: unix:///run/containerd/containerd.sock
  kubeletExtraArgs:
  - {name: node-ip, value: 172.18.0.9}
  - {name: node-labels, value: "labkit.dev/gpus=simulated"}
discovery:
  bootstrapToken: {apiServerEndpoint: "labkit-lab-control-plane:6443", token: abcdef.0123456789abcdef}
---
kind: KubeletConfiguration
failCgroupV1: false
"""
PLUGIN: dict[str, Any] = {
    "spec": {
        "template": {
            "metadata": {"labels": {"app": "gpu-plugin"}},
            "spec": {
                "nodeSelector": {"labkit.dev/gpus": "simulated"},
                "containers": [
                    {"args": ["--lab=lab", "--count=4", "--product=NVIDIA-L4", "--memory-mib=23034"]}
                ],
            },
        }
    }
}


def test_its_container_is_like_a_workers_and_known_by_its_nodes_name() -> None:
    words = list(run_words(WORKER, "labkit-lab-gpu-node-a100", NODE.name, "labkit-lab"))
    assert words[-1] == "kindest/node:v1"
    pairs = set(pairwise(words))
    assert {
        ("--hostname", "gpu-node-a100"),
        ("--label", "io.x-k8s.kind.cluster=labkit-lab"),
        ("--label", "labkit.dev/node=gpu-node-a100"),
        ("--volume", "/home/me/lab/certs.d:/etc/containerd/certs.d:ro"),
        ("--tmpfs", "/run"),
        ("--cgroupns", "private"),
        ("--network", "kind"),
    } <= pairs


def test_it_joins_in_its_own_name_with_a_token_of_its_own_and_keeps_the_kubelets_settings() -> None:
    text = join_config(CONFIG, NODE, container="labkit-lab-gpu-node-a100", token="fresh.token")
    join, kubelet = yaml.safe_load_all(text)
    assert join["nodeRegistration"]["name"] == NODE.name
    extra = {arg["name"]: arg["value"] for arg in join["nodeRegistration"]["kubeletExtraArgs"]}
    assert extra["node-labels"] == "labkit.dev/simulated=true,pool=large"
    assert extra["node-ip"] == "172.18.0.9"
    assert join["discovery"]["bootstrapToken"]["token"] == "fresh.token"
    assert kubelet == {"kind": "KubeletConfiguration", "failCgroupV1": False}


def test_another_format_of_kind_is_said() -> None:
    with pytest.raises(ProviderError, match="no JoinConfiguration"):
        join_config("kind: InitConfiguration", NODE, container="c", token="t")


def test_its_gpus_are_announced_by_a_daemonset_for_this_node_alone() -> None:
    made = plugin_of(PLUGIN, NODE)
    pod = made["spec"]["template"]
    assert pod["spec"]["nodeSelector"] == {"kubernetes.io/hostname": "gpu-node-a100"}
    assert pod["spec"]["containers"][0]["args"] == [
        "--lab=lab", "--count=1", "--product=NVIDIA-A100-SXM4-40GB", "--memory-mib=40960",
    ]  # fmt: skip
    assert made["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    assert pod["metadata"]["labels"]["app"] == "gpu-plugin", "Prometheus finds it by that"
    assert PLUGIN["spec"]["template"]["metadata"]["labels"] == {"app": "gpu-plugin"}, "the other is unchanged"


def test_kwoks_pod_has_the_same_stages_as_its_process() -> None:
    found = {obj["kind"]: obj for obj in kwok.objects("registry.lab:5000/labkit/kwok:1")}
    assert "kind: Stage" in found["ConfigMap"]["data"]["stages.yaml"]
    [container] = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.lab:5000/labkit/kwok:1"


def test_kedas_published_objects_stay_as_they_are_but_for_the_image_and_the_webhook() -> None:
    pod: dict[str, Any] = {
        "securityContext": {"runAsNonRoot": True},
        "containers": [
            {
                "name": "keda-operator",
                "image": "ghcr.io/kedacore/keda:main",
                "command": ["/keda"],
                "args": ["--leader-elect"],
                "env": [{"name": "WATCH_NAMESPACE", "value": ""}],
                "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8081}, "initialDelaySeconds": 20},
            }
        ],
    }
    published: list[dict[str, Any]] = [
        {"kind": "ValidatingWebhookConfiguration", "metadata": {"name": "keda-admission"}},
        {"kind": "Deployment", "metadata": {"name": "keda-admission"}},
        {"kind": "Service", "metadata": {"name": "keda-operator"}, "spec": {"ports": []}},
        {
            "kind": "Deployment",
            "metadata": {"name": "keda-operator"},
            "spec": {"template": {"metadata": {}, "spec": pod}},
        },
    ]
    service, deployment = keda.objects_for(published, {"keda-operator": "registry.lab:5000/labkit/keda:1"})
    assert service == published[2]
    made = deployment["spec"]["template"]["spec"]
    assert made["containers"][0]["image"] == "registry.lab:5000/labkit/keda:1"
    assert made["containers"][0]["args"] == ["--leader-elect"]
    assert made["securityContext"] == {"runAsNonRoot": True, "runAsUser": 1000}
    assert pod["containers"][0]["image"] == "ghcr.io/kedacore/keda:main", "what came with it is unchanged"
