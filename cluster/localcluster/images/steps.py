"""What each instruction of a Dockerfile does to the image.

Differences from Docker, each with a note or error: owners are always 0:0, modes are 0755 or 0644, a RUN can't
change what the host stands in for, and keeps nothing in `/tmp` and `/run`.
"""

from __future__ import annotations

import posixpath
import re
import signal
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from localcluster.images import layers, sandbox
from localcluster.images.context import fingerprint
from localcluster.images.dockerfile import Instruction
from localcluster.images.layers import Entry, Layer
from localcluster.images.stage import Stage
from localcluster.images.words import BLANKS

_SHELL = ("/bin/sh", "-c")
_SYSTEM = re.compile(r"\b(apt-get|apt|apk|dnf|yum|adduser|useradd|addgroup|groupadd|chown)\b")
_PORT = re.compile(r"\d{1,5}(-\d{1,5})?(/(tcp|udp|sctp))?")


def _arg(stage: Stage, instruction: Instruction) -> str:
    for name, default in stage.words(instruction).arguments(instruction.text):
        words = stage.words(instruction)  # with those before it on this line, unlike ENV's
        stage.declare(name, None if default is None else words.expand(default))
    return ""


def _env(stage: Stage, instruction: Instruction) -> str:
    stage.set_env(stage.words(instruction).values(instruction.text))
    return ""


def _label(stage: Stage, instruction: Instruction) -> str:
    stage.labels.update(stage.words(instruction).values(instruction.text))
    return ""


def _user(stage: Stage, instruction: Instruction) -> str:
    user = stage.words(instruction).expand(instruction.text)
    if not user:
        raise instruction.source.refuse("USER has no name.", fix="Write a number: USER 10001.")
    stage.set(user=user)
    return ""


def _expose(stage: Stage, instruction: Instruction) -> str:
    ports = [port for word in BLANKS.split(instruction.text) for port in _ports(stage, instruction, word)]
    for port in ports:
        if not _PORT.fullmatch(port):
            raise instruction.source.refuse(
                f"`{port}` is not a port.", fix="Write EXPOSE 8000 or EXPOSE 8000/tcp."
            )
    named = [one for port in ports for one in _each(instruction, port)]
    stage.set(exposed_ports=tuple(dict.fromkeys((*stage.runs.exposed_ports, *named))))
    return ""


def _ports(stage: Stage, instruction: Instruction, word: str) -> list[str]:
    """What a word says: several ports if a variable holds them, unless they are quoted."""
    text = stage.words(instruction).expand(word).lower()
    return [text] if {"'", '"'} & set(word) else text.split()


def _each(instruction: Instruction, port: str) -> list[str]:
    """Each port of a range, with its protocol."""
    numbers, _, protocol = port.partition("/")
    first, _, last = numbers.partition("-")
    low, high = int(first), int(last or first)
    if not 0 < low <= high <= 65535:
        raise instruction.source.refuse(f"`{port}` is not a port.", fix="Write EXPOSE 8000 or 8000-8002.")
    return [f"{number}/{protocol or 'tcp'}" for number in range(low, high + 1)]


def _stop_signal(stage: Stage, instruction: Instruction) -> str:
    text = stage.words(instruction).expand(instruction.text)
    name = f"SIG{text.upper().removeprefix('SIG')}"
    known = (
        text in {str(int(one)) for one in signal.Signals}
        if text.isdigit()
        else name in signal.Signals.__members__
    )
    if not known:
        raise instruction.source.refuse(f"`{text}` is not a signal.", fix="Write STOPSIGNAL SIGTERM.")
    stage.set(stop_signal=text.upper())
    return ""


def _entrypoint(stage: Stage, instruction: Instruction) -> str:
    """A CMD of the base image was made for the base's program; one of this Dockerfile stays."""
    stage.set(entrypoint=_program(stage, instruction), cmd=stage.runs.cmd if stage.cmd_is_own else ())
    return ""


def _cmd(stage: Stage, instruction: Instruction) -> str:
    stage.set(cmd=_program(stage, instruction))
    stage.cmd_is_own = True
    return ""


