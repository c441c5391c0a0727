"""`make setup` on other people's machines: pip's settings, a Python that is too old, one without venv."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from localcluster import spawn

ROOT = Path(__file__).parents[3]
INDEX = "https://me:secret@example.com/simple"


@pytest.fixture
def packages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("packages", ROOT / "scripts" / "packages.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pip.conf of somebody who always installs elsewhere, from a company's index."""
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    file = tmp_path / "pip.conf"
    file.write_text(
        f"[global]\nindex-url = {INDEX}\nproxy = http://proxy:3128\ncert = /etc/ca.pem\nuser = true\n"
        f"extra-index-url =\n    https://a.example\n    https://b.example\n"
        f"[install]\nuser = true\ntarget = {tmp_path}\nno-deps = true\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    return file


def test_of_pips_settings_those_hold_that_say_from_where_packages_come(
    packages: ModuleType, conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("PIP_PROXY", "http://other:1")
    told = packages.pip_environment(packages.pip_settings())
    mine = {name: value for name, value in told.items() if name.startswith("PIP_")}
    assert mine["PIP_INDEX_URL"] == INDEX
    assert mine["PIP_PROXY"] == "http://other:1"  # the environment decides, as with pip
    assert mine["PIP_CERT"] == "/etc/ca.pem"
    assert mine["PIP_EXTRA_INDEX_URL"].split() == ["https://a.example", "https://b.example"]
    assert not {"PIP_USER", "PIP_TARGET", "PIP_NO_DEPS", "PIP_REQUIRE_VIRTUALENV"} & set(mine)
    assert mine["PIP_CONFIG_FILE"] == os.devnull


def test_pip_itself_then_installs_into_the_environment(packages: ModuleType, conf: Path) -> None:
    """With the settings as they are, pip says: can not perform a '--user' install."""
    env = packages.pip_environment(packages.pip_settings())
    listed = spawn.run([sys.executable, "-m", "pip", "config", "list"], env=env).stdout
    assert "user" not in listed
    assert "target" not in listed
    assert ":env:.index-url" in listed


def test_a_failure_names_the_settings_in_force_with_their_files_and_no_password(
    packages: ModuleType, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packages.tell_failure(["ERROR: No matching distribution found for aiohttp"], packages.pip_settings())
    said = capsys.readouterr().err
    assert "No matching distribution" in said
    assert f"proxy = http://proxy:3128   (from {conf})" in said
    assert "secret" not in said
    assert "user" not in said


def setup(python: Path | str, venv: Path, **env: str) -> spawn.Finished:
    own = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    return spawn.run([ROOT / "scripts" / "setup", python, venv], env={**own, **env}, cwd=ROOT)


def play(folder: Path, *lines: str) -> Path:
    """An interpreter that answers as another one would."""
    folder.mkdir(exist_ok=True)
    file = folder / "python3"
    file.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    file.chmod(0o755)
    return file


def test_a_python_that_is_too_old_is_named_with_its_version(tmp_path: Path) -> None:
    old = play(tmp_path / "bin", "case $2 in *print*) echo 3.8;; *) exit 1;; esac")
    done = setup(old, tmp_path / "venv")
    assert done.returncode == 1
    assert f"needs Python 3.11 or newer; {old} ({old}) is 3.8" in done.stderr
    assert "make PYTHON=" in done.stderr


def test_a_python_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = setup(tmp_path / "nowhere", tmp_path / "venv")
    assert done.returncode == 1
    assert "does not start" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_a_python_without_venv_is_told_with_the_package_that_brings_it(tmp_path: Path) -> None:
    bare = play(tmp_path / "bin", "case $2 in *print*) echo 3.12;; *ensurepip*) exit 1;; esac")
    done = setup(bare, tmp_path / "venv")
    assert done.returncode == 1
    assert "apt-get install python3.12-venv" in done.stderr


def test_a_place_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = setup(sys.executable, tmp_path / "file" / "venv")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr


def test_what_is_set_for_another_python_is_not_heard(tmp_path: Path) -> None:
    (tmp_path / "venv.py").write_text("raise ImportError('a stray module')")
    (tmp_path / "file").write_text("in the way")
    done = setup(sys.executable, tmp_path / "file" / "venv", PYTHONPATH=str(tmp_path), PYTHONHOME="/nowhere")
    assert "cannot be written" in done.stderr  # it came as far as that
