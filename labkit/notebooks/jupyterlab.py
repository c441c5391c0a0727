"""The command and the environment for JupyterLab on an edition.

Its root is the edition's folder, so notebooks/ and manifests/ are side by side in the file browser; its
settings and kernel are those of `cluster/jupyter`. The user's own flags come last, and so take precedence.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

FIRST = "notebooks/00-start.ipynb"
ASTRAY = frozenset({"PYTHONHOME", "PYTHONPATH"})
"""Set for another Python, they would lead JupyterLab and its kernels to the wrong packages."""
HOMES = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "IPYTHONDIR": "ipython",
    "MPLCONFIGDIR": "matplotlib",
}
"""What Jupyter, IPython and matplotlib keep below a person's home, unless these say where else."""


def argv(edition: Path, flags: Sequence[str]) -> list[str]:
    """JupyterLab's command line; root (in containers, WSL) has to allow itself explicitly."""
    words = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={edition}",
        f"--LabApp.default_url=/lab/tree/{FIRST}",
        f"--LabApp.app_settings_dir={edition / 'cluster' / 'jupyter' / 'settings'}",
        "--ServerApp.log_level=WARN",  # this leaves the address and the next steps on the screen
        "--ServerApp.answer_yes=True",  # Ctrl-C ends it at once, without a question
    ]
    if os.geteuid() == 0:
        words.append("--allow-root")
    return [*words, *flags]


def environment(edition: Path, *, lab: str, own: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of JupyterLab, its kernels and its terminals: this Python first, and the lab."""
    kernels = [str(edition / "cluster" / "jupyter"), own.get("JUPYTER_PATH", "")]
    found = {
        **{key: value for key, value in own.items() if key not in ASTRAY},
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), own.get("PATH", os.defpath)]),
        "JUPYTER_PATH": os.pathsep.join(filter(None, kernels)),
        "LABKIT_LAB": lab,
    }
    if not os.access(Path.home(), os.W_OK):
        place = edition / "out" / "jupyter"
        found |= {name: str(place / folder) for name, folder in HOMES.items() if name not in own}
    return found
