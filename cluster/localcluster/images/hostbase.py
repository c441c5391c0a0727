"""The host as a replacement for a base image, because none can be pulled without a network.

A stand-in is the host's own `/usr` and Python, read-only at their own places, over a small skeleton
(`/etc/passwd`, `/tmp`, `/usr/local/bin/python3`, …). An image built on it can't have files where the host's
are: `covers` names those places, and the builder refuses. Building and running use the same stand-in.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from localcluster.images.folders import publish

_TOP = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ETC = (
    "alternatives", "ca-certificates", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
    "localtime", "mime.types", "pki", "resolv.conf", "ssl",
)  # fmt: skip
_FOLDERS = (
    "dev", "etc", "home", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "usr/local/bin",
    "usr/local/etc", "usr/local/lib", "usr/local/sbin", "usr/local/share", "var/cache", "var/lib", "var/log",
    "var/tmp",
)  # fmt: skip
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_SHEBANG = 120  # bytes of a script's first line that every Linux reads
_PIP = """#!{python}
import runpy

runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
_VERSION = 2  # increase it when the skeleton changes
STANDS_FOR = ("python",)
"""Images on docker.io that the host can stand in for: they need a Python, and nothing else."""
ENV = {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
"""The environment that such a base image sets."""


@dataclass(frozen=True)
class HostBase:
    """What of the host is put under an image: read-only paths, links, and the Python interpreter."""

    python: Path
    binds: tuple[Path, ...]
    links: tuple[tuple[str, str], ...]  # path, target

    @property
    def key(self) -> str:
        """Changes when the stand-in changes: another host, another Python."""
        told = (
            sys.version,
            str(self.python),
            [str(b) for b in self.binds],
            self.links,
            _FOLDERS,
            _FILES,
            _VERSION,
        )
        return hashlib.sha256(repr(told).encode()).hexdigest()[:32]

    def covers(self, path: Path) -> bool:
        """Whether the host's files hide what an image would bring at this absolute path."""
        linked = any(path.is_relative_to(f"/{name}") for name, _ in self.links)
        return linked or any(path.is_relative_to(bind) for bind in self.binds)

    def mounts(self) -> list[str]:
        """The bubblewrap options that put the host over a root made from `skeleton`."""
        return [word for bind in self.binds for word in ("--ro-bind", str(bind), str(bind))]

    def skeleton(self, cache_dir: Path) -> Path:
        """The lowest folder of the root: made once, then shared."""
        place = cache_dir / "rootfs" / f"base-{self.key}"
        if not place.is_dir():
            place.parent.mkdir(parents=True, exist_ok=True)
            fresh = Path(tempfile.mkdtemp(dir=place.parent, prefix=".base-"))
            self._fill(fresh)
            publish(fresh, place)
        return place

    def _fill(self, root: Path) -> None:
        root.chmod(0o755)
        for name in _FOLDERS:
            (root / name).mkdir(parents=True, exist_ok=True)
        for name in ("tmp", "var/tmp"):
            (root / name).chmod(0o1777)
        for name, text in _FILES.items():
            (root / name).write_text(text)
        for name, target in self.links:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).symlink_to(target)
        for bind in self.binds:
            _mount_point(root / bind.relative_to("/"), folder=bind.is_dir())
        if not self.covers(Path("/usr/local/bin")):
            self._programs(root / "usr/local/bin")

    def _programs(self, folder: Path) -> None:
        """Python and pip. Without a shell, because dash drops variables with names that it can't write."""
        for name in ("python", "python3", _minor()):
            (folder / name).symlink_to(self.python)
        for name in ("pip", "pip3"):
            (folder / name).write_text(_PIP.format(python=self._shebang()))
            (folder / name).chmod(0o755)

    def _shebang(self) -> str:
        """The interpreter for the first line of a script, where the kernel stops at a blank."""
        plain = " " not in str(self.python) and len(str(self.python)) < _SHEBANG
        return str(self.python) if plain else f"/usr/local/bin/{_minor()}"


def _minor() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


@cache
def host() -> HostBase:
    """The stand-in of this host, with the Python that runs this program."""
    links, binds = [], []
    children = [path for path in sorted(Path("/usr").iterdir()) if path.name != "local"]
    for path in (*children, *(Path("/", name) for name in _TOP)):
        if path.is_symlink():
            links.append((str(path.relative_to("/")), str(path.readlink())))
        elif path.is_dir():
            binds.append(path)
    binds += [path for name in _ETC if (path := Path("/etc", name)).exists()]
    prefix = Path(sys.base_prefix)
    interpreter = _interpreter(prefix)
    for place in (prefix, interpreter.resolve().parent.parent):
        wanted = Path("/usr/local") if place.is_relative_to("/usr/local") else place
        if not any(wanted.is_relative_to(bind) for bind in (*binds, Path("/usr"))) or wanted.name == "local":
            binds.append(wanted)
    if Path("/usr/local") not in binds and prefix != Path("/usr"):
        links += _library(prefix)
    return HostBase(interpreter, tuple(dict.fromkeys(binds)), tuple(links))


def _interpreter(prefix: Path) -> Path:
    named = prefix / "bin" / _minor()
    return named if named.exists() else Path(getattr(sys, "_base_executable", sys.executable))


def _library(prefix: Path) -> list[tuple[str, str]]:
    """Links to Python's library next to the links to its program.

    A venv that is made through those looks for the library near them, going up; without these it would find
    that of the host's own /usr/lib, which belongs to another Python.
    """
    places = {f"usr/local/{part}/{_minor()}": prefix / part / _minor() for part in ("lib", "include")}
    return [(link, str(place)) for link, place in places.items() if place.is_dir()]


def _mount_point(place: Path, *, folder: bool) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if folder:
        place.mkdir(exist_ok=True)
    else:
        place.touch()
