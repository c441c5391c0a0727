"""What a student's kernel can see: Python, labkit, a copy of their own files, and one folder of sockets.

No network at all (its own, empty), no process but its own, none of the instructor's files, nobody else's
submission. Writes go to a memory disk that ends with it. Refuses to run where bubblewrap can't wall it in.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from labkit import _proc
from labkit.errors import ProviderError
from labkit.images import hostbase
from labkit.images.confine import NO_CAPABILITIES, proc
from labkit.node.process.sandbox import bwrap

HOME = "/home/student"
COURSE = "/course"
SCRATCH = 256 * 2**20  # bytes of each memory disk
_OWN = ("--unshare-all", "--die-with-parent", "--new-session", "--hostname", "student")
_USER = ("--uid", "1000", "--gid", "1000")


@dataclass(frozen=True)
class Jail:
    """The learner's edition, with this student's `manifests` in it; `sockets` is shared with the grader."""

    edition: Path
    seat: Path
    sockets: Path

    def argv(self, *command: str | Path) -> list[str]:
        """The command, walled in."""
        words: list[str | Path] = [bwrap(), *_OWN, *NO_CAPABILITIES, *_USER, "--clearenv"]
        base = hostbase.host()
        for name, target in base.links:
            words += ["--symlink", target, f"/{name}"]
        words += [*base.mounts(), *proc(), "--dev", "/dev"]
        for place in ("/tmp", HOME):  # noqa: S108 - its own
            words += ["--size", str(SCRATCH), "--tmpfs", place]
        words += ["--ro-bind", sys.prefix, sys.prefix, "--ro-bind", self.edition, COURSE]
        words += ["--ro-bind", self.seat / "manifests", f"{COURSE}/manifests"]
        words += ["--bind", self.sockets, self.sockets, "--remount-ro", "/", "--chdir", COURSE]
        for key, value in self.environment().items():
            words += ["--setenv", key, value]
        return [str(word) for word in [*words, "--", *command]]

    def environment(self) -> dict[str, str]:
        """All that it is told."""
        return {
            "HOME": HOME,
            "PATH": f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "PYTHONPATH": COURSE,
            "PYTHONDONTWRITEBYTECODE": "1",
            "IPYTHONDIR": f"{HOME}/.ipython",
            "MPLBACKEND": "agg",
            "OPENBLAS_NUM_THREADS": "1",
        }


def refuse_without() -> None:
    """Raise where this machine can't wall a process in; nothing of a student's is run then."""
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
    tried = _proc.run(words, seconds=20)
    if tried.returncode:
        raise ProviderError(
            f"No student's code is run here: bubblewrap says {tried.stderr.strip()[:200]!r}.",
            cause="This machine refuses user namespaces to ordinary users.",
            fix="Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns=0; or grade elsewhere.",
        )
