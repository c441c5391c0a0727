"""What a student's kernel can see: Python, labkit, a copy of their own files, and one folder of sockets.

No network (an empty one of its own), no other processes, none of the instructor's files, no other submission.
Writes go to a memory disk that ends with it. Refuses to run if bubblewrap can't isolate it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import course
import labkit_grading
from labkit.errors import ProviderError
from localcluster import spawn
from localcluster.images import hostbase
from localcluster.images.confine import NO_CAPABILITIES, proc
from localcluster.toolchain import namespaces
from localcluster.toolchain.locate import bwrap

HOME = "/home/student"
COURSE = "/course"
GRADER = "/grader"
PACKAGE = Path(labkit_grading.__file__).parent
NOTEBOOKS = f"{COURSE}/notebooks"  # where JupyterLab runs them
SCRATCH = 256 * 2**20  # bytes of each memory disk
MEANWHILE = "Until then, labkit collect takes a class in and runs nothing."
_OWN = ("--unshare-all", "--die-with-parent", "--new-session", "--hostname", "student")
_USER = ("--uid", "1000", "--gid", "1000")


@dataclass(frozen=True)
class Jail:
    """The learner's edition with this student's `manifests`; `sockets` is shared with the grader."""

    edition: Path
    seat: Path
    sockets: Path

    def argv(self, *command: str | Path) -> list[str]:
        """The command, wrapped in its sandbox."""
        words: list[str | Path] = [bwrap(), *_OWN, *NO_CAPABILITIES, *_USER, "--clearenv"]
        base = hostbase.host()
        for name, target in base.links:
            words += ["--symlink", target, f"/{name}"]
        words += [*base.mounts(), *proc(), "--dev", "/dev"]
        for place in ("/tmp", HOME):  # noqa: S108 - its own
            words += ["--size", str(SCRATCH), "--tmpfs", place]
        words += ["--ro-bind", sys.prefix, sys.prefix, "--ro-bind", self.edition, COURSE]
        for place in telling(Path(course.__file__).parent, Path(sys.prefix)):
            words += ["--tmpfs", place, "--remount-ro", place]
        words += ["--ro-bind", PACKAGE, f"{GRADER}/{PACKAGE.name}"]
        words += ["--ro-bind", self.seat / "manifests", f"{COURSE}/manifests"]
        words += ["--bind", self.sockets, self.sockets, "--remount-ro", "/", "--chdir", NOTEBOOKS]
        for key, value in self.environment().items():
            words += ["--setenv", key, value]
        return [str(word) for word in [*words, "--", *command]]

    def environment(self) -> dict[str, str]:
        """The complete environment of the process."""
        return {
            "HOME": HOME,
            "PATH": f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "PYTHONPATH": f"{COURSE}:{COURSE}/cluster:{NOTEBOOKS}:{GRADER}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "IPYTHONDIR": f"{HOME}/.ipython",
            "MPLBACKEND": "agg",
            "OPENBLAS_NUM_THREADS": "1",
        }


def telling(package: Path, prefix: Path) -> list[str]:
    """Folders that tell what is right: the edition's judges, and those that were installed beside Python."""
    installed = [package / name for name in ("checks", "hidden")] if package.is_relative_to(prefix) else []
    return [f"{NOTEBOOKS}/course/checks", *map(str, installed)]


def refuse_without() -> None:
    """Raise if this machine can't isolate a process; no student code is run then."""
    words: list[str | Path] = [
        bwrap(),
        *_OWN,
        *NO_CAPABILITIES,
        *_USER,
        "--ro-bind",
        "/",
        "/",
        "--",
        "/bin/true",
    ]
    tried = spawn.run(words, seconds=20)
    if tried.returncode:
        raise ProviderError(
            f"No student's code is run here: bubblewrap reports {tried.stderr.strip()[:200]!r}.",
            cause=f"{namespaces.cause()} --trust-submissions does not change that.",
            fix=namespaces.cures().removesuffix(namespaces.OPEN) + MEANWHILE,
        )
