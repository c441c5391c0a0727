"""What the plugin's image is built from, put together in one folder: `docker build FOLDER` does the rest.

`python -m labkit.gpus.plugin.image FOLDER`. The image holds the plugin's own modules and not the course.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCKERFILE = Path("cluster/images/gpu-plugin")
MODULES = ("__init__.py", "errors.py", "_proc.py", "_wait.py", "apiserver", "gpus")
FIGURES = "cluster/gpu"


def context(folder: Path) -> Path:
    """Fill a new folder with Dockerfile, requirements, modules and figures; returns it."""
    shutil.copytree(ROOT / DOCKERFILE, folder)
    ignore = shutil.ignore_patterns("__pycache__", "*.pyi", "*.proto")
    shutil.copytree(ROOT / FIGURES, folder / FIGURES, ignore=ignore)
    for name in MODULES:
        source, target = ROOT / "labkit" / name, folder / "labkit" / name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=ignore)
        else:
            shutil.copy(source, target)
    return folder


if __name__ == "__main__":
    sys.stdout.write(f"{context(Path(sys.argv[1]))}\n")
