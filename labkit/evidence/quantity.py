"""Numbers as Kubernetes writes them, and the ones that the HPA shows. Refuses binary suffixes (Ki, Mi)."""

from __future__ import annotations

from typing import Any

from labkit.kube.objects import KubeObject

SUFFIXES = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9}


def average_of(hpa: KubeObject | None) -> float | None:
    """The average of its `Pods` metric that the HPA saw at its last look; None before the first."""
    value = hpa.at("status.currentMetrics.0.pods.current.averageValue") if hpa else None
    return None if value is None else quantity(str(value))


def utilization_of(hpa: KubeObject | None) -> float | None:
    """CPU in % of the request, as the HPA last saw it; None where it scales on something else."""
    resource = hpa.at("status.currentMetrics.0.resource", {}) if hpa else {}
    value = resource.get("current", {}).get("averageUtilization") if resource.get("name") == "cpu" else None
    return None if value is None else float(value)


def quantity(text: str) -> float:
    """A Kubernetes quantity as a number: `12500m` is 12.5."""
    number, factor = (text[:-1], SUFFIXES[text[-1]]) if text[-1:] in SUFFIXES else (text, 1.0)
    return float(number) * factor


def plainly(value: Any) -> str:
    """A value for people: numbers to four figures, also those inside of lists and dicts."""
    return repr(_rounded(value)) if isinstance(value, list | tuple | dict) else str(_rounded(value))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() else float(f"{value:.4g}")
    if isinstance(value, list | tuple):
        return type(value)(map(_rounded, value)) if type(value) in {list, tuple} else value
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return value
