"""Prometheus' text format: what the node's `/metrics/...` pages are written in.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/. It only writes numbers; it measures
nothing and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass
class Family:
    """All samples of one metric."""

    name: str
    type: Literal["counter", "gauge"]
    help: str
    samples: list[tuple[Mapping[str, str], float]] = field(default_factory=list)

    def add(self, labels: Mapping[str, str], value: float) -> None:
        """Add one sample; labels with an empty value count as absent."""
        self.samples.append((labels, value))


def render(families: Iterable[Family]) -> str:
    """The page; families without samples are left out.

    >>> up = Family("up", "gauge", "Whether it is up."); up.add({"node": "a"}, 1); print(render([up]), end="")
    # HELP up Whether it is up.
    # TYPE up gauge
    up{node="a"} 1
    """
    lines: list[str] = []
    for family in families:
        if family.samples:
            lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.type}"]
            lines += [f"{family.name}{_labels(labels)} {value:.15g}" for labels, value in family.samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{k}="{v.translate(_ESCAPES)}"' for k, v in labels.items() if v)
    return f"{{{pairs}}}" if pairs else ""
