"""Clusters on one machine: a real Kubernetes control plane, and pods as processes, without root or Docker."""

import os
import sys


def installed_first(*packages: str) -> None:
    """Move folders from PYTHONPATH to the end, except those of `packages` (the `__file__` of each).

    Another Python's packages there would replace our own; for the same reason this imports nothing.
    """
    mine = {os.path.dirname(os.path.dirname(os.path.abspath(file))) for file in packages}  # noqa: PTH100, PTH120
    added = {os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p} - mine  # noqa: PTH100
    sys.path.sort(key=lambda folder: folder in added)  # keeps the order otherwise


installed_first(__file__)
