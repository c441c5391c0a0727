"""pip in a RUN finds the company's index, and nothing of how this user likes to install."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from labkit.errors import ImageError
from localcluster.images import package_index
from localcluster.images.rootfs import unpack
from localcluster.images.store import Store
from tests.cluster.unit.images_world import built, write

CONF = """\
[global]
user = true
Index-URL = https://name:pa%40ss@index.example/simple
extra-index-url =
    https://one.example/simple
    https://two.example/simple
timeout = 5
require-virtualenv = true
[install]
user = true
target = /nowhere
trusted-host = index.example
timeout = 60
[freeze]
timeout = 10
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user whose only settings are those of the test."""
    for name in ("PIP_CONFIG_FILE", *(f"PIP_{n.upper().replace('-', '_')}" for n in package_index.NAMES)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "xdg"))
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    return tmp_path


def settings() -> dict[str, str]:
    return {key: value for key, value in package_index.settings().items() if key != "PIP_CERT"}


WANTED = {
    "PIP_INDEX_URL": "https://name:pa%40ss@index.example/simple",
    "PIP_EXTRA_INDEX_URL": "https://one.example/simple https://two.example/simple",
    "PIP_TRUSTED_HOST": "index.example",
    "PIP_TIMEOUT": "60",
}


@pytest.mark.parametrize(
    "place", ["xdg/pip/pip.conf", "home/.pip/pip.conf", "home/.config/pip/pip.conf", "prefix/pip.conf"]
)
def test_the_index_is_taken_from_wherever_pip_looks(home: Path, place: str) -> None:
    write(home, {place: CONF})
    assert settings() == WANTED


def test_a_named_file_goes_before_the_user_s(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, {"home/.config/pip/pip.conf": "[global]\nproxy = user.example:1\n", "mine.conf": CONF})
    monkeypatch.setenv("PIP_CONFIG_FILE", str(home / "mine.conf"))
    monkeypatch.setenv("PIP_TIMEOUT", "7")  # and a variable before both
    assert settings() == {**WANTED, "PIP_TIMEOUT": "7"}
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    assert settings() == {"PIP_TIMEOUT": "7"}


def test_a_file_that_pip_would_refuse(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, {"mine.conf": "index-url = outside of any section\n"})
    monkeypatch.setenv("PIP_CONFIG_FILE", str(home / "mine.conf"))
    with pytest.raises(ImageError, match=r"mine\.conf"):
        package_index.settings()


def test_the_user_s_own_habits_stay_outside_of_a_run(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = tmp_path / "company.pem"
    certificate.write_text("a certificate")
    conf = CONF.replace("timeout = 5", f"cert = {certificate}")
    write(home, {"mine.conf": conf, "stray/yaml.py": "raise ImportError\n"})
    habits = {
        "PIP_CONFIG_FILE": str(home / "mine.conf"),
        "PIP_USER": "1",
        "PIP_TARGET": "/nowhere",
        "PIP_PREFIX": "/nowhere",
        "PIP_REQUIRE_VIRTUALENV": "1",
        "PYTHONPATH": str(home / "stray"),
        "PYTHONHOME": "/nowhere",
        "PYTHONSTARTUP": "/nowhere/start.py",
        "PYTHONUSERBASE": "/nowhere",
        "LC_ALL": "C",
    }
    for name, value in habits.items():
        monkeypatch.setenv(name, value)
    context = write(
        tmp_path / "context",
        {
            "Dockerfile": "FROM python:3.11-slim\n"
            "RUN env | sort > /opt/env; cat $PIP_CERT > /opt/cert\n"
            "RUN echo 'grün' > /opt/word\n",
        },
    )
    done = built(context, Store(tmp_path / "cache"))
    root = unpack(Store(tmp_path / "cache"), done.image).rootfs
    seen = dict(line.split("=", 1) for line in (root / "opt/env").read_text().splitlines())
    assert not set(habits) & set(seen)
    assert {key: seen[key] for key in WANTED} == WANTED
    assert (root / "opt/cert").read_text() == "a certificate"
    assert (root / "opt/word").read_text(encoding="utf-8") == "grün\n"
