"""What the controller looks at in one sync: the pods, their numbers, and the current replicas.

Plain records, filled in by the caller: nothing is fetched here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Pod:
    """A pod as the controller's cache holds it; times are in seconds of the same clock as `Look.at`.

    `ready` is the status of the Ready condition (None: there is no condition yet), `changed` when it last
    changed. `requests` maps a resource, or `container/resource`, to thousandths; a resource that some
    container does not request is left out.
    """

    name: str
    phase: str = "Running"
    leaving: bool = False
    ready: str | None = "True"
    started: float | None = 0.0
    changed: float = 0.0
    requests: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        """Whether it is running and ready."""
        return self.phase == "Running" and self.ready == "True"


@dataclass(frozen=True)
class Sample:
    """One pod's number, in thousandths; `at` and `window` (seconds) say when it was measured."""

    value: int
    at: float = 0.0
    window: float = 60.0


@dataclass(frozen=True)
class Reading:
    """The answer to one metric: a sample for each pod, or one number, or why there is none."""

    samples: Mapping[str, Sample] = field(default_factory=dict)
    value: int | None = None
    failure: str = ""


@dataclass(frozen=True)
class Look:
    """Everything that one sync sees. `readings` are in the order of the HPA's metrics."""

    at: float
    current: int
    """`spec.replicas` of the target's scale."""
    pods: tuple[Pod, ...]
    readings: tuple[Reading, ...]
    existing: int | None = None
    """`status.replicas` of the target's scale, where it differs from `current`."""
    scaled_to_zero: bool = False
    """Whether the HPA itself took the last replica away (its condition `ScaledToZero`)."""
    unreadable: str = ""
    """Why the controller could not read the target's scale: it then does nothing at all."""

    @property
    def status_replicas(self) -> int:
        """The number of existing pods, according to the scale."""
        return self.current if self.existing is None else self.existing
