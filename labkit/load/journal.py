"""The record of a run: one JSON object a line, written as it happens, so a killed run keeps its rows.

    {"kind": "run",   ...}   first line: clock, shape, when it began (`started`, Unix time)
    {"kind": "row",   ...}   one request, the fields of `Row`
    {"kind": "pulse", ...}   four times a second: counts, how late the generator woke, the machine's pressure
    {"kind": "end",   ...}   last line of a run that was not killed: why it ended

A partial line at the end of the file is left out, not guessed at.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_PRESSURE = Path("/proc/pressure/cpu")


class Journal:
    """The writing side, in the generator."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)

    def write(self, kind: str, **fields: Any) -> None:
        """Append one line."""
        self._file.write(json.dumps({"kind": kind} | fields, separators=(",", ":")) + "\n")


class Reader:
    """The reading side: each call of `more` returns the complete lines written since the last call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = 0

    def more(self) -> list[dict[str, Any]]:
        """New lines as dicts; empty while there is no file."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._place)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._place += len(whole)
        return [json.loads(line) for line in whole.splitlines() if line]


def cpu_stall_seconds() -> float | None:
    """Seconds since boot in which some task on this machine waited for a CPU; None if Linux doesn't say.

    https://docs.kernel.org/accounting/psi.html
    """
    try:
        some = _PRESSURE.read_text().splitlines()[0]
    except (OSError, IndexError):
        return None
    return int(some.rpartition("total=")[2]) / 1e6
