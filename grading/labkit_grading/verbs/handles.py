"""What one notebook has running in the grader: loads are processes of ours, recordings are threads.

Allows several times what a course notebook starts, no more.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

from labkit.errors import BadInput, LabError
from labkit.evidence.cold_start import StartWatch
from labkit.evidence.pace import Pacing
from labkit.evidence.recording import Recording
from labkit.evidence.states import Follower
from labkit.evidence.timeline import Timeline
from labkit.load import Running
from labkit_grading.judging.proofs import in_flight

MOST_LOADS, MOST_WATCHES = 12, 60
WATCHES = frozenset({"follow", "pace", "record", "time_start"})


@dataclass
class OpenHandles:
    """Loads, and everything that watches the cluster."""

    loads: list[Running] = field(default_factory=list)
    watches: list[Recording | Follower | Pacing | StartWatch] = field(default_factory=list)

    def refuse_more(self, verb: str) -> None:
        """Raise if one more would be too many."""
        if verb == "load" and sum(load.alive for load in self.loads) >= MOST_LOADS:
            raise BadInput(f"{MOST_LOADS} loads run at once.", fix="Wait for one of them.")
        if verb in WATCHES and len(self.watches) >= MOST_WATCHES:
            raise BadInput(
                f"This notebook began {MOST_WATCHES} recordings.", fix="One for each run is enough."
            )

    def keep(self, value: Any) -> Any:
        """Remember what has to be ended; a recording gets the loads' requests in flight."""
        if isinstance(value, Recording | Follower | Pacing | StartWatch):
            self.watches.append(value)
        if isinstance(value, Running):
            self.loads.append(value)
        if isinstance(value, Timeline) and self.loads and not any(load.alive for load in self.loads):
            return value.with_series((in_flight([load.result() for load in self.loads], value),))
        return value

    def end(self) -> None:
        """End all of it."""
        for load in self.loads:
            load.end()
        for one in self.watches:
            with contextlib.suppress(LabError):
                one.stop()
