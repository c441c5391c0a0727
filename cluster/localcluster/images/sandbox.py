"""Runs one RUN instruction: the image so far under bubblewrap, all that it writes in a separate folder.

The command sees the image, the host's read-only base and the host's network, and nothing else of the host.
It is one user (the Dockerfile's USER), so it can't install system packages or give files to other users.
What it leaves in `/tmp` and `/run` is not kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from localcluster import spawn
from localcluster.errors import ImageError
from localcluster.images import blocking, package_index
from localcluster.images.confine import NO_CAPABILITIES, proc
from localcluster.images.folders import delete
from localcluster.images.hostbase import HostBase
from localcluster.images.layers import epoch
from localcluster.toolchain import namespaces
from localcluster.toolchain.locate import bwrap

INSIDE = Path("/run/labkit")
"""Where a RUN sees files of the host that it needs (certificates, wheels)."""
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PIP_FILES = ("PIP_CERT", "PIP_CLIENT_CERT")
_QUIET = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore", "PIP_PROGRESS_BAR": "off"}
_UNKEPT = ("proc", "dev", "run", "tmp")
_OLDEST = 315532800  # 1980: zip files can't have earlier dates, so wheels could not be built


@dataclass(frozen=True)
class Command:
    """What to run: the root so far, user and folder, and the wheels to install from, if any."""

    argv: Sequence[str]
    root: Path
    base: HostBase | None
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = "0:0"  # numbers of user and group
    workdir: str = "/"
    wheels: Path | None = None


@dataclass(frozen=True)
class Result:
    """How the command ended, and the overlay's upper folder with what it wrote."""

    status: int
    upper: Path
    tail: str  # its last lines


@contextlib.contextmanager
def run(command: Command, *, work: Path, on_line: Callable[[str], object]) -> Iterator[Result]:
    """Run to the end, each line of output passed to `on_line`; what it wrote is deleted after the block."""
    work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=work, prefix="run-"))
    try:
        for name in ("upper", "work"):
            (folder / name).mkdir(mode=0o755)
        status, tail = blocking.run(_attend(command, _options(command, folder), on_line))
        if status and tail.startswith("bwrap: "):
            raise _no_sandbox(tail)
        yield Result(status, folder / "upper", tail)
    finally:
        delete(folder)


def ignored(base: HostBase | None) -> set[str]:
    """Paths below the root that belong to the sandbox and not to the image."""
    own = [str(bind.relative_to("/")) for bind in base.binds] if base else ["etc/resolv.conf", "etc/hosts"]
    return {*_UNKEPT, *own}


def _options(command: Command, folder: Path) -> list[str | Path]:
    shown = _shown(command)
    argv: list[str | Path] = [
        *NO_CAPABILITIES,
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
    ]
    uid, _, gid = command.user.partition(":")
    argv += ["--die-with-parent", "--hostname", "labkit-build", "--uid", uid, "--gid", gid]
    argv += ["--overlay-src", command.root, "--overlay", folder / "upper", folder / "work", "/"]
    argv += command.base.mounts() if command.base else _network_files()
    argv += [*proc(), "--dev", "/dev", "--tmpfs", "/run", "--tmpfs", "/tmp"]  # noqa: S108 (its own)
    for source, inside in shown.binds:
        argv += ["--ro-bind", source, inside]
    argv += ["--clearenv"]
    for key, value in shown.env.items():
        argv += ["--setenv", key, value]
    return [*argv, "--chdir", command.workdir]


def _network_files() -> list[str]:
    return [w for name in ("/etc/resolv.conf", "/etc/hosts") for w in ("--ro-bind-try", name, name)]


@dataclass(frozen=True)
class _Shown:
    env: dict[str, str]
    binds: list[tuple[Path, Path]]


def _shown(command: Command) -> _Shown:
    """The environment of the command, and the host's files that it points to."""
    date = str(max(epoch(), _OLDEST))
    home = "/root" if command.user.startswith("0:") else "/"
    shown = _Shown({"HOME": home, **_QUIET, "SOURCE_DATE_EPOCH": date, "PYTHONHASHSEED": "0"}, [])
    shown.env.update({key: os.environ[key] for key in (*_PROXIES, *_CERTIFICATES) if os.environ.get(key)})
    shown.env.update(package_index.settings())
    for key in (*_CERTIFICATES, *_PIP_FILES):
        if value := shown.env.get(key):
            shown.env[key] = _show(shown, value, key.lower(), command.base)
    if links := shown.env.get("PIP_FIND_LINKS"):
        words = [_show(shown, word, f"links-{n}", command.base) for n, word in enumerate(links.split())]
        shown.env["PIP_FIND_LINKS"] = " ".join(words)
    if command.wheels:
        wheels = _show(shown, str(command.wheels.resolve()), "wheels", None)
        shown.env.update(PIP_FIND_LINKS=wheels, PIP_NO_INDEX="1")
    shown.env.update(command.env)
    return shown


def _show(shown: _Shown, value: str, name: str, base: HostBase | None) -> str:
    """Make a host's path visible to the command; URLs and paths that it sees anyway stay unchanged."""
    path = Path(value)
    if not path.is_absolute() or not path.exists() or (base and base.covers(path)):
        return value
    inside = INSIDE / name / path.name
    shown.binds.append((path, inside))
    return str(inside)


async def _attend(
    command: Command, options: Sequence[str | Path], on_line: Callable[[str], object]
) -> tuple[int, str]:
    with _unseen(options) as args:
        words = [os.fsdecode(word.encode()) for word in command.argv]  # UTF-8, whatever this user's locale is
        argv: list[str | Path] = [bwrap(), "--args", str(args), "--", *words]
        process = await spawn.start(argv, stderr=asyncio.subprocess.STDOUT, pass_fds=(args,))
    assert process.stdout is not None
    tail: list[str] = []
    try:
        async for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip("\n")
            tail = [*tail[-19:], line]
            on_line(line)
        return await process.wait(), "\n".join(tail)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


@contextlib.contextmanager
def _unseen(options: Sequence[str | Path]) -> Iterator[int]:
    """Options in a descriptor, because their environment can contain the password of a package index."""
    handle = os.memfd_create("bwrap-args", 0)
    try:
        os.write(handle, b"".join(str(word).encode() + b"\0" for word in options))
        os.lseek(handle, 0, os.SEEK_SET)
        yield handle
    finally:
        os.close(handle)


def _no_sandbox(tail: str) -> ImageError:
    if said := namespaces.refused():
        cause, fix = namespaces.explained(said)
        return ImageError(
            f"RUN could not be started: {tail}",
            cause=cause,
            fix=f"{fix}\n  For an image: localcluster image build --builder docker",
        )
    return ImageError(
        f"RUN could not be started: {tail}",
        cause="This host denies overlays to ordinary users, or the cache is on a disk that can't hold one "
        "(NFS, another overlay).",
        fix="Set LABKIT_CACHE to a local disk, or build with `--builder docker`.",
    )
