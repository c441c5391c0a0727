"""Folders that appear and disappear atomically, whatever else runs at the same time."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def publish(fresh: Path, place: Path) -> None:
    """Give a finished folder its name; if another process was first, ours is deleted."""
    try:
        fresh.rename(place)
    except OSError:
        shutil.rmtree(fresh)
        if not place.is_dir():
            raise


def delete(folder: Path) -> None:
    """Remove a folder, even if a program removed our permissions in it; it is renamed first."""
    hidden = folder.with_name(f".gone-{folder.name}")
    folder.rename(hidden)
    for place, names, _ in os.walk(hidden):
        for name in names:
            inner = Path(place, name)
            if not inner.is_symlink():
                inner.chmod(0o700)
    shutil.rmtree(hidden)
