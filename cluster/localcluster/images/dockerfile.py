"""Reads a Dockerfile into instructions, and refuses by line what the lab's builder can't do.

The subset: FROM (one stage), ARG, ENV, WORKDIR, COPY, RUN (shell and exec form), USER, EXPOSE, LABEL, SHELL,
ENTRYPOINT, CMD, STOPSIGNAL, HEALTHCHECK NONE; directives, comments, continued lines, variables. What is
supported means the same as in BuildKit; nothing is ever ignored silently.
Reference: https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import ImageError
from localcluster.images.logical import Logical, logical
from localcluster.images.source import Source, lines
from localcluster.images.words import BLANKS, Words

_OTHER_BUILDER = "build with `--builder docker` (or podman, buildah) on a machine that has it"
_REFUSED = {
    "ADD": "Use COPY for files in the context; download URLs and unpack archives with RUN.",
    "ONBUILD": "Write the instruction into the Dockerfile that needs it.",
    "VOLUME": "Declare an emptyDir or another volume in the pod, where you can also limit its size.",
    "MAINTAINER": 'Use LABEL org.opencontainers.image.authors="…".',
}
_KNOWN = (
    "FROM", "ARG", "ENV", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "LABEL", "SHELL", "ENTRYPOINT", "CMD",
    "STOPSIGNAL", "HEALTHCHECK",
)  # fmt: skip
_FLAGS = {"COPY": ("chown", "chmod"), "FROM": ("platform",)}
_LISTS = ("RUN", "CMD", "ENTRYPOINT", "SHELL", "COPY")
_EXEC_FORMS = ("RUN", "CMD", "ENTRYPOINT", "SHELL")
_FLAG = re.compile(r"""--([^\s=]*)(?:=((?:"[^"]*"|'[^']*'|\S)*))?(?:\s+|$)""", re.ASCII)
_HALF_PAIR = re.compile("[\ud800-\udfff]")  # as `\ud800` in JSON, which stands for no character
_NO_MORE_FLAGS = re.compile(r"--(\s+|$)", re.ASCII)
_HEREDOC = re.compile(r"\d*<<-?\s*([^<]*)")

Flags = tuple[tuple[str, str], ...]
Say = Callable[[str], object]


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name in capitals, its flags, and what follows, on one line."""

    name: str
    text: str
    flags: Flags
    source: Source
    escape: str = "\\"

    def __str__(self) -> str:
        flags = "".join(f"--{key}={value} " for key, value in self.flags)
        return f"{self.name} {flags}{self.text}"

    def words(self) -> list[str] | None:
        """The exec form (a JSON list of strings); None in the shell form, and where there is no exec form."""
        if self.name not in _LISTS or not self.text.startswith("["):
            return None
        try:
            found = json.loads(self.text)
        except ValueError:
            return None
        if not isinstance(found, list):
            return None
        if not all(isinstance(word, str) for word in found):
            fix = 'Quote each word: ["sleep", "10"].'
            raise self.source.refuse(f"{self.name} has a list with values that are not strings.", fix=fix)
        return [_HALF_PAIR.sub("\ufffd", word) for word in found]


def read(file: Path, say: Say = lambda _: None) -> list[Instruction]:
    """All instructions of a Dockerfile; raises `ImageError` at the first that is not supported.

    `say` gets notes on instructions that BuildKit accepts, but that are probably a mistake.
    """
    try:
        found = logical(file, lines(file), say)
    except OSError as error:
        raise ImageError(
            f"The Dockerfile can't be read: {file}.",
            cause=f"{error.strerror}.",
            fix="Give its path with `-f PATH`, or put a file named Dockerfile into the context folder.",
        ) from error
    instructions = [_instruction(line, say) for line in found]
    _check_order(instructions, file)
    return instructions


def _instruction(line: Logical, say: Say) -> Instruction:
    word, *others = BLANKS.split(line.text, maxsplit=1)
    name, rest, source = word.upper(), "".join(others), line.source
    if name in _REFUSED:
        raise source.refuse(f"{name} is not supported by the lab's builder.", fix=_REFUSED[name])
    if name not in _KNOWN:
        raise source.refuse(
            f"`{word}` is not a Dockerfile instruction.",
            cause="A typo.",
            fix=f"Use one of {', '.join(_KNOWN)}.",
        )
    if not rest.strip():
        raise source.refuse(f"{name} needs at least one argument.", fix=f"Add the arguments of {name}.")
    flags, text = _flags(name, rest, source)
    found = Instruction(name, text, flags, source, line.escape)
    _check_form(found, say)
    return found


def _check_form(one: Instruction, say: Say) -> None:
    """Refuse unsupported forms, and note a list that was probably intended."""
    exec_form = one.words() is not None
    if _has_heredoc(one):
        fix = "Join the commands with && and a backslash at the end of each line; put longer "
        "scripts into a file."
        raise one.source.refuse("Here-documents (<<EOF) are not supported by the lab's builder.", fix=fix)
    if one.name == "HEALTHCHECK" and one.text.upper() != "NONE":
        fix = "Write a readinessProbe into the pod: Kubernetes ignores HEALTHCHECK."
        raise one.source.refuse("HEALTHCHECK is not supported by the lab's builder, except NONE.", fix=fix)
    if one.name == "COPY" and len(one.words() or BLANKS.split(one.text)) < 2:
        raise one.source.refuse("COPY needs a source and a destination.", fix="COPY server/ server/")
    if one.name in {"ENV", "LABEL"}:
        Words({}, one.source, one.escape).pairs(one.text)
    if one.name == "ARG":
        Words({}, one.source, one.escape).arguments(one.text)
    if one.name == "SHELL" and not one.words():
        raise one.source.refuse("SHELL needs a list of words.", fix='SHELL ["/bin/bash", "-c"]')
    if one.name == "RUN" and one.words() == []:
        raise one.source.refuse("RUN [] has no program.", fix='RUN ["python3", "-m", "compileall", "."]')
    if one.name == "ENTRYPOINT" and not exec_form and not one.text.startswith("["):
        said = (
            "a program started by a shell gets neither the pod's args nor signals; with a list it gets both"
        )
        say(f'note: {one.source}: {said}: ENTRYPOINT ["{one.text.split()[0]}", …]')
    if one.name in _EXEC_FORMS and one.text.startswith("[") and not exec_form:
        say(
            f"note: {one.source}: {one.name} looks like a list, but is not JSON (double quotes only): "
            "it runs as a shell command"
        )


def _has_heredoc(one: Instruction) -> bool:
    listed = one.words()
    if one.name not in {"COPY", "RUN"} or "<<" not in one.text or (one.name == "RUN" and listed is not None):
        return False
    words = Words({}, one.source).raw(one.text) if listed is None else listed  # whatever `# escape=` says
    # The name may follow as a word of its own: BuildKit takes `1 << 3` for one, too.
    return any(
        (found := _HEREDOC.fullmatch(word)) and (found[1] or number < len(words))
        for number, word in enumerate(words, start=1)
    )


def _flags(name: str, rest: str, source: Source) -> tuple[Flags, str]:
    """The leading flags, which BuildKit accepts on any instruction; `--` alone ends them."""
    flags: list[tuple[str, str]] = []
    while not (ended := _NO_MORE_FLAGS.match(rest)) and (found := _FLAG.match(rest)):
        if not found[0].isascii():
            raise source.refuse(f"A flag of {name} is not ASCII: {found[0].strip()}", fix="Type it again.")
        _check_flag(name, found[1], flags, source)
        flags.append((found[1], (found[2] or "").replace('"', "").replace("'", "")))
        rest = rest[found.end() :]
    rest = (rest[ended.end() :] if ended else rest).strip()
    if not rest:
        raise source.refuse(f"{name} has only flags.", fix=f"Add the arguments of {name}.")
    return tuple(flags), rest


def _check_flag(name: str, flag: str, seen: list[tuple[str, str]], source: Source) -> None:
    if flag not in _FLAGS.get(name, ()):
        raise source.refuse(
            f"{name} --{flag} is not supported by the lab's builder.",
            cause=_why(name, flag),
            fix=f'Write {name} ["--{flag}", …].'
            if name in {"CMD", "ENTRYPOINT"}
            else f"Omit it, or {_OTHER_BUILDER}.",
        )
    if any(flag == known for known, _ in seen):
        raise source.refuse(f"{name} has --{flag} twice.", fix="Keep one of them.")


def _why(name: str, flag: str) -> str:
    if name in {"CMD", "ENTRYPOINT"}:
        return f"Words after {name} that begin with -- are flags of {name} itself, as in Docker."
    reasons = {
        ("COPY", "from"): "It only builds one stage; there is no other to copy from.",
        ("RUN", "mount"): "Cache, secret and bind mounts need BuildKit.",
        ("RUN", "network"): "A RUN always has this machine's network.",
    }
    return reasons.get((name, flag), "")


def _check_order(instructions: list[Instruction], file: Path) -> None:
    stages = [i for i in instructions if i.name == "FROM"]
    if not stages:
        raise ImageError(f"{file}: there is no FROM.", fix="Start with a base image: FROM python:3.11-slim.")
    if len(stages) > 1:
        fix = f"Use one stage (build wheels separately), or {_OTHER_BUILDER}."
        raise stages[1].source.refuse("Several stages are not supported by the lab's builder.", fix=fix)
    first = next(i for i in instructions if i.name != "ARG")
    if first.name != "FROM":
        raise first.source.refuse(f"{first.name} comes before FROM.", fix="Move it after FROM.")
