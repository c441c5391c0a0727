"""The tree of errors that are raised on purpose.

    LabError                    what happened, the likely cause, the fix
    ├── BadInput                the caller passed something invalid
    │   └── ImageError          a Dockerfile, reference or registry that can't be used
    ├── ToolchainError          a binary could not be found, fetched, checked or built
    ├── ProviderError           a cluster could not be brought up, reached or taken down
    │   ├── ComponentError      one of its processes did not start or died
    │   └── NotOurs             refused: the object or cluster was not made by labkit
    ├── ClusterError            the API server refused or failed a request
    │   ├── Refused             it understood, and said no (4xx): learners meet these on purpose
    │   └── Unreachable         it did not answer
    ├── WaitTimeout             a condition did not come true; carries what was last seen
    └── LoadError               the load generator could not run or broke

An error is for "could not do it". A wrong answer of a learner is a `Verdict`, never an error.
"""

from __future__ import annotations

import re

_COMMANDS = "up|down|ls|status|logs|kubectl|node|image|gpu|toolchain|doctor|fields"
_COMMAND = re.compile(rf"\blocalcluster(?= (?:{_COMMANDS})\b)")


class LabError(Exception):
    """What happened; with the likely cause and the fix where they are known."""

    exit_code = 1

    def __init__(self, what: str, *, cause: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.cause = cause
        self.fix = fix

    def __str__(self) -> str:
        lines = [self.what]
        if self.cause:
            lines.append(f"Likely cause: {self.cause}")
        if self.fix:
            lines.append(f"Fix: {self.fix}")
        return "\n".join(lines)


class BadInput(LabError):
    """The caller passed something invalid; nothing was changed."""

    exit_code = 2


class ImageError(BadInput):
    """A Dockerfile, image reference or registry that can't be used as it is."""


class ToolchainError(LabError):
    """A binary could not be found, fetched, checked or built."""


class ProviderError(LabError):
    """A cluster could not be brought up, reached or taken down."""


class ComponentError(ProviderError):
    """A process of the cluster did not start, or died."""


class NotOurs(ProviderError):
    """Refused: the object or the cluster was not made by labkit."""


class ClusterError(LabError):
    """The API server refused or failed a request."""


class Refused(ClusterError):
    """The API server understood the request and said no (HTTP 4xx)."""

    def __init__(
        self, what: str, *, reason: str = "", cause: str = "", fix: str = "", details: str = ""
    ) -> None:
        super().__init__(what, cause=cause, fix=fix)
        self.reason = reason
        self.details = details
        """The server's whole answer, if `what` leaves out a long comparison."""


class Unreachable(ClusterError):
    """The API server did not answer."""


class WaitTimeout(LabError):
    """A condition did not come true in time; `last_seen` is what was there instead."""

    def __init__(self, waiting_for: str, *, seconds: float, last_seen: str, fix: str = "") -> None:
        super().__init__(
            f"Waited {seconds:.0f} s for {waiting_for}; last seen: {last_seen or 'nothing'}.", fix=fix
        )
        self.waiting_for = waiting_for
        self.last_seen = last_seen


class LoadError(LabError):
    """The load generator could not run, or broke."""


def commands_of(program: str, text: str) -> str:
    """A text with our commands as those of another program that also has them.

    >>> commands_of("labkit", "Start one: localcluster up")
    'Start one: labkit up'
    """
    return _COMMAND.sub(program, text)
