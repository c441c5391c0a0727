"""All that the grader saw of one student, in one signed file: enough to judge again without a cluster.

    first line    Ed25519 signature of all that follows, base64
    the rest      JSON, gzipped: observations, what the HPA wrote, how each notebook ended, remarks

Refuses a file that was changed by one bit, or signed with another key.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from labkit._proc import write_atomically
from labkit.errors import BadInput
from labkit.grading.judging.codec import decode, encode
from labkit.grading.judging.seal import Key
from labkit.grading.judging.sources import Source
from labkit.grading.submissions.remark import Remark

SUFFIX = ".evidence"


@dataclass(frozen=True)
class Given:
    """One argument of a check. `own` is whether the grader knows it by itself, or from the course."""

    source: Source
    value: Any
    own: bool = True


@dataclass(frozen=True)
class Observation:
    """One check as it was called: when (Unix time), in which cell, and with what."""

    check: str
    at: float
    cell: str
    given: Mapping[str, Given]

    @property
    def self_reported(self) -> tuple[str, ...]:
        """What should have been recorded, and is known from the student's process only."""
        return tuple(n for n, g in self.given.items() if g.source is Source.RECORDED and not g.own)

    @property
    def evidence(self) -> dict[str, Any]:
        """What the judge is handed."""
        return {name: given.value for name, given in self.given.items()}


@dataclass(frozen=True)
class Write:
    """The HPA's controller set `replicas` of a Deployment, at a Unix time."""

    at: float
    name: str
    replicas: int


@dataclass(frozen=True)
class Ran:
    """How a notebook went: `ended` says what cut it short, `ours` whether that was the grader's fault."""

    name: str
    seconds: float
    ended: str = ""
    ours: bool = False


@dataclass
class Seen:
    """What one notebook left with the grader."""

    observations: list[Observation] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    spread: bool = False
    """Whether something was done, or is still under way, that a reset of the namespace does not undo."""
    trouble: str = ""
    """Why something could not be seen that is no student's fault."""


@dataclass(frozen=True)
class Bundle:
    """One student."""

    student: str
    folder: str
    graded: float
    observations: tuple[Observation, ...] = ()
    writes: tuple[Write, ...] = ()
    ran: tuple[Ran, ...] = ()
    remarks: tuple[Remark, ...] = ()
    of: str = ""
    """Digest of what was run."""

    def pack(self) -> str:
        """All of it as text, not signed yet: whoever runs a student has no key."""
        return base64.b64encode(gzip.compress(json.dumps(self._json()).encode(), mtime=0)).decode()

    def save(self, folder: Path, key: Key) -> Path:
        """Write it, signed, whole or not at all."""
        return store(self.pack(), folder / f"{self.folder}{SUFFIX}", key)

    def _json(self) -> dict[str, Any]:
        return {
            "student": self.student,
            "folder": self.folder,
            "graded": self.graded,
            "of": self.of,
            "observations": [_observed(one) for one in self.observations],
            "writes": [asdict(one) for one in self.writes],
            "ran": [asdict(one) for one in self.ran],
            "remarks": [one.to_json() for one in self.remarks],
        }


def store(body: str, path: Path, key: Key) -> Path:
    """Write what `pack` gave, signed, whole or not at all."""
    write_atomically(path, f"{key.sign(body.encode())}\n{body}\n", mode=0o644)
    return path


def load(path: Path, key: Key) -> Bundle:
    """Read a bundle; raises `BadInput` where it is not what was signed."""
    signature, _, rest = path.read_text(errors="replace").partition("\n")
    body = rest.removesuffix("\n")
    if not key.signed(body.encode(), signature):
        raise BadInput(
            f"{path.name} is not what was signed.",
            cause="It was changed, cut short, or signed with another key.",
            fix="Take it from a backup, or grade this student again.",
        )
    data = json.loads(gzip.decompress(base64.b64decode(body)))
    return Bundle(
        data["student"],
        data["folder"],
        data["graded"],
        tuple(map(_observation, data["observations"])),
        tuple(Write(**one) for one in data["writes"]),
        tuple(Ran(**one) for one in data["ran"]),
        tuple(map(Remark.of_json, data["remarks"])),
        data["of"],
    )


def _observed(one: Observation) -> dict[str, Any]:
    given = {n: {"source": g.source, "own": g.own, "value": encode(g.value)} for n, g in one.given.items()}
    return {"check": one.check, "at": one.at, "cell": one.cell, "given": given}


def _observation(data: Mapping[str, Any]) -> Observation:
    given = {
        name: Given(Source(one["source"]), decode(one["value"]), one["own"])
        for name, one in data["given"].items()
    }
    return Observation(data["check"], data["at"], data["cell"], given)
