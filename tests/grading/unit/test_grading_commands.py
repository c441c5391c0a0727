"""What a student's process may have kubectl do: what the notebooks ask of it, and no more."""

from typing import Any

import pytest

from labkit.errors import BadInput
from labkit.kube import kubectl
from labkit_grading.verbs import commands
from tests.grading.unit.grading_class import called


@pytest.mark.parametrize(
    "words",
    [
        ("apply", "-f", "/etc/passwd"),
        ("apply", "-k", "https://example.com/"),
        ("get", "--kubeconfig=/root/x", "pods"),
        ("get", "--raw=/"),
        ("get", "pods", "-o", "jsonpath-file=/etc/passwd"),
        ("get", "pods", "-ogo-template-file=/etc/passwd"),
        ("get", "secrets", "--all-namespaces", "-o", "yaml"),
        ("get", "secrets", "-n", "monitoring"),
        ("delete", "secret", "team-login", "--namespace", "kube-system"),
        ("delete", "node", "gpu-node-1"),
        ("drain", "gpu-node-1"),
        ("config", "view", "--raw"),
        ("patch", "apiservice/v1beta2.custom.metrics.k8s.io", "-p", "{}"),
        ("scale", "--replicas=9", "-f", "x"),
        ("label", "namespace/llm-lab", "a=b"),
        ("exec", "pod/x"),
        ("patch", "namespace/llm-lab-", "-p", "{}"),
        ("annotate", "pod/x", "labkit.dev/address=169.254.169.254"),
        ("patch", "pod/x", "--subresource=status", "-p", "{}"),
        ("patch", "scaledobject", "llm-inference-service", "-p", "{}"),
        ("patch", "clusterrole", "view", "-p", "{}"),
        ("delete", "scaledobject", "other", "--cascade=orphan"),
        ("events", "--for=secret/x"),
        ("wait", "pod/x", "--for=delete", "--timeout=9999h"),
        ("get", "pods", "--timeout=5s"),
        (),
    ],
)
def test_kubectl_reads_no_file_and_reaches_nothing_else(words: tuple[str, ...]) -> None:
    with pytest.raises(BadInput):
        commands.refuse_options(words)


@pytest.mark.parametrize("line", sorted({line for [line] in called("kubectl")}))
def test_kubectl_does_what_the_notebooks_ask(line: str) -> None:
    if not line.startswith("apply -k "):
        commands.refuse_options(kubectl.words(line))


def test_kubectl_does_what_solutions_ask() -> None:
    for words in (
        ("patch", "node/cpu-0", "--subresource=status", "--type=merge", "-p", '{"status": "a/b"}'),
        ("set", "image", "deployment/x", "model-server=registry.lab:5000/llm-inference:2.0"),
        ("wait", "node/x", r"--for=jsonpath={.status.allocatable.nvidia\.com/gpu}=8", "--timeout=30s"),
        ("cordon", "gpu-node-1"),
        ("annotate", "deployment/x", "kubectl.kubernetes.io/last-applied-configuration-"),
        ("taint", "node", "gpu-node-1", "nvidia.com/gpu=present:NoSchedule"),
    ):
        commands.refuse_options(words)


@pytest.mark.parametrize(
    "word",
    [
        "node/gpu-0",
        "priorityclass/system-node-critical",
        "namespace/kube-system",
        "apiservice/x",
        "clusterrole/admin",
        "--all",
        "pod/../x",
        5,
    ],
)
def test_nothing_is_deleted_but_what_the_course_deletes(word: Any) -> None:
    with pytest.raises(BadInput):
        commands.refuse_targets([word])
    commands.refuse_targets(["pod/coffee", "deployment/llm-inference-service", "hpa/llm-hpa-cpu"])


def test_all_that_the_notebooks_delete_may_be_deleted() -> None:
    targets = [word for words in called("delete") for word in words if not word.startswith("manifests/")]
    assert "priorityclass/placeholder" in targets
    commands.refuse_targets(targets)


@pytest.mark.parametrize(
    "words",
    [
        ("-p", r'{"metadata": {"managed\u0046ields": [{}]}}'),
        ("-p", '{"metadata": {"managedFields": [{}]}}'),
        ("--type=json", '-p=[{"op": "remove", "path": "/metadata/managedFields/0"}]'),
        ("--type=json", "-p", '[{"op": "add", "path": "/metadata/annotations/labkit.dev~1address"}]'),
        ("-p", r'{"metadata": {"annotations": {"labkit.dev\/address": "127.0.0.1:9"}}}'),
        ("-p", '{\t"metadata": {"annotations": {"labkit.dev\\u002faddress": "127.0.0.1:9"}}}'),
        ("-p", '{"spec": {"externalIPs": ["10.0.0.1"]}}'),
    ],
)
def test_nobody_writes_who_wrote_a_field_or_who_answers_for_a_pod(words: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match=r"be set by a submission|can't be read"):
        commands.refuse_options(("patch", "pod/x", *words))


def test_a_status_is_a_nodes_or_nobodys() -> None:
    status = ("--subresource=status", "--type=merge", "-p", "{}")
    commands.refuse_options(("patch", "node/gpu-node-1", *status))
    for targets in (("hpa/llm-hpa",), ("hpa/llm-hpa", "node/gpu-node-1"), ("hpa", "node/x"), ()):
        with pytest.raises(BadInput, match="controller may write"):
            commands.refuse_options(("patch", *targets, *status))
