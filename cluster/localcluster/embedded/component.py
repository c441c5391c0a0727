"""A process of the lab as a record: pure functions build it, the supervisor runs it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

WORDS = 5
"""With more arguments than this, each gets its own line. Not a width: paths differ between machines."""
VARIABLE = re.compile(r"\$[A-Z_]+")


@dataclass(frozen=True)
class Ready:
    """How to see that a component works: its URL answers 200, or a file exists."""

    url: str = ""
    file: Path | None = None
    certs: tuple[Path, Path, Path] | None = None
    """Authority, client certificate and key for `url`."""
    through: Path | None = None
    """The Unix socket of the lab's edge, by which `url` is reached; None: on this machine's loopback."""
    says: str = ""
    """A regular expression, found in what the URL answers."""


@dataclass(frozen=True)
class Component:
    """One process: what it runs, what must be ready before it starts, and when it counts as ready."""

    name: str
    argv: tuple[str, ...]
    needs: tuple[str, ...] = ()
    ready: Ready | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    inside: bool = False
    """Whether it lives in the lab's namespace."""
    why: str = ""
    """One line: what this part does in a cluster."""

    def transcript(self) -> str:
        """The component as a person would type it, with its purpose above it."""
        lines = [f"# {self.name}: {self.why}"]
        if self.needs:
            lines.append(f"#   starts when these are ready: {', '.join(self.needs)}")
        words = [_typed(word) for word in self.argv]
        settings = [f"{key}={_typed(value)}" for key, value in sorted(self.env.items())]
        command = " ".join([*settings, *words])
        if len(settings) + len(words) > WORDS:
            command = " \\\n    ".join([" ".join([*settings, words[0]]), *words[1:]])
        lines.append(command)
        return "\n".join(lines)


def _typed(word: str) -> str:
    """A word as a shell takes it; names of the lab's own variables stay open."""
    return word if VARIABLE.search(word) else shlex.quote(word)
