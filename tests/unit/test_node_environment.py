"""A container's environment, command and user, against what the kubelet makes of the same manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labkit.images.manifest import ImageConfig
from labkit.node.process.environment import (
    ConfigError,
    command_line,
    expand,
    references,
    resource,
    user,
    variables,
)
from labkit.node.quantities import amount

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
    env = variables(container, POD, objects, {"PORT": "4711"})
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


def test_no_manifest_overrides_the_port_that_was_given() -> None:
    container = {"name": "main", "env": [{"name": "PORT", "value": "8000"}]}
    assert variables(container, POD, {}, {"PORT": "4711"})["PORT"] == "4711"


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
        variables(container, POD, {("configmaps", "y"): {}}, {})


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
    with pytest.raises(ConfigError, match="unable to find user nobody"):
        user(container, POD, ImageConfig(user="nobody"), tmp_path)
    careful = container | {"securityContext": {"runAsNonRoot": True}}
    with pytest.raises(ConfigError, match="image will run as root"):
        user(careful, POD, ImageConfig(), tmp_path)


def test_resources_are_rounded_up() -> None:
    container = {"name": "main", "resources": {"limits": {"cpu": "1500m"}}}
    assert resource({"resource": "limits.cpu"}, container, POD) == "2"
    assert resource({"resource": "limits.cpu", "divisor": "1m"}, container, POD) == "1500"


@pytest.mark.parametrize(
    ("text", "number"), [("1", 1), ("250m", 0.25), ("16Gi", 2**34), ("1k", 1000), ("1Ki", 1024), ("2E", 2e18)]
)
def test_quantities(text: str, number: float) -> None:
    assert float(amount(text)) == number


@pytest.mark.parametrize("text", ["", "1X", "Gi", "a"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        amount(text)
