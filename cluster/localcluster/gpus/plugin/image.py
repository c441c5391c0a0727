"""The build context of the plugin's image, in one folder: `docker build FOLDER` does the rest.

`python -m localcluster.gpus.plugin.image FOLDER`. The image has this package, without the data that clusters
are made from.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import localcluster
from localcluster.data import DATA

PACKAGE = Path(localcluster.__file__).parent
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyi", "*.proto", "data")


def context(folder: Path) -> Path:
    """Fill a new folder with Dockerfile, requirements, modules and figures; returns it."""
    shutil.copytree(DATA / "images" / "gpu-plugin", folder)
    shutil.copytree(PACKAGE, folder / "localcluster", ignore=LEFT_OUT)
    shutil.copytree(DATA / "gpu", folder / "localcluster" / "data" / "gpu")
    shutil.copy(DATA / "__init__.py", folder / "localcluster" / "data")
    return folder


if __name__ == "__main__":
    sys.stdout.write(f"{context(Path(sys.argv[1]))}\n")
