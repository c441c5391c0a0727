"""Fetches what a check reads: one object, or all of a kind, as plain JSON.

Something missing is `None` or an empty list, not an error: judging it is up to the check.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.kube.client import Kube


def read(kube: Kube, wanted: Mapping[str, str]) -> dict[str, Any]:
    """The object (`hpa/llm-hpa`) or list of objects (`nodes`) for each parameter."""
    return {name: _one(kube, what) if "/" in what else _all(kube, what) for name, what in wanted.items()}


def _one(kube: Kube, what: str) -> Any:
    found = kube.find(what)
    return None if found is None else dict(found.raw)


def _all(kube: Kube, kind: str) -> list[Any]:
    return [dict(found.raw) for found in kube.objects(kind)]
