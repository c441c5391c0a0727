"""Numbers as Kubernetes writes them, and those in an HPA's status."""

from __future__ import annotations

from typing import Any

from localcluster.api.objects import KubeObject
from localcluster.quantities import amount


def average_of(hpa: KubeObject | None) -> float | None:
    """The average per pod of its first metric at the HPA's last sync; None before that, or if it has none."""
    current = hpa.at("status.currentMetrics.0", {}) if hpa else {}
    averages = (current.get(kind, {}).get("current", {}).get("averageValue") for kind in ("pods", "external"))
    value = next(filter(None, averages), None)
    return None if value is None else quantity(str(value))


def utilization_of(hpa: KubeObject | None) -> float | None:
    """CPU in % of the request at the HPA's last sync; None if it scales on something else."""
    resource = hpa.at("status.currentMetrics.0.resource", {}) if hpa else {}
    value = resource.get("current", {}).get("averageUtilization") if resource.get("name") == "cpu" else None
    return None if value is None else float(value)


def quantity(text: str) -> float:
    """A Kubernetes quantity as a number: `12500m` is 12.5."""
    return float(amount(text))


def plainly(value: Any) -> str:
    """A value for people to read: numbers to four significant figures, also inside lists and dicts."""
    return repr(_rounded(value)) if isinstance(value, list | tuple | dict) else str(_rounded(value))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() else float(f"{value:.4g}")
    if isinstance(value, list | tuple):
        return type(value)(map(_rounded, value)) if type(value) in {list, tuple} else value
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return value
