"""Notebook 10's checks on the bill: dollars, watt-hours and grams of a run.

Pure. Refuses to compute the bill of a run in which no GPU was held.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from course.capstone import Terms, score
from labkit.checks.check import Check, Finding, first_that_holds, nothing_yet, number
from labkit.evidence import Series, Timeline
from labkit.evidence.quantity import plainly
from labkit.load.results import LoadResult

SECONDS_IN_HOUR = 3600.0
CLOCK = 15  # lab seconds in a real one, as the course sets it
WATTS_AGAIN = "Run the cell with lab.metrics('sum(DCGM_FI_DEV_POWER_USAGE…)', since=…) again, after the load."
NEAR = 0.05  # of a figure computed from recorded ones


def energy(answer: Any, watts: Series) -> Finding:
    """Watt-hours: the area under the power, in lab time."""
    if len(watts.points) < 2:
        return nothing_yet("no power was recorded", WATTS_AGAIN)
    real, said = _watt_hours(watts), number(answer)
    mean = real * SECONDS_IN_HOUR / (watts.points[-1][0] - watts.points[0][0])
    hint = first_that_holds(
        (_near(said, real * SECONDS_IN_HOUR), "That is in joules. How many of them are a watt-hour?"),
        (_near(said, real / 1000), "That is in kilowatt-hours."),
        (_near(said, mean), "That is the average power, in watts. For how long?"),
        (_near(said, real / CLOCK), "That uses real seconds. The bill counts lab seconds."),
        (_near(said, real * CLOCK), "These are lab seconds already: only the counter needs times CLOCK."),
    )
    return _close(said, real, answer, hint=hint)


def cost(answer: Any, run: Timeline, load: LoadResult, usd_per_hour: float) -> Finding:
    """The cost of the GPUs that were held, used or not."""
    gpu_seconds = score(run, load, Terms()).gpu_seconds if run.began else 0.0
    if not gpu_seconds:
        return nothing_yet("no GPU was held", "Run the cell with lab.record() again, to the end of the load.")
    real, said = gpu_seconds / SECONDS_IN_HOUR * usd_per_hour, number(answer)
    hint = first_that_holds(
        (_near(said, real * SECONDS_IN_HOUR), "The price is per hour, but you counted seconds."),
        (_near(said, real * 60), "The price is per hour, but you counted minutes."),
        (_near(said, gpu_seconds / SECONDS_IN_HOUR), "That is in GPU-hours. What does one cost?"),
        (_near(said, gpu_seconds), "That is in GPU-seconds. How many hours is that, and what does one cost?"),
    )
    return _close(said, real, answer, hint=hint)


def carbon(answer: Any, watts: Series, pue: float, grams_per_kwh: float) -> Finding:
    """Energy times the building's overhead (PUE) times the grid's carbon intensity."""
    if len(watts.points) < 2:
        return nothing_yet("no power was recorded", WATTS_AGAIN)
    real, said = _watt_hours(watts) / 1000 * pue * grams_per_kwh, number(answer)
    hint = first_that_holds(
        (_near(said, real / pue), "That is without the building: what does its cooling add?"),
        (
            _near(said, real / pue / pue),
            "PUE is a factor: the building adds energy, it does not save any.",
        ),
        (_near(said, real * 1000), "The grid's figure is per kilowatt-hour, but you have watt-hours."),
        (_near(said, real / 1000), "That is in kilograms."),
    )
    return _close(said, real, answer, hint=hint)


def _watt_hours(watts: Series) -> float:
    return watts.area(watts.points[0][0], watts.points[-1][0]) / SECONDS_IN_HOUR


def _near(said: float | None, real: float) -> bool:
    return said is not None and abs(said - real) <= NEAR * abs(real)


def _close(said: float | None, real: float, answer: Any, *, hint: str) -> Finding:
    near = _near(said, real)
    return Finding(passed=near, observed=f"you say {plainly(answer)}", hint="" if near else hint)


CHECKS: Sequence[Check] = (
    Check(
        "10.energy",
        "watt-hours of the GPUs that the run held, within 5 %",
        "The area under the power, over lab time, is in joules. What is that in watt-hours?",
        energy,
        answers=("answer",),
        copying=False,
        rows=(12,),
    ),
    Check(
        "10.cost",
        "dollars for the GPUs that the run held, within 5 %",
        "The price is per hour, but GPU-seconds were held: how many hours are they?",
        cost,
        answers=("answer",),
        copying=False,
        rows=(12,),
    ),
    Check(
        "10.carbon",
        "grams of CO2 for the run, within 5 %",
        "How many kilowatt-hours, with what the building adds, and how many grams for each?",
        carbon,
        answers=("answer",),
        copying=False,
        rows=(12,),
    ),
)
