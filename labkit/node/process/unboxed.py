"""The stated fallback where user namespaces are refused: a container as a plain process, without walls.

Paths that the image or a volume brings are translated to where they really lie, in command, working directory
and environment. Nothing else can be: a program that opens `/var/run/secrets/...` by itself finds nothing
there. Refuses complete images (their programs need their own root). Never to be used for other
people's code: the process can read everything that the user can.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from labkit import _proc
from labkit.node.process import container
from labkit.node.process.container import Run, StartFailure
from labkit.node.process.environment import ConfigError
from labkit.node.process.sandbox import DEFAULT_PATH, Sandbox

WARNING = (
    "This container runs without isolation: it sees this machine's files, as its user, and paths of volumes "
    "only where its command or environment name them. Cause: the host refuses user namespaces. "
    "Fix: allow them (sysctl kernel.unprivileged_userns_clone=1), and run only your own images until then."
)

_SHIM = """
"$@" &
echo "{ \\"child-pid\\": $! }" >> "$LABKIT_STATUS"
wait $!
echo "{ \\"exit-code\\": $? }" >> "$LABKIT_STATUS"
"""


def translate(box: Sandbox) -> Sandbox:
    """The same container with every path named as the host knows it."""
    if not box.host:
        raise ConfigError("a complete image can't run on this host: it refuses user namespaces")
    env = {name: _translated(value, box) for name, value in box.env.items()}
    env["PATH"] = f"{env.get('PATH', '')}:{DEFAULT_PATH}"
    words = [_translated(word, box) for word in box.argv]
    program, library = _program(words[0], env["PATH"], box)
    if library:
        env["PYTHONPATH"] = ":".join(filter(None, [str(library), env.get("PYTHONPATH", "")]))
    cwd = str(_real(box.cwd or "/", box))
    return replace(box, argv=(program, *words[1:]), env=env, cwd=cwd)


def _translated(text: str, box: Sandbox) -> str:
    """Absolute paths in a value, also in a list of them parted by colons."""
    parts = text.split(":")
    if not any(part.startswith("/") for part in parts):
        return text
    return ":".join(str(_real(part, box)) if part.startswith("/") else part for part in parts)


def _real(path: str, box: Sandbox) -> Path:
    """Where a path of the container lies: in a volume, in the image, or where the host has it."""
    for mount in sorted(box.mounts, key=lambda m: -len(m.target)):
        if Path(path).is_relative_to(mount.target):
            return mount.source / Path(path).relative_to(mount.target)
    inside = box.rootfs / path.lstrip("/")
    brought = inside.exists() or inside.is_symlink()
    return inside if brought and path != "/" else Path(path)


def _program(word: str, path: str, box: Sandbox) -> tuple[str, Path | None]:
    """The program to start, links followed as inside the image; and a virtual environment's packages."""
    folders = [""] if "/" in word else path.split(":")
    for folder in folders:
        found = Path(folder) / word
        if not (found.exists() or found.is_symlink()):
            continue
        packages = next(iter(found.parent.parent.glob("lib/python*/site-packages")), None)
        venv = (found.parent.parent / "pyvenv.cfg").exists()
        for _ in range(20):  # as many links as the kernel follows, and then some
            if not found.is_symlink():
                return str(found), packages if venv else None
            target = found.readlink()
            found = _real(str(target), box) if target.is_absolute() else found.parent / target
    raise ConfigError(f'exec: "{word}": executable file not found in $PATH')


def _note_group(folder: Path) -> None:
    """For `Run.kill`: there is no pid namespace whose end would end all processes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "group").touch()


async def start(box: Sandbox, *, folder: Path, log: Path, lab_dir: Path) -> Run:
    """Start a translated container; a shell notes its pid and exit code as bubblewrap would."""
    _note_group(folder)
    env = box.env | {_proc.MARKER: str(lab_dir), "LABKIT_STATUS": str(folder / "status")}
    began = time.time()
    try:
        shell = _proc.popen(["/bin/sh", "-c", _SHIM, "sh", *box.argv], log=log, cwd=Path(box.cwd), env=env)
    except OSError as error:
        raise StartFailure(f"could not start {box.argv[0]}: {error}") from error
    return await container.started(shell, folder=folder, log=log, began=began)
