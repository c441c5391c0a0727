"""Figures that checks read from Prometheus' results: one value, or one for each GPU.

Pure. Refuses the result of any query other than the check's own, compared word for word.
"""

from __future__ import annotations

from collections.abc import Callable
from math import nan

from labkit.checks.check import AS_IT_IS
from labkit.errors import BadInput
from labkit.metrics.series import Rows


def value_of(query: str) -> Callable[[Rows], float]:
    """The first value in the result of this query."""

    def value(rows: Rows) -> float:
        _refuse_other(rows, query)
        return rows[0].value if len(rows) else nan

    return value


def by_gpu(rows: Rows, query: str) -> dict[str, float]:
    """The result of this query for each GPU, by UUID."""
    _refuse_other(rows, query)
    return rows.by("UUID")


def _refuse_other(rows: Rows, query: str) -> None:
    if rows.query != query:
        raise BadInput(f"This is what {rows.query!s:.100} gave; {query} is asked for.", fix=AS_IT_IS)