def _shell(stage: Stage, instruction: Instruction) -> str:
    stage.set(shell=tuple(instruction.words() or ()))
    return ""


def _no_healthcheck(_stage: Stage, _instruction: Instruction) -> str:
    return ""


def _workdir(stage: Stage, instruction: Instruction) -> str:
    wanted = stage.words(instruction).expand(instruction.text)
    if not wanted:
        raise instruction.source.refuse("WORKDIR has no folder.", fix="WORKDIR /app")
    folder = _absolute(stage, wanted)
    stage.set(workdir=folder)
    path = folder.lstrip("/")
    if not path or _is_folder(stage, folder):
        return ""
    _check_cover(stage, instruction, folder)
    return stage.add(("WORKDIR", folder), lambda: _pack(stage, [Entry(path, folder=True)]))


def _copy(stage: Stage, instruction: Instruction) -> str:
    written = instruction.words() or _at_blanks(instruction)
    words = [stage.words(instruction).expand(word) for word in written]
    entries = _copied(stage, instruction, words[:-1], words[-1])
    flags = {key: stage.words(instruction).expand(value) for key, value in instruction.flags}
    if "chown" in flags:
        stage.builder.say(f"note: {instruction.source}: --chown has no effect, owners are 0:0")
    if "chmod" in flags:
        entries = _with_mode(instruction, entries, flags["chmod"])
    told = ("COPY", words, fingerprint(entries))
    return stage.add(told, lambda: _pack(stage, entries))


def _at_blanks(instruction: Instruction) -> list[str]:
    words = BLANKS.split(instruction.text)
    for word in words:
        if any(word.count(quote) % 2 for quote in "\"'"):
            raise instruction.source.refuse(
                f"COPY also splits at blanks inside quotes, as in Docker: {instruction.text}",
                fix='Write names with blanks as a list: COPY ["my file", "/app/"].',
            )
    return words


def _copied(stage: Stage, instruction: Instruction, sources: list[str], wanted: str) -> list[Entry]:
    context, source = stage.builder.context, instruction.source
    target = _absolute(stage, wanted)
    _check_cover(stage, instruction, target)
    found = [place for name in sources for place in context.find(name, source)]
    into = wanted.endswith(("/", "/.")) or wanted in {".", ".."}
    if len(found) > 1 and not into:
        raise source.refuse(
            f"COPY takes several sources to `{wanted}`, which does not end with a slash.",
            fix=f"Add a slash to the destination: {wanted}/",
        )
    entries: dict[str, Entry] = {}
    for place in found:
        inside = target
        if not place.is_dir() and (into or _is_folder(stage, target)):
            inside = posixpath.join(target, place.name)
        for entry in context.entries(place, inside.lstrip("/"), source):
            entries[entry.path] = entry
    entries.pop("", None)
    return list(entries.values())


def _with_mode(instruction: Instruction, entries: list[Entry], mode: str) -> list[Entry]:
    if not re.fullmatch(r"0?[0-7]{3}", mode):
        raise instruction.source.refuse(
            f"--chmod={mode} is not an octal mode.", fix="Write it as --chmod=755."
        )
    return [Entry(e.path, int(mode, 8), e.source, e.target, e.folder) for e in entries]


def _run(stage: Stage, instruction: Instruction) -> str:
    if stage.stack.base:
        stage.host_python = str(stage.stack.base.python)
    argv = list(_program(stage, instruction))
    env = stage.variables
    told = ("RUN", argv, sorted(env.items()), stage.runs.user, stage.runs.workdir)
    return stage.add(told, lambda: _execute(stage, instruction, argv))


def _execute(stage: Stage, instruction: Instruction, argv: list[str]) -> Layer:
    builder, root, base = stage.builder, stage.root(), stage.stack.base
    user = ":".join(_ids(stage.runs.user, root, instruction))
    command = sandbox.Command(argv, root, base, stage.variables, user, stage.runs.workdir, builder.wheels)
    work = builder.store.cache_dir / "rootfs"
    with sandbox.run(command, work=work, on_line=builder.say) as result:
        if result.status:
            raise instruction.source.refuse(
                f"RUN ended with exit status {result.status}: {instruction.text}",
                cause=_likely(stage, instruction.text, result.tail),
                fix="Fix the command; its last lines were:\n" + result.tail,
            )
        notes: list[str] = []
        entries = layers.from_overlay(result.upper, ignored=sandbox.ignored(base), notes=notes)
        layer = layers.write(builder.store.blobs, entries)
    for note in notes:
        builder.say(f"note: {note}")
    return layer


