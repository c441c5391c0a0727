"""A container's environment, command and user, against what the kubelet makes of the same manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localcluster.images.manifest import ImageConfig
from localcluster.node.config import NodeSpec
from localcluster.node.process.downward import allocatable, field, resource
from localcluster.node.process.environment import (
    ConfigError,
    NodeEnvironment,
    command_line,
    expand,
    home,
    references,
    user,
    variables,
)
from localcluster.quantities import amount

POD: dict[str, Any] = {
    "metadata": {"name": "web", "namespace": "ns", "uid": "u", "labels": {"app": "llm"}},
    "spec": {"nodeName": "n1", "containers": []},
    "status": {"podIP": "10.244.1.2"},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("$(A)$(B)", "12"),
        ("$(NONE)", "$(NONE)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A $", "$A $"),
        ("$(", "$("),
    ],
)
def test_expand(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expected


def test_variables_in_order_and_with_every_source() -> None:
    container = {
        "name": "main",
        "envFrom": [{"configMapRef": {"name": "cm"}, "prefix": "P_"}],
        "env": [
            {"name": "HOST", "value": "h"},
            {"name": "URL", "value": "http://$(HOST):$(PORT)/$(LATER)"},
            {"name": "LATER", "value": "x"},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "MAYBE", "valueFrom": {"secretKeyRef": {"name": "no", "key": "k", "optional": True}}},
            {
                "name": "MIB",
                "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}},
            },
        ],
        "resources": {"limits": {"memory": "1Gi"}},
    }
    assert references(container) == {("configmaps", "cm"), ("secrets", "s"), ("secrets", "no")}
    objects = {("configmaps", "cm"): {"a": "1"}, ("secrets", "s"): {"k": "v"}, ("secrets", "no"): None}
    env = variables(container, POD, objects, NodeEnvironment(links={"PORT": "4711"}))
    assert env == {
        "PORT": "4711",
        "P_a": "1",
        "HOST": "h",
        "URL": "http://h:4711/$(LATER)",
        "LATER": "x",
        "IP": "10.244.1.2",
        "APP": "llm",
        "KEY": "v",
        "MIB": "1024",
    }


@pytest.mark.parametrize(
    ("given", "port"),
    [
        (NodeEnvironment(links={"PORT": "8000"}), "9000"),  # a hint, where the pod has a network of its own
        (NodeEnvironment(fixed={"PORT": "24711"}), "24711"),  # without isolation, where the node decides
    ],
)
def test_a_manifest_overrides_a_port_that_is_a_hint_alone(given: NodeEnvironment, port: str) -> None:
    container = {
        "name": "main",
        "env": [{"name": "PORT", "value": "9000"}, {"name": "AT", "value": ":$(PORT)"}],
    }
    env = variables(container, POD, {}, given)
    assert (env["PORT"], env["AT"]) == (port, ":9000")
    assert variables({"name": "main"}, POD, {}, given)["PORT"] in {"8000", "24711"}


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"envFrom": [{"configMapRef": {"name": "x"}}]}, 'configmap "x" not found'),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "x", "key": "k"}}}]},
            'secret "x" not found',
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "y", "key": "k"}}}]},
            "couldn't find key k in ConfigMap ns/y",
        ),
    ],
)
def test_what_is_missing_is_named_as_the_kubelet_names_it(container: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        variables(container, POD, {("configmaps", "y"): {}}, NodeEnvironment())


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, ("server", "--fast")),
        ({"args": ["--slow"]}, ("server", "--slow")),
        ({"command": ["sh"]}, ("sh",)),
        ({"command": ["sh"], "args": ["-c", "$(A)"]}, ("sh", "-c", "1")),
    ],
)
def test_command_line(spec: dict[str, Any], expected: tuple[str, ...]) -> None:
    image = ImageConfig(entrypoint=("server",), cmd=("--fast",))
    assert command_line(spec, image, {"A": "1"}) == expected


def test_no_command_at_all() -> None:
    with pytest.raises(ConfigError, match="no command specified"):
        command_line({}, ImageConfig(), {})


def test_users(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0:::\napp:x:1000:2000:::\n")
    (tmp_path / "etc/group").write_text("staff:x:50:\n")
    container = {"name": "main"}
    assert user(container, POD, ImageConfig(user=""), tmp_path) == (0, 0)
    assert user(container, POD, ImageConfig(user="app"), tmp_path) == (1000, 2000)
    assert user(container, POD, ImageConfig(user="app:staff"), tmp_path) == (1000, 50)
    assert user(container, POD, ImageConfig(user="1000"), tmp_path) == (1000, 2000)
    own = container | {"securityContext": {"runAsUser": 7, "runAsGroup": 8}}
    assert user(own, POD, ImageConfig(user="app"), tmp_path) == (7, 8)
    another = container | {"securityContext": {"runAsUser": 7}}
    assert user(another, POD, ImageConfig(user="app"), tmp_path) == (7, 0)  # not the image user's group
    named = container | {"securityContext": {"runAsUser": 1000}}
    assert user(named, POD, ImageConfig(), tmp_path) == (1000, 2000)
    with pytest.raises(ConfigError, match="unable to find user nobody"):
        user(container, POD, ImageConfig(user="nobody"), tmp_path)
    careful = container | {"securityContext": {"runAsNonRoot": True}}
    with pytest.raises(ConfigError, match="image will run as root"):
        user(careful, POD, ImageConfig(), tmp_path)
    with pytest.raises(ConfigError, match=r"non-numeric user \(app\), cannot verify user is non-root"):
        user(careful, POD, ImageConfig(user="app"), tmp_path)
    assert user(careful, POD, ImageConfig(user="1000:50"), tmp_path) == (1000, 50)


@pytest.mark.parametrize(
    ("whole", "own", "expected"),
    [
        ({}, {"runAsGroup": 8}, 8),
        ({"runAsGroup": 9}, {"runAsGroup": 8}, 8),
        ({"fsGroup": 2000}, {}, 2000),
        ({"fsGroup": 2000, "supplementalGroups": [3000]}, {}, 2000),
        ({"supplementalGroups": [3000]}, {}, 3000),
        ({"fsGroup": 2000}, {"runAsGroup": 8}, 8),
        ({}, {}, 50),
    ],
)
def test_of_several_groups_a_process_has_the_most_important(
    tmp_path: Path, whole: dict[str, Any], own: dict[str, Any], expected: int
) -> None:
    pod = POD | {"spec": POD["spec"] | {"securityContext": whole}}
    assert user({"name": "main", "securityContext": own}, pod, ImageConfig(user="7:50"), tmp_path) == (
        7,
        expected,
    )


def test_home_is_what_the_image_says(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\napp:x:1000:50::/home/app:/bin/sh\n")
    assert [home(uid, tmp_path) for uid in (0, 1000, 7)] == ["/root", "/home/app", "/"]
    assert home(0, tmp_path / "nothing") == "/"


NODE = allocatable(NodeSpec("n", 1, cpu=64, memory="256Gi"))


@pytest.mark.parametrize(
    ("limits", "reference", "shown"),
    [
        ({"cpu": "1500m"}, {"resource": "limits.cpu"}, "2"),
        ({"cpu": "1500m"}, {"resource": "limits.cpu", "divisor": "1m"}, "1500"),
        ({"memory": "1G"}, {"resource": "limits.memory", "divisor": "1Mi"}, "954"),
        ({}, {"resource": "limits.cpu"}, "64"),
        ({}, {"resource": "limits.cpu", "divisor": "1m"}, "64000"),
        ({"cpu": "0"}, {"resource": "limits.cpu"}, "64"),
        ({}, {"resource": "limits.memory", "divisor": "1Mi"}, "262044"),
        ({}, {"resource": "limits.memory", "divisor": "0"}, str(262044 * 2**20)),
        ({}, {"resource": "limits.ephemeral-storage", "divisor": "1Gi"}, "180"),
        ({}, {"resource": "limits.hugepages-2Mi"}, "0"),  # never more than was asked for
        ({"hugepages-2Mi": "4Mi"}, {"resource": "limits.hugepages-2Mi", "divisor": "1Mi"}, "4"),
        ({}, {"resource": "requests.cpu"}, "0"),
        ({}, {"resource": "requests.memory"}, "0"),
    ],
)
def test_a_resource_without_a_limit_is_the_nodes(
    limits: dict[str, str], reference: dict[str, str], shown: str
) -> None:
    container = {"name": "main", "resources": {"limits": limits}}
    assert resource(reference, container, POD, NODE) == shown


def test_a_limit_of_the_whole_pod_comes_before_the_nodes() -> None:
    container = {"name": "main", "resources": {"limits": {"memory": "1Gi"}}}
    pod = POD | {"spec": {"containers": [container], "resources": {"limits": {"cpu": "3", "memory": "2Gi"}}}}
    assert resource({"resource": "limits.cpu"}, container, pod, NODE) == "3"
    assert resource({"resource": "limits.memory", "divisor": "1Gi"}, container, pod, NODE) == "1"
    other = {"name": "other"}
    named = {"resource": "limits.memory", "divisor": "1Gi", "containerName": "main"}
    assert resource(named, other, pod, NODE) == "1"


def test_annotations_are_quoted_as_go_quotes() -> None:
    pod = POD | {"metadata": {"annotations": {"b": 'say "hi"\t\x01', "a": "é\n"}}}
    assert field("metadata.annotations", pod) == 'a="é\\n"\nb="say \\"hi\\"\\t\\x01"'


SERVICE_LINKS = {"VLLM_PORT": "tcp://10.96.0.7:8000", "VLLM_SERVICE_HOST": "10.96.0.7"}


def test_service_links_give_way_to_the_containers_own_and_may_be_referred_to() -> None:
    container = {
        "name": "main",
        "envFrom": [{"configMapRef": {"name": "cm"}}],
        "env": [{"name": "URL", "value": "http://$(VLLM_SERVICE_HOST)/$(my key)"}],
    }
    objects = {("configmaps", "cm"): {"VLLM_PORT": "5557", "my key": "v1"}}
    env = variables(container, POD, objects, NodeEnvironment(links=SERVICE_LINKS))
    assert env == {
        "VLLM_SERVICE_HOST": "10.96.0.7",
        "VLLM_PORT": "5557",
        "URL": "http://10.96.0.7/v1",
        "my key": "v1",
    }


@pytest.mark.parametrize(
    ("text", "number"), [("1", 1), ("250m", 0.25), ("16Gi", 2**34), ("1k", 1000), ("1Ki", 1024), ("2E", 2e18)]
)
def test_quantities(text: str, number: float) -> None:
    assert float(amount(text)) == number


@pytest.mark.parametrize("text", ["", "1X", "Gi", "a"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        amount(text)
