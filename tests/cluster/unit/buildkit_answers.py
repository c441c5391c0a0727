"""BuildKit's answers about a Dockerfile in the same form as ours, so that both can be compared."""

from __future__ import annotations

import base64
import posixpath
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from labkit.errors import ImageError
from localcluster.images import dockerfile
from localcluster.images.build import Request, build
from localcluster.images.dockerfile import Instruction
from localcluster.images.manifest import machine
from localcluster.images.reference import parse
from localcluster.images.store import Store
from localcluster.images.words import BLANKS, Words
from tests.oracles.program import Answer, Oracle

Read = list[tuple[str, object]]
"""Instructions: each a name, and what was understood, before variables are replaced."""


def encoded(data: bytes) -> str:
    """As the oracle takes a text."""
    return base64.b64encode(data).decode()


def read(folder: Path, data: bytes) -> Read | ImageError:
    """What our parser makes of a Dockerfile, or why it refuses it."""
    file = folder / "Dockerfile"
    file.write_bytes(data)
    try:
        return [(one.name, _ours(one)) for one in dockerfile.read(file)]
    except ImageError as error:
        return error


def parsed(oracle: Oracle, files: Sequence[bytes]) -> list[Read | str]:
    """What BuildKit's parser makes of Dockerfiles, or its error."""
    answers = oracle.ask([{"do": "parse", "text": encoded(data)} for data in files])
    return [found["error"] if "error" in found else _theirs(found) for found in answers]


def configured(store: Store, context: Path, data: bytes, args: Mapping[str, str]) -> object | ImageError:
    """The configuration of the image that our builder makes, or why it refuses to."""
    context.mkdir(exist_ok=True)
    (context / "Dockerfile").write_bytes(data)
    try:
        image = build(Request(context, parse("made:1"), args=args), store)
    except ImageError as error:
        return error
    return _config(image.document["config"])


def configurations(oracle: Oracle, files: Sequence[bytes], args: Mapping[str, str]) -> list[object | str]:
    """The configurations of the images that BuildKit makes, or its errors."""
    questions = [{"do": "image", "text": encoded(d), "args": args, "arch": machine()} for d in files]
    return [a["error"] if "error" in a else _config(a["answer"]) for a in oracle.ask(questions)]


def _ours(one: Instruction) -> object:
    words = Words({}, one.source, one.escape)
    forms: dict[str, Callable[[], object]] = {
        **dict.fromkeys(("RUN", "CMD", "ENTRYPOINT"), lambda: _program(one)),
        **dict.fromkeys(("ENV", "LABEL"), lambda: words.pairs(one.text)),
        "SHELL": one.words,
        "ARG": lambda: words.arguments(one.text),
        "COPY": lambda: (one.words() or BLANKS.split(one.text), dict(one.flags)),
        "FROM": lambda: (BLANKS.split(one.text), dict(one.flags)),
        "EXPOSE": lambda: sorted(BLANKS.split(one.text)),
        "HEALTHCHECK": one.text.upper,
    }
    return forms[one.name]() if one.name in forms else one.text


def _program(one: Instruction) -> tuple[list[str], bool]:
    """The words, and whether a shell is put before them."""
    listed = one.words()
    return ([one.text], True) if listed is None else (listed, False)


def _theirs(found: Answer) -> Read:
    return [(one["Name"], _their(one["Name"], one["What"])) for one in found["answer"]["instructions"]]


def _their(name: str, what: Mapping[str, Any]) -> object:
    if what.get("Files") or what.get("SourceContents"):
        return "a here-document"
    forms: dict[str, Callable[[], object]] = {
        **dict.fromkeys(("RUN", "CMD", "ENTRYPOINT"), lambda: (what["CmdLine"] or [], what["PrependShell"])),
        "ENV": lambda: [(pair["Key"], pair["Value"]) for pair in what["Env"]],
        "LABEL": lambda: [(pair["Key"], pair["Value"]) for pair in what["Labels"]],
        "SHELL": lambda: what["Shell"],
        "ARG": lambda: [(pair["Key"], pair["Value"]) for pair in what["Args"]],
        "COPY": lambda: ([*(what["SourcePaths"] or []), what["DestPath"]], _set(what, "Chown", "Chmod")),
        "FROM": lambda: (
            [what["BaseName"], *(["AS", what["Name"]] if what["Name"] else [])],
            _set(what, "Platform"),
        ),
        "EXPOSE": lambda: what["Ports"],
        "HEALTHCHECK": lambda: " ".join(what["Health"]["Test"] or []),
        "USER": lambda: what["User"],
        "WORKDIR": lambda: what["Path"],
        "STOPSIGNAL": lambda: what["Signal"],
    }
    return forms[name]() if name in forms else what


def _set(what: Mapping[str, Any], *flags: str) -> dict[str, str]:
    return {flag.lower(): what[flag] for flag in flags if what[flag]}


def _config(config: Mapping[str, Any]) -> object:
    """What is run, and how; SIGTERM is what a container is stopped with anyway."""
    folder = posixpath.normpath(config.get("WorkingDir") or "/")
    signal = (config.get("StopSignal") or "SIGTERM").upper()
    lists = {name: config.get(name) or [] for name in ("Cmd", "Entrypoint", "Shell")}
    sets = {name: sorted(config.get(name) or []) for name in ("Env", "ExposedPorts")}
    return lists | sets | {"dir": folder, "stop": signal, "labels": config.get("Labels") or {}}