def _likely(stage: Stage, command: str, tail: str) -> str:
    if found := _SYSTEM.search(command):
        return (
            f"`{found[1]}` needs a base image of its own and several users; the lab's builder has the host's "
            "read-only base and one user. Install Python packages into /opt/venv, or build with docker."
        )
    if "No matching distribution found" in tail and stage.builder.wheels:
        return "Only the cached wheels of requirements.txt can be installed; use `--no-wheels` "
        "to install others."
    if "Read-only file system" in tail:
        return "It writes to a folder where the host stands in for the base image. Write to "
        "/opt, /app or /usr/local."
    return ""


def _ids(user: str, root: Path, instruction: Instruction) -> tuple[str, str]:
    """The numbers of `user[:group]`; users that are not in /etc/passwd have group 0, as in Docker."""
    name, _, group = (user or "0").partition(":")
    known = _line(root / "etc/passwd", name)
    if not known and not name.isdigit():
        raise instruction.source.refuse(
            f"There is no user `{name}` in the image.",
            cause="Its /etc/passwd has no such user.",
            fix="Write a number, as in USER 10001: Kubernetes' runAsNonRoot can only check numbers anyway.",
        )
    uid, own = (known[2], known[3]) if known else (name, "0")
    if not group or group.isdigit():
        return uid, group or own
    if found := _line(root / "etc/group", group):
        return uid, found[2]
    fix = f"Write its number, as in USER {name}:10001."
    raise instruction.source.refuse(f"There is no group `{group}` in the image.", fix=fix)


def _line(file: Path, wanted: str) -> list[str]:
    """The line of /etc/passwd or /etc/group that has this name or number; empty if there is none."""
    text = file.read_text() if file.is_file() and not file.is_symlink() else ""
    lines = [line.split(":") for line in text.splitlines() if line.count(":") >= 3]
    return next((fields for fields in lines if wanted in {fields[0], fields[2]}), [])


def _program(stage: Stage, instruction: Instruction) -> tuple[str, ...]:
    words = instruction.words()
    return tuple(words) if words is not None else (*(stage.runs.shell or _SHELL), instruction.text)


def _absolute(stage: Stage, path: str) -> str:
    return posixpath.normpath("/" + posixpath.join(stage.runs.workdir, path).lstrip("/"))


def _check_cover(stage: Stage, instruction: Instruction, target: str) -> None:
    base = stage.stack.base
    if base and base.covers(Path(target)):
        raise instruction.source.refuse(
            f"{instruction.name} writes to {target}, which is hidden by the host's files.",
            cause=f"The host stands in for {stage.base_name}; its files are read-only and hide the image's.",
            fix="Use /app, /opt or /usr/local, or build with `--builder docker`.",
        )


def _is_folder(stage: Stage, target: str) -> bool:
    """Whether the image so far has a folder there (links of the image are not followed)."""
    here = stage.root()
    for part in PurePosixPath(target).parts[1:]:
        here /= part
        if here.is_symlink() or not here.is_dir():
            return False
    return True


def _pack(stage: Stage, entries: list[Entry]) -> Layer:
    return layers.write(stage.builder.store.blobs, entries)


STEPS: dict[str, Callable[[Stage, Instruction], str]] = {
    "ARG": _arg,
    "ENV": _env,
    "LABEL": _label,
    "USER": _user,
    "EXPOSE": _expose,
    "STOPSIGNAL": _stop_signal,
    "SHELL": _shell,
    "ENTRYPOINT": _entrypoint,
    "CMD": _cmd,
    "HEALTHCHECK": _no_healthcheck,
    "WORKDIR": _workdir,
    "COPY": _copy,
    "RUN": _run,
}
