"""Points to draw: one quantity against another, with a name and a unit for both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Points = Iterable[tuple[float, float]]


@dataclass(frozen=True)
class Curves:
    """Points by the name of their curve, for `lab.plot`; `x` and `y` name the axes and their units.

    `x_marks` and `y_marks` are lines drawn at a value, by name.
    """

    points: Mapping[str, Points]
    x: str
    y: str
    x_marks: Mapping[str, float] = field(default_factory=dict)
    y_marks: Mapping[str, float] = field(default_factory=dict)
