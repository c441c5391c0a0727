"""A hands-on course on autoscaling LLM inference with Kubernetes: the library under its notebooks.

>>> import labkit
>>> lab = labkit.connect()          # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.lab import Lab

__all__ = ["connect"]


def connect(*, provider: str = "embedded", clock: float = 15, seed: int = 0) -> Lab:
    """Find the lab that runs and return the learner's handle on it; `ProviderError` where none does."""
    # The node agent and the command line import this package too: they must not load matplotlib.
    from labkit import lab  # noqa: PLC0415

    return lab.connect(provider=provider, clock=clock, seed=seed)
