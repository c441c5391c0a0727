"""Every command of the README and the pages behind it: in order, in one clean shell, on a lab of its own.

A block with a command that is neither run here nor exempted below fails.
"""

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
PAGES = ("README.md", "docs/operators.md", "docs/instructors.md", "docs/how-real.md", "CONTRIBUTING.md")
TEXT = "\n".join((ROOT / name).read_text() for name in PAGES)
PLACE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXEMPT = {
    "make lab": "tests/notebooks/test_notebooks.py",
    "make test": "tests/repository/unit/test_workflow.py",
    "scripts/hints": "tests/course/unit/test_hints.py",
    "labkit up --provider kind": "tests/cluster/kind/test_cluster.py",
    "labkit notebooks run 05 -p kind": "tests/course/kind/test_notebooks.py",
    "labkit down --provider kind": "tests/cluster/kind/test_cluster.py",
    "labkit toolchain bundle course.tar.gz": "tests/cluster/unit/test_toolchain_bundle.py",
    "labkit toolchain install course.tar.gz": "tests/cluster/unit/test_toolchain_bundle.py",
}
"""What takes minutes or Docker, or writes into this checkout: the command, and the test that covers it."""
SERVES = {"make jupyter": "/lab/tree/notebooks/00-start.ipynb?token="}
"""What runs until Ctrl-C, and what it prints when all of it is there."""

pytestmark = pytest.mark.embedded


def commands() -> list[str]:
    """Each line of each block, without its comment."""
    blocks = PLACE.findall(TEXT)
    lines = [re.sub(r"\s+#.*", "", line).strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The course as `git clone` leaves it, with this environment as what `make setup` makes."""
    prefix = Path(sys.prefix)
    if not (prefix / ".installed").exists():
        pytest.skip("this environment was not made by make setup")
    place = tmp_path_factory.mktemp("readme") / "course"
    listed = spawn.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
    for name in ("requirements.lock", "pyproject.toml", "cluster/pyproject.toml"):
        os.utime(place / name, (0, 0))  # older than the environment: there is nothing to install
    (place / ".venv").symlink_to(prefix)
    return place


NETWORK = re.compile(r"(https?|all|no)_proxy|pip_.*|ssl_cert_file|requests_ca_bundle", re.IGNORECASE)
"""What a company's machine sets for everybody: the way to the packages."""


def environment(home: Path) -> dict[str, str]:
    """A login shell's: a home, this machine's programs, and nothing of our environment."""
    mine = str(Path(sys.prefix) / "bin")
    path = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if p != mine)
    network = {key: value for key, value in os.environ.items() if NETWORK.fullmatch(key)}
    return {"HOME": str(home), "PATH": path, "TERM": "dumb", "LANG": "C.UTF-8", **network}


def script(lines: list[str]) -> str:
    """The commands for one shell; it says each before it runs it, and stops at the first that fails."""
    steps = []
    for line in lines:
        steps += [f"echo '$ {line}'", *(served(line) if line in SERVES else [line])]
    return "set -e\n" + "\n".join(steps) + "\n"


def served(line: str) -> list[str]:
    """Start it, wait until all of it is there, and end it as whoever closes the window does."""
    return [
        f"JUPYTER_ARGS='--no-browser --port=0' {line} > served.log 2>&1 &",
        f"until grep -qF '{SERVES[line]}' served.log; do",
        "    kill -0 $! || { cat served.log; exit 1; }",
        "    sleep 1",
        "done",
        "kill $!; wait $! || true",
        "cat served.log",
    ]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """The home of somebody new, on a machine where the programs were built once."""
    cache = Path(os.environ.get("LABKIT_CACHE") or Path.home() / ".cache" / "labkit")
    (tmp_path / ".cache" / "labkit").mkdir(parents=True)
    (tmp_path / ".cache" / "labkit" / "bin").symlink_to(cache / "bin")
    yield tmp_path
    for name in ("second", "lab"):
        words = [sys.executable, "-m", "labkit.cli", "down", "--name", name]
        spawn.run(words, env=environment(tmp_path), cwd=ROOT)


def test_what_is_exempted_stands_there_and_is_covered() -> None:
    assert set(EXEMPT) | set(SERVES) <= set(commands())
    assert all((ROOT / test).is_file() for test in EXEMPT.values())


def test_a_command_in_a_sentence_is_one_that_there_is() -> None:
    from labkit.cli.menu import PARTS  # noqa: PLC0415 - a list of names

    known = {name for part in PARTS.values() for name in part}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    prose = PLACE.sub("", TEXT)
    assert set(re.findall(r"`labkit ([a-z]+)", prose)) <= known
    assert set(re.findall(r"`make ([a-z-]+)", prose)) <= targets


def test_every_command_runs_in_order_in_a_clean_shell(clone: Path, home: Path) -> None:
    typed = [command for command in commands() if command not in EXEMPT]
    file = home / "typed.sh"
    file.write_text(script(typed))
    shell: list[str | Path] = ["bash", "--noprofile", "--norc", file]
    done = spawn.run(shell, env=environment(home), cwd=clone, seconds=1200)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "Traceback" not in told
    assert [line[2:] for line in done.stdout.splitlines() if line.startswith("$ ")] == typed
    assert (clone / "learn" / "notebooks" / "00-start.ipynb").is_file()
