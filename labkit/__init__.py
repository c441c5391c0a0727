"""A hands-on course on autoscaling LLM inference with Kubernetes: the library under its notebooks.

`__all__` lists what a notebook may import, here and in the packages it names.

>>> import labkit
>>> lab = labkit.connect()          # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import localcluster

if TYPE_CHECKING:
    from labkit.lab import Lab

__all__ = ["connect", "course", "evidence", "load"]


localcluster.installed_first(__file__, localcluster.__file__)


def connect(*, provider: str = "embedded", clock: float = 15, seed: int = 0) -> Lab:
    """Find the running lab and return a handle on it. If none runs, `ProviderError` says how to start one."""
    # The node agent and the command line import this package too: they must not load matplotlib.
    from labkit import lab  # noqa: PLC0415

    return lab.connect(provider=provider, clock=clock, seed=seed)
