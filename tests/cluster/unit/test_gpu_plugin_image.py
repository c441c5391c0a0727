"""The plugin's image holds all that the plugin imports, at the versions that the lab is tested with."""

from __future__ import annotations

import os
import re
import string
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from localcluster import spawn
from localcluster.data import DATA
from localcluster.gpus.plugin import image

ROOT = Path(__file__).resolve().parents[3]
MANIFEST = DATA / "kind" / "gpu-plugin.yaml"
VALUES = {"LAB": "lab", "GPUS": 4, "PRODUCT": "NVIDIA-L4", "MEMORY_MIB": 23034, "CLOCK": 15}
NOT_NEEDED = {
    "localcluster",
    "setuptools",
    "brotli",
    "grpcio-tools",
}  # aiohttp, gRPC use the last two if found
LOADED = """
import sys, localcluster.gpus.plugin.__main__
print(*(m.__file__ for n, m in sys.modules.items() if n.partition(".")[0] == "localcluster"))
print(*{n.partition(".")[0] for n in sys.modules})
"""
"""Where the image lacks a module, this checkout's own is found: so the file of each is looked at."""


def _pins() -> dict[str, str]:
    text = (DATA / "images" / "gpu-plugin" / "requirements.txt").read_text()
    return dict(re.findall(r"^([\w-]+)==(\S+)$", text, re.MULTILINE))


def test_it_starts_from_its_image_alone(tmp_path: Path) -> None:
    folder = image.context(tmp_path / "context")
    env = {**os.environ, "PYTHONPATH": str(folder)}
    done = spawn.run([sys.executable, "-c", LOADED], env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    own, loaded = (line.split() for line in done.stdout.splitlines())
    assert [path for path in own if not Path(path).is_relative_to(folder)] == []
    distributions = packages_distributions()
    wanted = {name.lower().replace("_", "-") for top in loaded for name in distributions.get(top, ())}
    assert wanted - NOT_NEEDED <= _pins().keys()


def test_its_requirements_are_those_of_the_lock() -> None:
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert _pins() == {name: locked[name] for name in _pins()}


def test_the_stubs_are_what_the_protos_generate(tmp_path: Path) -> None:
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = spawn.run([ROOT / "scripts" / "protos", tmp_path], env=env)
    assert done.returncode == 0, done.stderr
    made = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*_pb2*")}
    assert len(made) == 12
    assert made == {path: (ROOT / "cluster" / path).read_text() for path in made}


def test_the_manifest_gives_the_plugin_what_it_is_told() -> None:
    text = string.Template(MANIFEST.read_text()).substitute({**VALUES, "CPU_SCALE": 0.025})
    documents = list(yaml.safe_load_all(text))
    [plugin] = [d for d in documents if d["kind"] == "DaemonSet"]
    [container] = plugin["spec"]["template"]["spec"]["containers"]
    assert "--lab=lab" in container["args"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_plugin_may_do_what_it_does_and_no_more() -> None:
    text = string.Template(MANIFEST.read_text()).substitute({**VALUES, "CPU_SCALE": 0.025})
    [role] = [d for d in yaml.safe_load_all(text) if d["kind"] == "ClusterRole"]
    assert {kind: rule["verbs"] for rule in role["rules"] for kind in rule["resources"]} == {
        "nodes": ["list", "watch", "patch"],
        "pods": ["get", "delete"],
        "events": ["create", "patch"],
    }


@pytest.mark.parametrize("name", sorted(VALUES))
def test_the_manifest_explains_each_of_its_variables(name: str) -> None:
    assert re.search(rf"^#   {name}\s+\S", MANIFEST.read_text(), re.MULTILINE)
