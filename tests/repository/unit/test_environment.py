"""environment.yml and requirements.lock say what pyproject.toml says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.data import DATA

ROOT = Path(__file__).resolve().parents[3]
LOCK = ROOT / "requirements.lock"
GO_LOCK = DATA / "go" / "requirements.txt"
BROWSER_LOCK = ROOT / "tests" / "browser" / "requirements.txt"
LOCKS = (LOCK, GO_LOCK, BROWSER_LOCK)


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def _wanted() -> list[str]:
    project = _project()
    return [*project["dependencies"], *project["optional-dependencies"]["dev"]]


def _conda() -> list[Any]:
    conda: list[Any] = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    return conda


def _pip() -> list[str]:
    [section] = [entry["pip"] for entry in _conda() if isinstance(entry, dict)]
    return [str(line) for line in section]


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found.group()).lower()


def test_conda_users_get_the_same_ranges() -> None:
    assert sorted(_pip()) == sorted([*_wanted(), "-e ./cluster", "-e ."])


def test_the_cluster_alone_needs_nothing_that_is_not_locked() -> None:
    alone = tomllib.loads((ROOT / "cluster" / "pyproject.toml").read_text())["project"]
    assert set(alone["dependencies"]) <= set(_project()["dependencies"])
    assert alone["requires-python"] == _project()["requires-python"]


def test_conda_users_get_the_same_python() -> None:
    assert f"python{_project()['requires-python']}" in _conda()


def _locked(path: Path) -> dict[str, str]:
    """Name → all that the lock says about it."""
    entries = re.split(r"\n(?=\S)", path.read_text().replace("\\\n", " ").strip())
    return {_name(entry): entry for entry in entries}


def test_everything_wanted_is_locked() -> None:
    locked = _locked(LOCK)
    assert [r for r in _wanted() if _name(r) not in locked] == []


@pytest.mark.parametrize("path", LOCKS, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_lock_pins_and_hashes_everything(path: Path) -> None:
    loose = [
        name
        for name, entry in _locked(path).items()
        if not re.match(r"\S+==\S+", entry) or "--hash=sha256:" not in entry
    ]
    assert loose == []


@pytest.mark.parametrize("path", LOCKS, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_lock_names_no_registry(path: Path) -> None:
    named = re.search(r"https?://|--(?:extra-)?index-url|--find-links|-i\s|--trusted-host", path.read_text())
    assert named is None


def test_what_drives_a_browser_fits_into_the_environment() -> None:
    """Of what both locks name, they name the same version."""
    own, ours = _locked(BROWSER_LOCK), _locked(LOCK)
    assert {name: own[name].split()[0] for name in own.keys() & ours.keys()} == {
        name: ours[name].split()[0] for name in own.keys() & ours.keys()
    }


def test_the_locked_compiler_is_new_enough_for_both_modules() -> None:
    [entry] = _locked(GO_LOCK).values()
    locked = re.search(r"==(\d+)\.(\d+)\.(\d+)", entry)
    assert locked
    for module in ("controlplane", "adapter"):
        text = (DATA / "go" / module / "go.mod").read_text()
        minimum = re.search(r"^go (\d+)\.(\d+)(?:\.(\d+))?$", text, re.MULTILINE)
        assert minimum
        assert tuple(map(int, locked.groups())) >= tuple(int(n or 0) for n in minimum.groups())
