"""One clock: every duration of the control plane divided by CLOCK, here and nowhere else.

At CLOCK=15 one real second stands for 15 lab seconds. YAML files keep production's seconds; what a flag can
compress is compressed by a flag (`flags`), and the seconds in an HPA's `behavior`, which no flag reaches, are
rewritten when the object is applied (`compress`). Refuses a CLOCK below 1, and never goes under what the
programs accept: where a floor holds, `Flags.floors` says so.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

from labkit.errors import BadInput

# Production's values: the defaults of Kubernetes 1.37 and the usual configuration of Prometheus.
# https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/
HPA_SYNC = 15.0
DOWNSCALE_STABILIZATION = 300.0
INITIAL_READINESS_DELAY = 30.0
CPU_INITIALIZATION = 300.0
TOLERATION = 300.0  # how long a pod stays bound to a node that is not ready
SCRAPE = 15.0
RELIST = 30.0  # how often the adapter looks which series exist
WINDOW = 60.0  # of rate(): four scrapes, so that one missed scrape does not empty it
LOOKBACK = 300.0  # how old a sample may be and still answer an instant query
DISCOVERY = 5.0  # how often Prometheus' scrape manager takes in new targets

FLOORS = {"scrape": 0.2, "relist": 1.0, "window": 0.8, "lookback": 2.0, "discovery": 0.2, "hpa_sync": 0.1}
"""Real seconds: below these the programs refuse, or a laptop does nothing else but scrape."""


@dataclass(frozen=True)
class Flags:
    """Arguments for the programs, and the three values that the configuration templates take."""

    kube_apiserver: tuple[str, ...]
    kube_controller_manager: tuple[str, ...]
    prometheus: tuple[str, ...]
    prometheus_adapter: tuple[str, ...]
    scrape: str  # ${SCRAPE} in cluster/prometheus.yml
    window: str  # ${WINDOW} in cluster/adapter-rules.yaml
    floors: tuple[str, ...]  # what could not be compressed as far as CLOCK asks, by name


@dataclass(frozen=True)
class Change:
    """One duration of an applied object that was divided by CLOCK."""

    field: str
    lab_seconds: int
    real_seconds: int

    def __str__(self) -> str:
        return f"{self.field}: {self.lab_seconds} s → {self.real_seconds} s"


def flags(clock: float) -> Flags:
    """What to start the control plane with, for example `--horizontal-pod-autoscaler-sync-period=1s`."""
    _check(clock)
    scrape = _real("scrape", SCRAPE, clock)
    relist = _real("relist", RELIST, clock)
    window = max(_real("window", WINDOW, clock), 4 * scrape)
    held = tuple(n for n, s in _PRODUCTION.items() if n in FLOORS and s / clock < FLOORS[n])
    return Flags(
        kube_apiserver=_tolerations(clock),
        kube_controller_manager=_hpa(clock),
        prometheus=(
            f"--query.lookback-delta={duration(max(_real('lookback', LOOKBACK, clock), 5 * scrape))}",
            f"--scrape.discovery-reload-interval={duration(_real('discovery', DISCOVERY, clock))}",
        ),
        prometheus_adapter=(
            f"--metrics-relist-interval={duration(relist)}",
            # A series is forgotten this long after its last sample: longer than a relist, or the list blinks.
            f"--metrics-max-age={duration(4 * relist)}",
        ),
        scrape=duration(scrape),
        window=duration(window),
        floors=held,
    )


def compress(obj: dict[str, Any], *, clock: float) -> tuple[dict[str, Any], list[Change]]:
    """Divide the seconds in an HPA's `behavior` by CLOCK (at least 1 s; 0 stays 0); other kinds pass.

    `periodSeconds` and `stabilizationWindowSeconds` are whole seconds in the API, so at CLOCK=15 a period of
    15 s becomes 1 s and so does one of 10 s. Policies that a `behavior` leaves out are written down first, or
    the API server would fill them in with periods of production. Returns a copy and what was changed in it.
    """
    _check(clock)
    if obj.get("kind") != "HorizontalPodAutoscaler" or clock == 1:
        return obj, []
    result, changes = copy.deepcopy(obj), []
    behavior = (result.get("spec") or {}).get("behavior") or {}
    if isinstance(behavior, dict):
        _fill_in(behavior)
    for direction, rules in sorted(behavior.items() if isinstance(behavior, dict) else ()):
        path = f"spec.behavior.{direction}"
        changes += _divide(rules, "stabilizationWindowSeconds", clock=clock, path=path)
        for i, policy in enumerate((rules or {}).get("policies") or []):
            changes += _divide(policy, "periodSeconds", clock=clock, path=f"{path}.policies[{i}]")
    return result, changes


def _fill_in(behavior: dict[str, Any]) -> None:
    """Write down the policies that the API server would put into a `behavior` that says something."""
    for direction, policies in _DEFAULT_POLICIES.items() if behavior else ():
        rules = behavior.setdefault(direction, {})
        if isinstance(rules, dict) and rules.get("policies") is None:
            rules["policies"] = copy.deepcopy(policies)


def duration(seconds: float) -> str:
    """Write seconds so that Go and Prometheus both read them: `1s`, `1500ms`."""
    ms = round(seconds * 1000)
    return f"{ms // 1000}s" if ms % 1000 == 0 else f"{ms}ms"


# https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#default-behavior
_DEFAULT_POLICIES = {
    "scaleUp": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
    "scaleDown": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}

_PRODUCTION = {
    "hpa_sync": HPA_SYNC,
    "scrape": SCRAPE,
    "relist": RELIST,
    "window": WINDOW,
    "lookback": LOOKBACK,
    "discovery": DISCOVERY,
}


def _check(clock: float) -> None:
    if not clock >= 1 or not math.isfinite(clock):
        raise BadInput(
            f"CLOCK={clock} can't be used.",
            cause="CLOCK says how many lab seconds one real second stands for; time can't be stretched.",
            fix="Use 1 (nothing is compressed) or more; 15 is the default.",
        )


def _real(name: str, seconds: float, clock: float) -> float:
    return max(seconds / clock, FLOORS.get(name, 0.0))


def _hpa(clock: float) -> tuple[str, ...]:
    prefix = "--horizontal-pod-autoscaler"
    return (
        f"{prefix}-sync-period={duration(_real('hpa_sync', HPA_SYNC, clock))}",
        f"{prefix}-downscale-stabilization={duration(DOWNSCALE_STABILIZATION / clock)}",
        f"{prefix}-initial-readiness-delay={duration(INITIAL_READINESS_DELAY / clock)}",
        f"{prefix}-cpu-initialization-period={duration(CPU_INITIALIZATION / clock)}",
    )


def _tolerations(clock: float) -> tuple[str, ...]:
    seconds = max(1, round(TOLERATION / clock))
    return (
        f"--default-not-ready-toleration-seconds={seconds}",
        f"--default-unreachable-toleration-seconds={seconds}",
    )


def _divide(rules: Any, field: str, *, clock: float, path: str) -> list[Change]:
    seconds = rules.get(field) if isinstance(rules, dict) else None
    if not isinstance(seconds, int) or isinstance(seconds, bool) or seconds <= 0:
        return []  # absent, zero, or wrong: the API server has better words for what is wrong
    real = max(1, round(seconds / clock))
    rules[field] = real
    return [Change(f"{path}.{field}", seconds, real)]
