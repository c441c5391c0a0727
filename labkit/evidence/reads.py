"""Fetches what a check reads: one object, all of a kind, or the answer at an API path, as plain JSON.

Something missing is `None` or an empty list, and a refused path `{"error": why}`: the check judges it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.errors import Refused
from labkit.kube.client import Kube


def read(kube: Kube, wanted: Mapping[str, str]) -> dict[str, Any]:
    """The object (`hpa/llm-hpa`), list of objects (`nodes`) or answer (`/apis/…`) for each parameter."""
    return {name: _read(kube, what) for name, what in wanted.items()}


def _read(kube: Kube, what: str) -> Any:
    if what.startswith("/"):
        return _answer(kube, what)
    return _one(kube, what) if "/" in what else _all(kube, what)


def _answer(kube: Kube, path: str) -> Any:
    try:
        return kube.raw(path)
    except Refused as error:
        return {"error": error.what}


def _one(kube: Kube, what: str) -> Any:
    found = kube.find(what)
    return None if found is None else dict(found.raw)


def _all(kube: Kube, kind: str) -> list[Any]:
    return [dict(found.raw) for found in kube.objects(kind)]
