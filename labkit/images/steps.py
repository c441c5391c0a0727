"""What each instruction of a Dockerfile does to the image under way.

Differences from Docker, each named where it strikes: owners are always 0:0, modes are 0755 or 0644, a RUN
can't change what the host stands in for, and keeps nothing in `/tmp` and `/run`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from labkit.images import layers, sandbox
from labkit.images.context import fingerprint
from labkit.images.dockerfile import Instruction
from labkit.images.layers import Entry, Layer
from labkit.images.stage import Stage
from labkit.images.words import pairs, raw_words, split

_SHELL = ("/bin/sh", "-c")
_SYSTEM = re.compile(r"\b(apt-get|apt|apk|dnf|yum|adduser|useradd|addgroup|groupadd|chown)\b")
_PORT = re.compile(r"\d{1,5}(-\d{1,5})?(/(tcp|udp|sctp))?")


def _arg(stage: Stage, instruction: Instruction) -> str:
    for word in raw_words(instruction.text, instruction.source):
        name, equals, default = word.partition("=")
        value = split(default, stage.variables, instruction.source) if equals else []
        stage.declare(name, "".join(value) if equals else None)
    return ""


def _env(stage: Stage, instruction: Instruction) -> str:
    stage.env.update(pairs(instruction.text, stage.variables, instruction.source))
    return ""


def _label(stage: Stage, instruction: Instruction) -> str:
    stage.labels.update(pairs(instruction.text, stage.variables, instruction.source))
    return ""


def _user(stage: Stage, instruction: Instruction) -> str:
    stage.set(user=" ".join(stage.split(instruction)))
    return ""


def _expose(stage: Stage, instruction: Instruction) -> str:
    ports = stage.split(instruction)
    for port in ports:
        if not _PORT.fullmatch(port):
            raise instruction.source.refuse(
                f"`{port}` is not a port.", fix="Write EXPOSE 8000 or EXPOSE 8000/tcp."
            )
    named = [port if "/" in port else f"{port}/tcp" for port in ports]
    stage.set(exposed_ports=tuple(dict.fromkeys((*stage.runs.exposed_ports, *named))))
    return ""


def _stop_signal(stage: Stage, instruction: Instruction) -> str:
    stage.set(stop_signal="".join(stage.split(instruction)))
    return ""


def _entrypoint(stage: Stage, instruction: Instruction) -> str:
    stage.set(entrypoint=_program(instruction), cmd=())
    return ""


def _cmd(stage: Stage, instruction: Instruction) -> str:
    stage.set(cmd=_program(instruction))
    return ""


def _no_healthcheck(_stage: Stage, _instruction: Instruction) -> str:
    return ""


def _workdir(stage: Stage, instruction: Instruction) -> str:
    folder = _absolute(stage, " ".join(stage.split(instruction)))
    stage.set(workdir=folder)
    path = folder.lstrip("/")
    if not path or _is_folder(stage, folder):
        return ""
    _check_cover(stage, instruction, folder)
    return stage.add(("WORKDIR", folder), lambda: _pack(stage, [Entry(path, folder=True)]))


def _copy(stage: Stage, instruction: Instruction) -> str:
    words = instruction.words()
    words = stage.split(instruction) if words is None else words
    if len(words) < 2:
        raise instruction.source.refuse("COPY needs a source and a destination.", fix="COPY server/ server/")
    entries = _copied(stage, instruction, words[:-1], words[-1])
    flags = dict(instruction.flags)
    if "chown" in flags:
        stage.builder.say(f"note: {instruction.source}: --chown has no effect, owners are 0:0")
    if "chmod" in flags:
        entries = _with_mode(instruction, entries, flags["chmod"])
    told = ("COPY", words, fingerprint(entries))
    return stage.add(told, lambda: _pack(stage, entries))


def _copied(stage: Stage, instruction: Instruction, sources: list[str], wanted: str) -> list[Entry]:
    context, source = stage.builder.context, instruction.source
    target = _absolute(stage, wanted)
    _check_cover(stage, instruction, target)
    found = [place for name in sources for place in context.find(name, source)]
    into = wanted.endswith(("/", "/.")) or wanted in {".", ".."}
    if len(found) > 1 and not into:
        raise source.refuse(
            f"COPY takes several sources to `{wanted}`, which is not written as a folder.",
            fix=f"End the destination with a slash: {wanted}/",
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
    argv = instruction.words() or [*_SHELL, instruction.text]
    env = stage.variables
    told = ("RUN", argv, sorted(env.items()), stage.runs.user, stage.runs.workdir)
    return stage.add(told, lambda: _execute(stage, instruction, argv))


def _execute(stage: Stage, instruction: Instruction, argv: list[str]) -> Layer:
    builder, root, base = stage.builder, stage.root(), stage.stack.base
    user = _user_id(stage.runs.user, root, instruction)
    command = sandbox.Command(argv, root, base, stage.variables, user, stage.runs.workdir, builder.wheels)
    work = builder.store.cache_dir / "rootfs"
    with sandbox.run(command, work=work, on_line=builder.say) as result:
        if result.status:
            raise instruction.source.refuse(
                f"RUN ended with exit status {result.status}: {instruction.text}",
                cause=_likely(stage, instruction.text, result.tail),
                fix="Mend the command; its last lines were:\n" + result.tail,
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
        return "Only the cached wheels of requirements.txt can be installed; `--no-wheels` lifts that."
    if "Read-only file system" in tail:
        return "It writes where the host stands in for the base image. Write below /opt, /app or /usr/local."
    return ""


def _user_id(user: str, root: Path, instruction: Instruction) -> str:
    name = user.partition(":")[0] or "0"
    if name.isdigit():
        return name
    passwd = root / "etc/passwd"
    lines = passwd.read_text().splitlines() if passwd.is_file() and not passwd.is_symlink() else []
    for line in lines:
        fields = line.split(":")
        if fields[0] == name:
            return fields[2]
    raise instruction.source.refuse(
        f"There is no user `{name}` in the image.",
        cause="Its /etc/passwd does not name it.",
        fix="Write a number, as in USER 10001: Kubernetes' runAsNonRoot can only check numbers anyway.",
    )


def _program(instruction: Instruction) -> tuple[str, ...]:
    words = instruction.words()
    return tuple(words) if words is not None else (*_SHELL, instruction.text)


def _absolute(stage: Stage, path: str) -> str:
    return posixpath.normpath("/" + posixpath.join(stage.runs.workdir, path).lstrip("/"))


def _check_cover(stage: Stage, instruction: Instruction, target: str) -> None:
    base = stage.stack.base
    if base and base.covers(Path(target)):
        raise instruction.source.refuse(
            f"{instruction.name} writes to {target}, which the host's files cover.",
            cause=f"The host stands in for {stage.base_name}; that is read-only and hides the image's files.",
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
    "ENTRYPOINT": _entrypoint,
    "CMD": _cmd,
    "HEALTHCHECK": _no_healthcheck,
    "WORKDIR": _workdir,
    "COPY": _copy,
    "RUN": _run,
}
