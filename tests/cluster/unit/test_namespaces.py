"""Where user namespaces are closed to ordinary users, the first command says so, with all ways out."""

import os
import sys
from pathlib import Path

import pytest

from localcluster import spawn
from localcluster.toolchain import namespaces
from localcluster.toolchain.locate import bwrap

ROOT = Path(__file__).parents[3]
DOCKERFILE = "FROM python:3.11-slim\nRUN true\n"


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, spawn.Finished]:
    """`up`, `doctor` and `image build` inside of a bubblewrap that lets nobody make another."""
    if namespaces.refused():
        pytest.skip("this machine closes user namespaces itself")
    place = tmp_path_factory.mktemp("closed")
    (place / "Dockerfile").write_text(DOCKERFILE)
    env = {**os.environ, "LABKIT_HOME": str(place / "labs"), "LABKIT_CACHE": str(place / "cache")}
    cache = Path(os.environ.get("LABKIT_CACHE") or Path.home() / ".cache" / "labkit")
    (place / "cache").mkdir()
    (place / "cache" / "bin").symlink_to(cache / "bin")  # programs that are there already
    build = ("image", "build", str(place), "-t", "registry.lab:5000/closed:1", "--no-cache")
    commands = {"up": ("up",), "doctor": ("doctor",), "build": build}
    ran = {name: spawn.run(closed("labkit", *words), env=env, cwd=ROOT) for name, words in commands.items()}
    return ran | {"alone": spawn.run(closed("localcluster", "doctor"), env=env, cwd=ROOT)}


def closed(program: str, *words: str) -> list[str]:
    inside = ["--dev-bind", "/", "/", "--unshare-user", "--disable-userns"]
    return [str(bwrap()), *inside, "--", sys.executable, "-m", f"{program}.cli", *words]


@pytest.mark.parametrize("command", ["up", "doctor", "build", "alone"])
def test_it_is_told_with_the_cause_and_the_three_cures(said: dict[str, spawn.Finished], command: str) -> None:
    done = said[command]
    assert done.returncode in {1, 2}
    assert "Traceback" not in done.stderr
    assert "denies user namespaces to ordinary users" in done.stderr
    first, second, third = (done.stderr.index(f"\n  {number}. ") for number in (1, 2, 3))
    assert "AppArmor profile" in done.stderr[first:second]
    program = "localcluster" if command == "alone" else "labkit"
    assert f" {program} doctor --apparmor | sudo tee" in done.stderr[first:second]
    assert "sysctl -w" in done.stderr[second:third]
    assert namespaces.UBUNTU in done.stderr[second:third]
    assert "virtual machine" in done.stderr[third:]


@pytest.mark.skipif(bool(namespaces.refused()), reason="this machine closes user namespaces itself")
def test_a_container_that_hides_parts_of_proc_is_told_apart() -> None:
    """As Docker's do: /proc/sys is read-only there."""
    inside = [str(bwrap()), "--dev-bind", "/", "/", "--ro-bind", "/proc/sys", "/proc/sys", "--"]
    done = spawn.run([*inside, sys.executable, "-m", "labkit.cli", "doctor"], cwd=ROOT)
    assert done.returncode
    assert "Parts of /proc are hidden or read-only" in done.stderr
    for way in ("systempaths=unconfined", "unmask=ALL", "procMount: Unmasked", "--isolation none"):
        assert way in done.stderr
    assert "AppArmor" not in done.stderr


def test_the_setting_that_closes_them_is_named_and_set(tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "max_user_namespaces").write_text("0\n")
    assert "user.max_user_namespaces" in namespaces.cause(tmp_path)
    assert "sysctl -w user.max_user_namespaces=15000" in namespaces.cures(tmp_path)


def test_the_profile_is_for_this_bubblewrap_wherever_it_lies() -> None:
    text = namespaces.profile(Path("/home/ana/scaling lab/bwrap"))
    assert 'profile labkit-bwrap "/home/ana/scaling lab/bwrap" flags=(unconfined) {\n  userns,\n}' in text
