"""The package localcluster by itself: its wheel, in an empty environment, outside of the checkout."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster import spawn

ROOT = Path(__file__).parents[3]
IMAGE = ROOT / "tests" / "images" / "plain_image"
POD = """
apiVersion: v1
kind: Pod
metadata: {name: alone}
spec:
  automountServiceAccountToken: false
  containers:
    - name: main
      image: registry.lab:5000/alone:1
      imagePullPolicy: IfNotPresent
      command: [sh, -c, echo it runs; sleep 300]
  imagePullSecrets: [{name: login}]
"""
NETWORK = re.compile(r"PIP_.*|\w+_proxy|SSL_CERT_FILE", re.IGNORECASE)
"""What a company's machine sets for everybody: the way to the packages."""

pytestmark = pytest.mark.embedded


class Desk:
    """A shell in which only the wheel's environment is found, and a home that nobody has used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {
            k: v
            for k, v in os.environ.items()
            if re.fullmatch(r"PIP_.*|\w+_proxy|SSL_CERT_FILE", k, re.IGNORECASE)
        }
        cache = os.environ.get("LABKIT_CACHE") or str(Path.home() / ".cache" / "labkit")
        path = f"{folder}/env/bin:/usr/local/bin:/usr/bin:/bin"
        self.env = {**kept, "HOME": str(folder), "PATH": path, "LANG": "C.UTF-8", "LABKIT_CACHE": cache}
        self.env["LABKIT_HOME"] = str(folder / "labs")

    def types(self, *words: str | Path, stdin: str | None = None) -> str:
        """What a command prints; the test fails where it fails."""
        done = spawn.run(words, env=self.env, cwd=self.folder, stdin=stdin, seconds=300)
        assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The wheel, built from the folder `cluster` alone and installed with what it says that it needs."""
    desk = Desk(tmp_path_factory.mktemp("alone"))
    source = shutil.copytree(ROOT / "cluster", desk.folder / "cluster")
    locked = re.findall(r"^(\S+==\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    (desk.folder / "versions.txt").write_text("\n".join(locked))
    pip = [sys.executable, "-m", "pip"]
    desk.types(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", desk.folder, source)
    shutil.rmtree(source)
    [wheel] = desk.folder.glob("localcluster-*.whl")
    desk.types(sys.executable, "-m", "venv", desk.folder / "env")
    desk.types(
        desk.folder / "env/bin/pip", "install", "-q", "--constraint", desk.folder / "versions.txt", wheel
    )
    yield desk
    desk.types("localcluster", "down")


def test_a_cluster_comes_up_runs_a_pod_and_goes_from_the_wheel_alone(desk: Desk) -> None:
    found = desk.types("python", "-c", "import localcluster; print(localcluster.__file__)")
    assert Path(found.strip()).is_relative_to(desk.folder / "env")
    desk.types("localcluster", "up", "--gpu-nodes", "1")
    nodes = desk.types("localcluster", "kubectl", "get", "nodes", "--no-headers")
    assert sorted(line.split()[:2] for line in nodes.splitlines()) == [
        ["cpu-node-1", "Ready"],
        ["gpu-node-1", "Ready"],
    ]
    desk.types("localcluster", "image", "build", IMAGE, "--tag", "registry.lab:5000/alone:1")
    desk.types("localcluster", "image", "login")
    desk.types("localcluster", "image", "push", "registry.lab:5000/alone:1")
    login = next((desk.folder / "labs").rglob("config.json"))
    words = ("create", "secret", "generic", "login", "--type=kubernetes.io/dockerconfigjson")
    desk.types("localcluster", "kubectl", *words, f"--from-file=.dockerconfigjson={login}")
    desk.types("localcluster", "kubectl", "apply", "-f", "-", stdin=POD)
    desk.types("localcluster", "kubectl", "wait", "--for=condition=Ready", "pod/alone", "--timeout=60s")
    assert "it runs" in desk.types("localcluster", "kubectl", "logs", "alone")
    desk.types("localcluster", "down")
    assert spawn.marked(desk.folder / "labs" / "lab") == []


def test_what_it_says_names_the_command_that_was_typed(desk: Desk) -> None:
    done = spawn.run(["localcluster", "status"], env=desk.env, cwd=desk.folder)
    assert done.returncode == 1
    assert "localcluster up" in done.stderr
    assert "labkit" not in done.stderr


@pytest.mark.parametrize("command", ["", "up", "status", "logs", "node add", "image", "toolchain"])
def test_its_help_knows_no_other_program(desk: Desk, command: str) -> None:
    said = desk.types("localcluster", *command.split(), "--help")
    assert said.strip().startswith("Usage: localcluster")
    assert re.search(r"\blabkit\b", said) is None
