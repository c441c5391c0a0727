"""How one container is isolated: a frozen description, and the resulting bubblewrap arguments.

A complete image is its own root. An image made by `localcluster image build` contains only what its
Dockerfile adds, and is layered on the host's `/usr` and Python. Either way the host's home, tmp and processes
are hidden; the network is the host's loopback. Starts nothing: `container.py` does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from localcluster.images.confine import NO_CAPABILITIES, proc
from localcluster.node.process import held, mounting, seccomp

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_NAMESPACES = ("--unshare-uts", "--unshare-user", "--unshare-pid", "--as-pid-1")
_BESIDE = ("--unshare-uts",)
_SHARED = (("user", "--userns"), ("pid", "--pidns"))  # of the target container, to see its processes
_SHARED_MEMORY = 64 * 2**20  # bytes in /dev/shm, as containerd gives; no process is seen to hold them


@dataclass(frozen=True)
class Mount:
    """A host folder or file and where the container finds it."""

    source: Path
    target: str
    read_only: bool = False
    within: Path | None = None  # no link may lead out of this folder; containers can write there


@dataclass(frozen=True)
class Streams:
    """stdin of a container, and whether it ends with its first client's; or a terminal."""

    terminal: bool
    once: bool


@dataclass(frozen=True)
class Sandbox:
    """Everything that decides what a container sees. `scratch` is its writable layer, new for each run."""

    rootfs: Path
    scratch: Path
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    cwd: str = "/"
    host: tuple[str, ...] = ()  # options that put the host's /usr and Python under an incomplete image
    mounts: tuple[Mount, ...] = ()
    uid: int = 0
    gid: int = 0
    hostname: str = "localhost"
    hosts: str = "127.0.0.1\tlocalhost\n::1\tlocalhost\n"
    resolver: str = ""
    read_only_root: bool = False
    closed: tuple[str, ...] = ()  # folders of the image that the user can't write, as `/etc`
    holder: int = 0  # the process that holds the pod's volumes in memory (`holder.py`); 0: none
    streams: Streams | None = None  # of a container that has stdin or a terminal
    target: int | None = None  # the first process of the container whose processes this one shall see
    filtered: bool = False  # by the seccomp profile RuntimeDefault
    pods_ipc: bool = False  # started in its pod's IPC namespace, which it keeps


@dataclass
class Opened:
    """What bubblewrap gets by descriptor, mounts above all: its options, and what the holder opens."""

    words: list[str] = field(default_factory=list)
    handles: list[int] = field(default_factory=list)
    places: list[str] = field(default_factory=list)


def prepare(box: Sandbox) -> None:
    """Make the writable layer and the few files of /etc that every container needs."""
    layers = [f"closed{place}/{name}" for place in box.closed for name in ("rw", "work")]
    for name in ("rw", "work", "seed/etc", *layers):
        (box.scratch / name).mkdir(parents=True, exist_ok=True)
    etc = box.scratch / "seed" / "etc"
    etc.chmod(0o755)
    (etc / "hosts").write_text(box.hosts)
    (etc / "hostname").write_text(f"{box.hostname}\n")
    (etc / "resolv.conf").write_text(box.resolver)


def arguments(box: Sandbox, volumes: Sequence[str] = ()) -> list[str]:
    """The options for `bwrap --args`, without the command itself; `volumes` are those of `opened`."""
    return [
        *(_NAMESPACES if box.target is None else _BESIDE),
        *(() if box.pods_ipc else ("--unshare-ipc",)),
        *NO_CAPABILITIES,
        *("--uid", str(box.uid), "--gid", str(box.gid), "--hostname", box.hostname, "--clearenv"),
        *_root(box),
        *proc(),
        *_devices(),
        *("--perms", "1777", "--dir", "/tmp"),  # noqa: S108 - the container's own
        *volumes,
        *(word for place in ("/", *box.closed) for word in _remounted(box, place)),
        *(word for key, value in box.env.items() for word in ("--setenv", key, value)),
        *("--chdir", box.cwd or "/"),
    ]


def _remounted(box: Sandbox, place: str) -> tuple[str, ...]:
    """Read-only from now on: the places to mount volumes at are made."""
    return ("--remount-ro", place) if box.read_only_root or place != "/" else ()


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
    words = _layered(box, "/", box.scratch)
    for place in box.closed:
        words += _layered(box, place, box.scratch / f"closed{place}")
    if box.host:
        words += box.host
        for name in ("hosts", "resolv.conf"):
            words += ["--ro-bind", str(seed / "etc" / name), f"/etc/{name}"]
    return words


def _layered(box: Sandbox, place: str, scratch: Path) -> list[str]:
    """A folder of the image with the files that every container needs, and a writable layer."""
    below = [base / place.lstrip("/") for base in (box.rootfs, box.scratch / "seed")]
    words = [word for folder in below if folder.is_dir() for word in ("--overlay-src", str(folder))]
    if _no_upper_layer(box.scratch):
        return [*words, "--tmp-overlay", place]
    return [*words, "--overlay", str(scratch / "rw"), str(scratch / "work"), place]


def _no_upper_layer(scratch: Path) -> bool:
    """Whether the disk under `scratch` can't hold a writable layer, as an overlay can't lie on an overlay."""
    best, kind = "", ""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, fstype, *_ = line.split(" ")
        if scratch.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, fstype
    return kind in {"overlay", "aufs", "ecryptfs", "nfs", "nfs4"}


@contextmanager
def opened(box: Sandbox) -> Iterator[Opened]:
    """The mounts, outer ones first, ready for bubblewrap.

    What a container can write to is handed over as a descriptor: a link that replaces it after our check
    leads nowhere. Raises `Astray`.
    """
    found = Opened()
    try:
        if box.filtered:
            found.handles.append(seccomp.opened())
            found.words += ["--seccomp", str(found.handles[-1])]
        for kind, option in _SHARED if box.target is not None else ():
            found.handles.append(os.open(f"/proc/{box.target}/ns/{kind}", os.O_RDONLY))
            found.words += [option, str(found.handles[-1])]
        for target, mount in sorted(_targets(box), key=lambda found: found[0].count("/")):
            how = "--ro-bind" if mount.read_only else "--bind"
            if mount.within is None:
                found.words += [how, str(mount.source), target]
                continue
            found.handles.append(_handle(box, mount, mount.within, found.places))
            found.words += [f"{how}-fd", str(found.handles[-1]), target]
        yield found
    finally:
        for handle in found.handles:
            os.close(handle)


def _handle(box: Sandbox, mount: Mount, within: Path, places: list[str]) -> int:
    """The descriptor of a mount's source; for one in memory only its number, because it can't be passed."""
    inner = str(mount.source.relative_to(within))
    folder = held.outside(box.holder, within)
    if folder is None:
        return mounting.opened(within, inner)
    handle = os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)
    places.append(f"{handle}:{folder}//{inner if inner != '.' else ''}")
    return handle


def _targets(box: Sandbox) -> Iterator[tuple[str, Mount]]:
    """Each mount with its real destination.

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
