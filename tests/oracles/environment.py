"""Others' Python programs, each in an environment of its own: their pins never meet ours."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from localcluster import spawn

SECONDS = 600
"""For pip, where a program brings gigabytes."""


def python_with(*requirements: str, folder: Path, least: tuple[int, int] = (3, 11)) -> str:
    """Make an environment in `folder`; return its Python. Skips the test where they can't be had.

    `least` is the oldest version of Python that the program runs on.
    """
    base = _python(least)
    made = spawn.run([base, "-m", "venv", folder], seconds=120)
    assert made.returncode == 0, made.stderr
    python = str(folder / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--retries", "0", "--timeout", "10"]
    tried = spawn.run([*pip, *requirements], seconds=SECONDS)
    if tried.returncode:
        said = tried.stderr.strip().splitlines() or ["pip said nothing"]
        pytest.skip(f"{' '.join(requirements)} can't be had here: {said[-1]}")
    return python


def _python(least: tuple[int, int]) -> str:
    if sys.version_info[:2] >= least:
        return sys.executable
    for minor in range(least[1], least[1] + 3):
        found = shutil.which(f"python{least[0]}.{minor}")
        if found and spawn.run([found, "-c", ""], seconds=20).returncode == 0:
            return found
    pytest.skip(f"no Python {least[0]}.{least[1]} or newer here")
