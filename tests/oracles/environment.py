"""Others' Python programs, each in an environment of its own: their pins never meet ours.

A module that needs nothing but what we have can be imported from a folder of its own instead.
"""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from localcluster import spawn

SECONDS = 900
"""For pip, where a program brings gigabytes."""


class CannotHaveError(Exception):
    """There is no Python that is new enough, or the package index doesn't give the program; says why."""


def make(*requirements: str, folder: Path, least: tuple[int, int] = (3, 11)) -> str:
    """Make an environment in `folder`; return its Python. `least` is the oldest version that will do."""
    base = _python(least)
    made = spawn.run([base, "-m", "venv", folder], seconds=120)
    assert made.returncode == 0, made.stderr
    python = str(folder / "bin" / "python")
    _install(python, *requirements)
    return python


def python_with(*requirements: str, folder: Path) -> str:
    """Make an environment for a test, which is skipped where that can't be done."""
    try:
        return make(*requirements, folder=folder)
    except CannotHaveError as why:
        pytest.skip(str(why))


def module(name: str, requirement: str, *, folder: Path) -> Any:
    """Import a module that is no part of our environment; its dependencies are. Skips the test like above."""
    try:
        _install(sys.executable, "--no-deps", "--target", str(folder), requirement)
    except CannotHaveError as why:
        pytest.skip(str(why))
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


def _install(python: str, *arguments: str) -> None:
    pip = [python, "-m", "pip", "install", "--quiet", "--no-compile", "--retries", "0", "--timeout", "10"]
    tried = spawn.run([*pip, *arguments], seconds=SECONDS)
    if tried.returncode:
        said = tried.stderr.strip().splitlines() or ["pip said nothing"]
        raise CannotHaveError(f"{arguments[-1]} can't be had here: {said[-1]}")


def _python(least: tuple[int, int]) -> str:
    if sys.version_info[:2] >= least:
        return sys.executable
    for minor in range(least[1], least[1] + 3):
        found = shutil.which(f"python{least[0]}.{minor}")
        if found and spawn.run([found, "-c", ""], seconds=20).returncode == 0:
            return found
    raise CannotHaveError(f"no Python {least[0]}.{least[1]} or newer here")
