"""Finds, downloads or builds the pinned programs of the control plane, and keeps them for all checkouts.

`ensure(["etcd"])` and `binaries()` give paths that are ready to run; `wheels(requirements)` gives a folder of
Python packages for image builds; `bwrap()` the program that sets containers apart.
"""

from labkit.toolchain.ladder import Ladder, binaries, ensure
from labkit.toolchain.locate import bwrap
from labkit.toolchain.versions import cache_root, pins
from labkit.toolchain.wheels import wheels

__all__ = ["Ladder", "binaries", "bwrap", "cache_root", "ensure", "pins", "wheels"]
