"""Resource limits of a student's process, which it sets before it runs any of the student's code."""

from __future__ import annotations

import resource

MEMORY = 3 * 2**30  # bytes of address space: twice what a notebook with numpy and matplotlib needs
LIMITS = {
    resource.RLIMIT_AS: MEMORY,
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_FSIZE: 256 * 2**20,
    resource.RLIMIT_NOFILE: 512,
    resource.RLIMIT_NPROC: 64,  # a kernel has a dozen threads; a fork bomb must not starve the class
}


def bound() -> None:
    """Set them for this process and all that it starts; they can't be raised again."""
    for which, limit in LIMITS.items():
        resource.setrlimit(which, (limit, limit))
