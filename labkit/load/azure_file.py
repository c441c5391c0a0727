"""Reads the files of Azure's LLM inference traces, line by line: those of 2023, and those of 2024.

Both have the same columns. In 2023 a time is `2023-11-16 18:17:03.9799600`; in 2024 it has its offset from
UTC, and no fraction where that is zero: `2024-05-10 00:00:00.009930+00:00`. A file of 2024 holds a week, tens
of millions of requests, so it can be read up to a moment. Refuses, with file, line and cause, what is none.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from labkit.errors import BadInput

COLUMNS = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.(\d+))?([+-]\d\d:\d\d)?")
_COUNT = re.compile(r"[0-9]+")


@dataclass
class Recorded:
    """What a file holds: seconds since its first request, ascending; (tokens in, tokens out); the year."""

    times: list[float] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    year: int = 0


def read(path: Path, *, seconds: float | None = None) -> Recorded:
    """Read a file, or its first `seconds`; raises `BadInput`, and `OSError` where it can't be opened."""
    found = Recorded()
    first: datetime | None = None
    before = 0.0
    for number, row in _rows(path):
        try:
            moment, fraction = _time_of(row)
            first = first or moment
            before = _later(moment, fraction, first, before)
            size = _count_of(row, 1), _count_of(row, 2)
        except _BrokenError as error:
            raise BadInput(f"{path}, line {number}: {','.join(row)!r} can't be read: {error}.") from error
        if seconds is not None and found.times and before - found.times[0] >= seconds:
            break
        found.times.append(before)
        found.sizes.append(size)
    if first is None:
        raise BadInput(f"{path}, line 2: there is no request.", cause="The file was truncated.")
    start = found.times[0]
    found.times, found.year = [time - start for time in found.times], first.year
    return found


def _later(moment: datetime, fraction: float, first: datetime, before: float) -> float:
    """Seconds since the whole second of the first request; not less than those of the line before."""
    if (first.tzinfo is None) != (moment.tzinfo is None):
        raise _BrokenError("its time has an offset from UTC, or lacks one, unlike the first")
    # As a number, since a datetime takes six digits at most, and 2023 has seven.
    time = (moment - first) / timedelta(seconds=1) + fraction
    if time < before:
        raise _BrokenError("it is earlier than the line before: the file is not in order of time")
    return time


class _BrokenError(Exception):
    """Why a line is no request."""


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines after the header, each with its number."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = csv.reader(file)
        try:
            header = next(rows, [])
            if header != COLUMNS:
                raise BadInput(
                    f"{path}, line 1: the columns are {header}, not {COLUMNS}.",
                    cause="It is no Azure LLM trace.",
                )
            for row in rows:
                yield rows.line_num, row
        except csv.Error as error:
            raise BadInput(f"{path}, line {rows.line_num}: {error}.") from error


def _time_of(row: list[str]) -> tuple[datetime, float]:
    """The whole second, and the fraction after it."""
    if len(row) != len(COLUMNS):
        raise _BrokenError(f"it has {len(row)} values, not {len(COLUMNS)}")
    parts = _STAMP.fullmatch(row[0])
    if parts is None:
        raise _BrokenError(f"{row[0]!r} is not a time such as 2023-11-16 18:17:03.9799600")
    try:
        return datetime.fromisoformat(parts[1] + (parts[3] or "")), float(f"0.{parts[2] or 0}")
    except ValueError as error:
        raise _BrokenError(f"{row[0]!r} is not a time ({error})") from error


def _count_of(row: list[str], column: int) -> int:
    if not _COUNT.fullmatch(row[column]):
        raise _BrokenError(f"{COLUMNS[column]} is {row[column]!r}, not a number of tokens")
    return int(row[column])
