"""What a query returns: one sample for each series (`Sample`), or a series over time (`Series`).

Times are Unix seconds of the real clock. Gaps are not filled: where Prometheus has no sample, there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Sample:
    """One value at one moment."""

    labels: Mapping[str, str]
    value: float
    at: float

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Sample:
        """Build a sample from an element of Prometheus' `vector`."""
        at, value = raw["value"]
        return cls(dict(raw["metric"]), float(value), float(at))

    def __repr__(self) -> str:
        return f"{selector(self.labels)} {self.value:g}"


@dataclass(frozen=True, repr=False)
class Series:
    """One line of a plot: `t` (Unix seconds) and `values`, of equal length, oldest first."""

    labels: Mapping[str, str]
    t: Numbers
    values: Numbers

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Series:
        """Build a series from an element of Prometheus' `matrix`."""
        pairs = raw["values"]
        t = np.array([float(at) for at, _ in pairs])
        return cls(dict(raw["metric"]), t, np.array([float(value) for _, value in pairs]))

    def __len__(self) -> int:
        return len(self.t)

    def __repr__(self) -> str:
        span = f"{self.t[-1] - self.t[0]:.0f} s" if len(self) else "nothing"
        return f"{selector(self.labels)} {len(self)} samples over {span}"

    def since(self, start: float) -> Series:
        """The same series with its times counted from `start`."""
        return Series(self.labels, self.t - start, self.values)


@dataclass(frozen=True, repr=False)
class Rows:
    """The samples of an instant query; prints one line for each."""

    query: str
    samples: Sequence[Sample]
    notes: Sequence[str] = ()  # warnings that Prometheus sent along

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def by(self, label: str) -> dict[str, float]:
        """Values by one label: `rows.by("pod")`; those without the label are under ""."""
        return {s.labels.get(label, ""): s.value for s in self.samples}

    def __repr__(self) -> str:
        return "\n".join([*(repr(s) for s in self.samples), *(f"note: {n}" for n in self.notes)])


def selector(labels: Mapping[str, str]) -> str:
    """Labels as PromQL writes them: `up{job="pods"}`."""
    name = labels.get("__name__", "")
    rest = ", ".join(f'{k}="{v}"' for k, v in sorted(labels.items()) if k != "__name__")
    return name + ("{" + rest + "}" if rest or not name else "")
