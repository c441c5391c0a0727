"""`labkit why` without any cluster: its help, and what it says where it can't begin."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import yaml

from localcluster import spawn
from localcluster.api.client import Api


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """Two contexts of a server that does not run."""

    def context(name: str, **more: str) -> dict[str, object]:
        return {"name": name, "context": {"cluster": "c", "user": "u", **more}}

    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [context("one", namespace="shop"), context("two")],
        "current-context": "one",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def why(*words: str, home: Path, **env: str) -> spawn.Finished:
    clean = {key: value for key, value in os.environ.items() if key != "KUBECONFIG"}
    argv = [sys.executable, "-m", "labkit.cli", "why", *words]
    return spawn.run(argv, env={**clean, "HOME": str(home), **env}, seconds=60)


def test_the_help_teaches(tmp_path: Path) -> None:
    said = why("--help", home=tmp_path).stdout
    for word in (
        "hpa/web -n shop --watch",
        "scaledobject/web",
        "--context",
        "--kubeconfig",
        "--json",
        "docs/why.md",
    ):
        assert word in said


def test_without_a_kubeconfig_it_says_where_it_looked(tmp_path: Path) -> None:
    found = why("hpa/web", home=tmp_path)
    assert found.returncode == 2
    assert f"There is no kubeconfig at {tmp_path}/.kube/config" in found.stderr
    assert "--kubeconfig or KUBECONFIG" in found.stderr


def test_the_namespace_is_that_of_the_context_as_for_kubectl(kubeconfig: Path) -> None:
    assert Api(kubeconfig).namespace == "shop"
    assert Api(kubeconfig, context="two").namespace == "default"


def test_a_cluster_that_does_not_answer_is_not_taken_for_a_lab(kubeconfig: Path, tmp_path: Path) -> None:
    found = why("hpa/web", home=tmp_path, KUBECONFIG=str(kubeconfig))
    assert found.returncode == 1
    assert "kubectl cluster-info" in found.stderr
    assert "labkit up" not in found.stderr


def test_a_context_that_is_not_there(kubeconfig: Path, tmp_path: Path) -> None:
    found = why("hpa/web", "--kubeconfig", str(kubeconfig), "--context", "three", home=tmp_path)
    assert found.returncode == 2
    assert "three" in found.stderr


def test_flags_that_can_not_be_read(kubeconfig: Path, tmp_path: Path) -> None:
    flag = "--horizontal-pod-autoscaler-tolerance=much"
    words = ("--kubeconfig", str(kubeconfig), "--controller-flags", flag)
    found = why("hpa/web", *words, home=tmp_path)
    assert found.returncode == 2
    assert "a number such as 0.1" in found.stderr
