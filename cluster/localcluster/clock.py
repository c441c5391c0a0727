"""One clock: every duration of the control plane divided by CLOCK, here and nowhere else.

At CLOCK=15 one real second stands for 15 lab seconds. YAML files keep production's seconds; what a flag can
compress is compressed by a flag (`flags`); no flag affects the seconds in an HPA's `behavior` or in a
ScaledObject: `durations` divides those in the object, before it is applied. Refuses a CLOCK below 1. No value
is lower than the programs accept: `Flags.floors` lists values at such a minimum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from localcluster.errors import BadInput

# Production's values: the defaults of Kubernetes 1.37 and the usual configuration of Prometheus.
# https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/
HPA_SYNC = 15.0
DOWNSCALE_STABILIZATION = 300.0
INITIAL_READINESS_DELAY = 30.0
CPU_INITIALIZATION = 300.0
TOLERATION = 300.0  # how long a pod stays bound to a node that is not ready
SCRAPE = 15.0
RELIST = 30.0  # how often the adapter lists the existing series
WINDOW = 60.0  # of rate(): four scrapes, so that one missed scrape is not a gap
LOOKBACK = 300.0  # how old a sample may be and still answer an instant query
DISCOVERY = 5.0  # how often Prometheus' scrape manager takes in new targets

FLOORS = {"scrape": 0.2, "relist": 1.0, "window": 0.8, "lookback": 2.0, "discovery": 0.2, "hpa_sync": 0.1}
"""Real seconds: below these the programs fail, or a laptop does nothing but scrape."""


@dataclass(frozen=True)
class Flags:
    """Arguments for the programs, and the three values that the configuration templates take."""

    kube_apiserver: tuple[str, ...]
    kube_controller_manager: tuple[str, ...]
    prometheus: tuple[str, ...]
    prometheus_adapter: tuple[str, ...]
    scrape: str  # ${SCRAPE} in data/prometheus.yml
    window: str  # ${WINDOW} in data/adapter-rules.yaml
    floors: tuple[str, ...]  # what could not be compressed as far as CLOCK asks, by name


def flags(clock: float) -> Flags:
    """What to start the control plane with, for example `--horizontal-pod-autoscaler-sync-period=1s`."""
    check(clock)
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


def duration(seconds: float) -> str:
    """Write seconds so that Go and Prometheus both read them: `1s`, `1500ms`."""
    ms = round(seconds * 1000)
    return f"{ms // 1000}s" if ms % 1000 == 0 else f"{ms}ms"


_PRODUCTION = {
    "hpa_sync": HPA_SYNC,
    "scrape": SCRAPE,
    "relist": RELIST,
    "window": WINDOW,
    "lookback": LOOKBACK,
    "discovery": DISCOVERY,
}


def check(clock: float) -> None:
    """Raise `BadInput` if CLOCK is not valid."""
    if not clock >= 1 or not math.isfinite(clock):
        raise BadInput(
            f"CLOCK={clock} is not valid.",
            cause="CLOCK is the number of lab seconds per real second; time can't be slowed down.",
            fix="Use 1 (real time) or more; 15 is the default.",
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
