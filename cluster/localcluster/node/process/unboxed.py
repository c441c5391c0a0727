"""The documented fallback without user namespaces: a container as a plain process, not isolated.

Paths in the image or a volume are translated to their real location, in command, working directory and
environment. Nothing else can be translated: a program that opens `/var/run/secrets/...` by itself finds
nothing there. Refuses complete images (their programs need their own root). Never use it for other people's
code: the process can read everything that the user can.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

from localcluster import spawn
from localcluster.gpus import handout
from localcluster.node.process import container
from localcluster.node.process.container import Place, Run, StartFailure
from localcluster.node.process.environment import ConfigError
from localcluster.node.process.sandbox import DEFAULT_PATH, Sandbox

WARNING = (
    "This container runs without isolation: it sees this machine's files, as its user, and paths of volumes "
    "only where its command or environment name them. Cause: the host refuses user namespaces. "
    "Fix: see `localcluster doctor`, and run only your own images until then."
)

_NOTING = Path(__file__).with_name("noting.py")


def translate(box: Sandbox) -> Sandbox:
    """The same container with every path named as the host knows it."""
    if not box.host:
        raise ConfigError("a complete image can't run on this host, which denies user namespaces")
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
    """The real location of a container's path: in a volume, in the image, or on the host."""
    for mount in sorted(box.mounts, key=lambda m: -len(m.target)):
        if Path(path).is_relative_to(mount.target):
            return mount.source / Path(path).relative_to(mount.target)
    for mount in box.mounts:  # the folder that GPUs are handed out in is no mount itself
        if Path(mount.target).parent == Path(path) and mount.target.startswith(f"{handout.GPU_DIR}/"):
            return mount.source.parent
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
        for _ in range(20):  # more links than the kernel follows
            if not found.is_symlink():
                return str(found), packages if venv else None
            target = found.readlink()
            found = _real(str(target), box) if target.is_absolute() else found.parent / target
    raise ConfigError(f'exec: "{word}": executable file not found in $PATH')


async def start(box: Sandbox, place: Place) -> Run:
    """Start a translated container; a program records its pid and exit code as bubblewrap would."""
    folder, log = place.folder, place.log
    container.note_group(folder)
    env = box.env | {spawn.MARKER: str(place.lab_dir)}
    noting = [sys.executable, "-I", "-S", str(_NOTING), str(folder / "status")]
    began = time.time()
    try:
        monitor = spawn.popen(
            [*container.streamed(box, folder), *noting, *container.led(box)],
            log=log,
            cwd=Path(box.cwd),
            env=env,
        )
    except OSError as error:
        raise StartFailure(f"could not start {box.argv[0]}: {error}") from error
    return await container.started(monitor, folder=folder, log=log, began=began)
