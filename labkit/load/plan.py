"""The generator's input: where to send, in which shape, and how much. Written before it starts.

The plan is a JSON file that the locust process reads, so a run can be repeated from it. Times are lab
seconds. Refuses shapes that can't be run.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.errors import BadInput
from labkit.load.arrivals import Arrivals
from labkit.load.workload import Workload
from localcluster.stored import write_atomically

UserSteps = tuple[tuple[float, int], ...]
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_|~-]+: [\x20-\x7e]*")
_OWN = frozenset({"accept", "connection", "content-length", "content-type", "host", "transfer-encoding"})


@dataclass(frozen=True)
class Closed:
    """`users` people who each wait for an answer before asking again: a slow server slows them down.

    `users` is a number, or steps such as `((0, 10), (120, 40))`, which set it from each time on. `think` is
    the mean pause between an answer and the next question, exponentially distributed, in lab seconds.
    """

    users: int | UserSteps
    seconds: float
    think: float = 0.0

    def __post_init__(self) -> None:
        steps = self.steps
        times = [time for time, _ in steps]
        if self.seconds <= 0 or times[0] != 0 or times != sorted(times) or self.most < 1:
            raise BadInput(
                f"No load has {self.users} users over {self.seconds:g} lab seconds.",
                cause="Steps start at time 0 and rise, and there is at least one user.",
                fix="Closed(users=40, seconds=300), or users=((0, 10), (120, 40)).",
            )

    @property
    def steps(self) -> UserSteps:
        """The number of users, as steps from each time on."""
        return ((0.0, self.users),) if isinstance(self.users, int) else tuple(self.users)

    @property
    def most(self) -> int:
        """The largest number of users at any time."""
        return max(count for _, count in self.steps)

    def turns(self, user: int) -> list[tuple[float, float]]:
        """The spans of time in which user number `user` (0 is the first) is active."""
        spans: list[tuple[float, float]] = []
        ends = [time for time, _ in self.steps[1:]] + [self.seconds]
        for (start, count), end in zip(self.steps, ends, strict=True):
            if count > user and start < min(end, self.seconds):
                joined = bool(spans) and spans[-1][1] == start
                begin = spans.pop()[0] if joined else start
                spans.append((begin, min(end, self.seconds)))
        return spans


@dataclass(frozen=True)
class Open:
    """Requests that arrive whatever the server does, as from thousands of independent users.

    Beyond `most_in_flight` open requests, an arrival is recorded as `not_sent` instead of being sent.
    """

    arrivals: Arrivals
    most_in_flight: int = 2000

    @property
    def seconds(self) -> float:
        """How long requests keep arriving."""
        return self.arrivals.seconds


@dataclass(frozen=True)
class Load:
    """A load test: `shape` and `workload` against the model server at `url`.

    `clock` is the number of lab seconds in a real one. `timeout` is the longest a request may take, `drain`
    how long to wait for answers after the last request, both in lab seconds. Each request opens a connection
    of its own; with `keepalive`, a user of a closed load keeps one, and with it the same pod. `headers` go
    along with each request.
    """

    url: str
    shape: Closed | Open
    workload: Workload = field(default_factory=Workload)
    clock: float = 1.0
    seed: int = 0
    timeout: float = 600.0
    drain: float = 120.0
    keepalive: bool = False
    ca: Path | None = None
    model: str = ""
    allow_remote: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.headers.items():
            if not _HEADER.fullmatch(f"{name}: {value}") or name.lower() in _OWN:
                raise BadInput(
                    f"A request can't have the header {name}: {value}.",
                    cause="A name has no spaces, a value one line; the load sets some headers itself.",
                    fix='headers={"x-gateway-inference-objective": "chat"}',
                )

    def as_json(self, *, model: str) -> dict[str, Any]:
        """Everything that the generator needs; the sizes of an open load are drawn here, once."""
        names = ("url", "clock", "seed", "timeout", "drain", "keepalive", "allow_remote")
        plain = {key: getattr(self, key) for key in names}
        ca = str(self.ca) if self.ca else ""
        more = {"shape": self._shape(), "workload": self.workload.as_json(), "headers": dict(self.headers)}
        return plain | {"model": model, "ca": ca} | more

    def save(self, path: Path, *, model: str) -> None:
        """Write the plan for the generator."""
        write_atomically(path, json.dumps(self.as_json(model=model)))

    def _shape(self) -> dict[str, Any]:
        if isinstance(self.shape, Closed):
            users, seconds, think = self.shape.steps, self.shape.seconds, self.shape.think
            return {"kind": "closed", "users": users, "seconds": seconds, "think": think}
        rng = random.Random(self.seed)
        arrivals = self.shape.arrivals
        return {
            "kind": "open",
            "what": arrivals.what,
            "seconds": arrivals.seconds,
            "times": arrivals.times,
            "sizes": arrivals.sizes or [self.workload.draw(rng) for _ in arrivals.times],
            "most_in_flight": self.shape.most_in_flight,
        }


def closed_of(shape: dict[str, Any]) -> Closed:
    """The closed shape in a plan's JSON."""
    users = tuple((float(time), int(count)) for time, count in shape["users"])
    return Closed(users=users, seconds=shape["seconds"], think=shape["think"])
