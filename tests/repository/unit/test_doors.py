"""The other ways into the course: the page that describes them says what their files do."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.images.context import Context
from localcluster.images.source import Source

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "doors.md").read_text()
CONTAINER = ROOT / ".devcontainer"
PROFILE = ".devcontainer/seccomp.json"


def devcontainer() -> dict[str, Any]:
    """`devcontainer.json`: JSON, with comments on lines of their own."""
    text = (CONTAINER / "devcontainer.json").read_text()
    found: dict[str, Any] = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    return found


def security_options(text: str) -> set[str]:
    found = re.findall(r'--security-opt"?,? "?([^\s")]+)', text)
    folders = r"^seccomp=(\$PWD/|\$\{localWorkspaceFolder\}/)?"
    return {re.sub(folders, "seccomp=", option) for option in found}


def rows(heading: str) -> list[list[str]]:
    """The rows of the page's table with this first cell in its head."""
    table = PAGE.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_docker_vs_code_and_the_script_take_the_options_that_the_page_explains() -> None:
    explained = {quoted(row[0])[0] for row in rows("option")}
    assert len(explained) == 3
    assert security_options(PAGE) == explained
    assert security_options(" ".join(map(json.dumps, devcontainer()["runArgs"]))) == explained
    assert security_options((ROOT / "scripts" / "doors").read_text()) == explained


def test_the_profile_denies_what_the_page_lists_and_allows_the_rest() -> None:
    profile = json.loads((ROOT / PROFILE).read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ALLOW"
    (denied,) = profile["syscalls"]
    listed = [name for row in rows("denied") for name in quoted(row[1])]
    assert denied["action"] == "SCMP_ACT_ERRNO"
    assert sorted(listed) == sorted(denied["names"])


@pytest.mark.parametrize("row", rows("way"), ids=lambda row: row[0])
def test_a_way_names_files_that_are_there_and_has_a_section(row: list[str]) -> None:
    files = quoted(row[3])
    assert files
    assert [name for name in files if not (ROOT / name).exists()] == []
    (anchor,) = re.findall(r"\(#([\w-]+)\)", row[0])
    anchors = {
        re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-")
        for h in re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    }
    assert anchor in anchors


def test_devcontainer_json_names_files_that_are_there() -> None:
    told = devcontainer()
    assert (CONTAINER / told["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert (CONTAINER / told["build"]["context"]).resolve() == ROOT
    for command in (told["postCreateCommand"], told["postStartCommand"]):
        (script,) = re.findall(r"\S+/\S+", command)
        assert (ROOT / script).is_file()
    assert os.access(CONTAINER / "start", os.X_OK)
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"NB_USER={told['remoteUser']}\n" in dockerfile
    venv = told["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert f"VENV={venv.removesuffix('/bin/python')} " in dockerfile


def test_the_image_has_the_python_of_the_courses_other_images() -> None:
    server = (ROOT / "cluster" / "images" / "model-server" / "Dockerfile").read_text()
    (python,) = re.findall(r"^FROM (\S+)$", server, re.MULTILINE)
    ours = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert ours == [python, "base", "base"]


def test_only_the_bundle_travels_of_what_is_made_here(tmp_path: Path) -> None:
    """Kept out are the history, environments and work of somebody's checkout."""
    (tmp_path / ".dockerignore").write_bytes((ROOT / ".dockerignore").read_bytes())
    kept = {"labkit/cli.py", "out/course.tar.gz", "Dockerfile", ".devcontainer/start"}
    left = {".git/config", ".venv/bin/python", "learn/x.ipynb", "out/05.html", "labkit/__pycache__/a.pyc"}
    for name in kept | left:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    context = Context(tmp_path, tmp_path / "Dockerfile")
    sent = {e.path for e in context.entries(tmp_path, "", Source(tmp_path / "Dockerfile", 1)) if not e.folder}
    assert kept <= sent
    assert not left & sent


def test_limas_machine_is_described_in_limas_words() -> None:
    machine = yaml.safe_load((ROOT / "lima.yaml").read_text())
    known = {"minimumLimaVersion", "base", "cpus", "memory", "disk", "containerd", "provision"}
    assert set(machine) == known
    assert machine["base"].startswith("template://_images/")  # without the mounts of a whole template
    assert "mounts" not in machine
