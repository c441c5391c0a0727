"""Finds, downloads or builds the pinned programs of the control plane, and keeps them for all checkouts.

`ensure(["etcd"])` and `binaries()` give paths that are ready to run; `wheels(requirements)` gives a folder of
Python packages for image builds; `bwrap()` the program that isolates containers.
"""

from localcluster.toolchain.ladder import Ladder, binaries, ensure
from localcluster.toolchain.locate import bwrap
from localcluster.toolchain.versions import cache_root, kubernetes, pins
from localcluster.toolchain.wheels import wheels

__all__ = ["Ladder", "binaries", "bwrap", "cache_root", "ensure", "kubernetes", "pins", "wheels"]
