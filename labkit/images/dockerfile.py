"""Reads a Dockerfile into instructions, and refuses by line what the lab's builder can't do.

The subset: FROM (one stage), ARG, ENV, WORKDIR, COPY, RUN (shell and exec form), USER, EXPOSE, LABEL,
ENTRYPOINT, CMD, STOPSIGNAL, HEALTHCHECK NONE; comments, line continuations, variables. Nothing is ever
ignored in silence. Reference: https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import ImageError

_OTHER_BUILDER = "build with `--builder docker` (or podman, buildah) on a machine that has one"
_REFUSED = {
    "ADD": "Use COPY for files of the context; fetch URLs and unpack archives in a RUN.",
    "ONBUILD": "Write the instruction into the Dockerfile that needs it.",
    "VOLUME": "Declare an emptyDir or another volume in the pod: Kubernetes ignores VOLUME.",
    "SHELL": 'Name the shell in the RUN itself: RUN ["bash", "-c", "…"].',
    "MAINTAINER": 'Use LABEL org.opencontainers.image.authors="…".',
}
_KNOWN = (
    "FROM", "ARG", "ENV", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "LABEL", "ENTRYPOINT", "CMD",
    "STOPSIGNAL", "HEALTHCHECK",
)  # fmt: skip
_FLAGS = {"COPY": ("chown", "chmod"), "FROM": (), "RUN": ()}
_FLAG = re.compile(r"--([a-z-]+)(?:=(\S*))?(?:\s+|$)")
_HEREDOC = re.compile(r"<<-?\s*[\"']?[A-Za-z_]")
_DIRECTIVE = re.compile(r"#\s*([a-z]+)\s*=\s*(\S+)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """A place in a Dockerfile, for errors."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def refuse(self, what: str, *, fix: str, cause: str = "") -> ImageError:
        """The error for something at this place."""
        return ImageError(f"{self}: {what}", cause=cause, fix=fix)


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name in capitals, its flags, and what follows, on one line."""

    name: str
    text: str
    flags: tuple[tuple[str, str], ...]
    source: Source

    def __str__(self) -> str:
        flags = "".join(f"--{key}={value} " for key, value in self.flags)
        return f"{self.name} {flags}{self.text}"

    def words(self) -> list[str] | None:
        """The exec form (a JSON list of strings); None in the shell form."""
        if not self.text.startswith("["):
            return None
        try:
            found = json.loads(self.text)
        except ValueError:
            return None
        is_words = isinstance(found, list) and all(isinstance(word, str) for word in found)
        return found if is_words else None


def read(file: Path) -> list[Instruction]:
    """All instructions of a Dockerfile; raises `ImageError` at the first that is not supported."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(
            f"The Dockerfile can't be read: {file}.",
            cause=f"{error.strerror}." if isinstance(error, OSError) else str(error),
            fix="Name it with `-f PATH`, or put a file named Dockerfile into the context folder.",
        ) from error
    instructions = [_instruction(line, Source(file, number)) for number, line in _logical(text, file)]
    _check_order(instructions, file)
    return instructions


def _logical(text: str, file: Path) -> Iterator[tuple[int, str]]:
    """Lines with their continuations joined and their comments gone, each with the number it starts at."""
    parts: list[str] = []
    start, at_top = 0, True
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if line.startswith("#"):
            at_top = at_top and _directive(line, Source(file, number))
            continue
        at_top = False
        if not line:
            continue
        start = start if parts else number
        parts.append(line.removesuffix("\\"))
        if not line.endswith("\\"):
            yield start, "".join(parts)
            parts = []
    if parts:
        yield start, "".join(parts)


def _directive(line: str, source: Source) -> bool:
    """Whether the line is a parser directive, which only the top of a file has."""
    found = _DIRECTIVE.fullmatch(line)
    if found and found[1].lower() == "escape" and found[2] != "\\":
        raise source.refuse(f"escape={found[2]} is not supported.", fix="Escape with a backslash.")
    return found is not None


def _instruction(line: str, source: Source) -> Instruction:
    word, *others = line.split(maxsplit=1)
    name, rest = word.upper(), "".join(others)
    if name in _REFUSED:
        raise source.refuse(f"{name} is not supported by the lab's builder.", fix=_REFUSED[name])
    if name not in _KNOWN:
        raise source.refuse(
            f"`{word}` is not a Dockerfile instruction.",
            cause="A typo.",
            fix=f"Use one of {', '.join(_KNOWN)}.",
        )
    if not rest:
        raise source.refuse(f"{name} needs at least one argument.", fix=f"Write what {name} shall do.")
    if name in {"COPY", "RUN"} and _HEREDOC.search(rest):
        fix = "Join the commands with && and a backslash at each line's end; put longer scripts into a file."
        raise source.refuse("Here-documents (<<EOF) are not supported by the lab's builder.", fix=fix)
    if name == "HEALTHCHECK" and rest.upper() != "NONE":
        fix = "Write a readinessProbe into the pod: Kubernetes ignores HEALTHCHECK."
        raise source.refuse("HEALTHCHECK is not supported by the lab's builder, except NONE.", fix=fix)
    flags, text = _flags(name, rest, source)
    return Instruction(name, text, flags, source)


def _flags(name: str, rest: str, source: Source) -> tuple[tuple[tuple[str, str], ...], str]:
    flags: list[tuple[str, str]] = []
    while name in _FLAGS and (found := _FLAG.match(rest)):
        if found[1] not in _FLAGS[name]:
            raise source.refuse(
                f"{name} --{found[1]} is not supported by the lab's builder.",
                cause=_why(name, found[1]),
                fix=f"Leave it out, or {_OTHER_BUILDER}.",
            )
        flags.append((found[1], found[2] or ""))
        rest = rest[found.end() :]
    return tuple(flags), rest


def _why(name: str, flag: str) -> str:
    reasons = {
        ("COPY", "from"): "It builds one stage only; there is no other one to copy from.",
        ("RUN", "mount"): "Cache and secret mounts need BuildKit.",
        ("FROM", "platform"): "It builds for this machine's platform only.",
    }
    return reasons.get((name, flag), "")


def _check_order(instructions: list[Instruction], file: Path) -> None:
    stages = [i for i in instructions if i.name == "FROM"]
    if not stages:
        raise ImageError(f"{file}: there is no FROM.", fix="Begin with a base: FROM python:3.11-slim.")
    if len(stages) > 1:
        fix = f"Write one stage (build wheels outside), or {_OTHER_BUILDER}."
        raise stages[1].source.refuse("Several stages are not supported by the lab's builder.", fix=fix)
    first = next(i for i in instructions if i.name != "ARG")
    if first.name != "FROM":
        raise first.source.refuse(f"{first.name} stands before FROM.", fix="Move it below FROM.")
