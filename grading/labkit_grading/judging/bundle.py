"""Everything that the grader saw of one student, in a signed file: enough to judge again without a cluster.

    first line    Ed25519 signature of everything that follows, base64
    the rest      JSON, gzipped: observations, what the HPA wrote, how each notebook ended, remarks

Refuses a file that was changed by even one bit, or signed with another key.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.checks import Check
from labkit.errors import BadInput
from labkit_grading.judging.codec import decode, encode
from labkit_grading.judging.reasons import Raised
from labkit_grading.judging.seal import Key
from labkit_grading.judging.sources import Source
from labkit_grading.submissions.remark import Remark
from localcluster.stored import made, plain, write_atomically

SUFFIX = ".evidence"


@dataclass(frozen=True)
class Argument:
    """One argument of a check. `own`: whether the grader recorded it or took it from the course."""

    source: Source
    value: Any
    own: bool = True


def figured(check: Check, given: Mapping[str, Argument]) -> dict[str, Argument]:
    """The stored form of a check's arguments: a figure replaces its recordings, and is own if they all are.

    Raises `BadInput` for anything that is not a recording, or can't be stored.
    """
    ready = check.figured({name: one.value for name, one in given.items()})
    encode(ready)
    kept = {name: given[name] for name in ready if name in given}
    for name in [name for name in ready if name not in kept]:
        own = all(given[part].own for part in check.figures[name].of)
        kept[name] = Argument(Source.RECORDED, ready[name], own=own)
    return kept


@dataclass(frozen=True)
class Observation:
    """One check as it was called: when (Unix time), in which cell, and with what."""

    check: str
    at: float
    cell: str
    given: Mapping[str, Argument]
    unlike: tuple[str, ...] = ()
    """Why its recordings are not those that the course's own cells make."""

    @property
    def self_reported(self) -> tuple[str, ...]:
        """What should have been recorded, but is known only from the student's process."""
        return tuple(n for n, g in self.given.items() if g.source is Source.RECORDED and not g.own)

    @property
    def evidence(self) -> dict[str, Any]:
        """The judge's input."""
        return {name: given.value for name, given in self.given.items()}


@dataclass(frozen=True)
class Write:
    """The HPA's controller set `replicas` of a Deployment, at a Unix time."""

    at: float
    name: str
    replicas: int


@dataclass(frozen=True)
class Stranger:
    """A pod that was not as the course's are, from when to when (Unix times; 0: to the end), and why."""

    pod: str
    began: float
    ended: float
    why: tuple[str, ...]


@dataclass(frozen=True)
class Sender:
    """Who sent requests to the servers, by their own count: `pod` is empty for the grader's address.

    `began` and `ended` are Unix times, `own` whether the pod was the submission's.
    """

    client: str
    pod: str
    requests: int
    began: float
    ended: float
    own: bool = False


@dataclass(frozen=True)
class Ran:
    """How a notebook ran: `ended` says what cut it short, `ours` whether that was the grader's fault."""

    name: str
    seconds: float
    ended: str = ""
    ours: bool = False


@dataclass
class Seen:
    """What the grader saw of one notebook."""

    observations: list[Observation] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    spread: bool = False
    """Whether something was done, or is still running, that a reset of the namespace does not undo."""
    trouble: str = ""
    """Why something could not be seen that is no student's fault."""
    raised: list[Raised] = field(default_factory=list)
    """What went wrong, in its order."""
    reasons: dict[str, str] = field(default_factory=dict)
    """By check: what went wrong in its cells."""
    strangers: tuple[Stranger, ...] = ()
    """Pods that were not as the course's are."""
    senders: tuple[Sender, ...] = ()
    """Who sent requests to the servers."""


@dataclass(frozen=True)
class Bundle:
    """All evidence of one student."""

    student: str
    folder: str
    graded: float
    observations: tuple[Observation, ...] = ()
    writes: tuple[Write, ...] = ()
    ran: tuple[Ran, ...] = ()
    remarks: tuple[Remark, ...] = ()
    of: str = ""
    """Digest of what was run."""
    unsure: Mapping[str, str] = field(default_factory=dict)
    """Checks whose answer could not be taken, with the reason: a person grades them."""
    answered: tuple[str, ...] | None = None
    """Checks that judge something that was handed in; None if that is not known."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """By check: what went wrong in the cells that it judges."""
    strangers: tuple[Stranger, ...] = ()
    """Pods that were not as the course's are."""
    senders: tuple[Sender, ...] = ()
    """Who sent requests to the servers."""

    def pack(self) -> str:
        """Serialize it, unsigned: the process that runs a student has no key."""
        return base64.b64encode(gzip.compress(json.dumps(self._json()).encode(), mtime=0)).decode()

    def save(self, folder: Path, key: Key) -> Path:
        """Sign and write it atomically."""
        return store(self.pack(), folder / f"{self.folder}{SUFFIX}", key)

    def _json(self) -> dict[str, Any]:
        return {
            "student": self.student,
            "folder": self.folder,
            "graded": self.graded,
            "of": self.of,
            "observations": [_observed(one) for one in self.observations],
            "writes": plain(self.writes),
            "ran": plain(self.ran),
            "remarks": plain(self.remarks),
            "unsure": dict(self.unsure),
            "answered": self.answered,
            "reasons": dict(self.reasons),
            "strangers": plain(self.strangers),
            "senders": plain(self.senders),
        }


def store(body: str, path: Path, key: Key) -> Path:
    """Sign and atomically write what `pack` returned."""
    write_atomically(path, f"{key.sign(body.encode())}\n{body}\n", mode=0o644)
    return path


def load(path: Path, key: Key) -> Bundle:
    """Read a bundle; raises `BadInput` if it is not what was signed."""
    signature, _, rest = path.read_text(errors="replace").partition("\n")
    body = rest.removesuffix("\n")
    if not key.signed(body.encode(), signature):
        raise BadInput(
            f"{path.name} does not match its signature.",
            cause="It was changed, truncated, or signed with another key.",
            fix="Restore it from a backup, or grade this student again.",
        )
    data = json.loads(gzip.decompress(base64.b64decode(body)))
    return Bundle(
        data["student"],
        data["folder"],
        data["graded"],
        tuple(map(_observation, data["observations"])),
        made(tuple[Write, ...], data["writes"]),
        made(tuple[Ran, ...], data["ran"]),
        made(tuple[Remark, ...], data["remarks"]),
        data["of"],
        data.get("unsure", {}),
        None if data.get("answered") is None else tuple(data["answered"]),
        data.get("reasons", {}),
        made(tuple[Stranger, ...], data.get("strangers", [])),
        made(tuple[Sender, ...], data.get("senders", [])),
    )


def _observed(one: Observation) -> dict[str, Any]:
    given = {n: {"source": g.source, "own": g.own, "value": encode(g.value)} for n, g in one.given.items()}
    told = {"check": one.check, "at": one.at, "cell": one.cell, "given": given}
    return {**told, "unlike": list(one.unlike)} if one.unlike else told


def _observation(data: Mapping[str, Any]) -> Observation:
    given = {
        name: Argument(Source(one["source"]), decode(one["value"]), one["own"])
        for name, one in data["given"].items()
    }
    unlike = tuple(map(str, data.get("unlike", ())))
    return Observation(data["check"], data["at"], data["cell"], given, unlike)
