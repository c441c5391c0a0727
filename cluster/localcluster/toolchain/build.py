"""Builds programs from the pinned Go modules: one `go build` per module, with real progress.

First `go list` lists the packages that must be compiled; a package's weight is the size of its sources. Go
keeps what it has compiled, so an interrupted build continues where it was. Refuses a build that would need
another go.mod than the one pinned.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster import spawn
from localcluster.background import Background, every
from localcluster.errors import ToolchainError
from localcluster.toolchain import disk
from localcluster.toolchain.golang import Go
from localcluster.toolchain.progress import Progress, Task
from localcluster.toolchain.versions import Module, Pins, Program

_LISTED = '{{if .Stale}}{{.ImportPath}}\t{{.Dir}}\t{{join .GoFiles "|"}}{{end}}'
_OVERHEAD = 20_000
"""Starting the compiler takes as long as compiling this many bytes of source."""

_LINK = 5_000_000
"""Linking one program takes as long as compiling this many bytes of source."""


@dataclass(frozen=True)
class Job:
    """Programs of one module, and the folder that they go to."""

    module: Module
    programs: Sequence[Program]
    go: Go
    into: Path

    @property
    def title(self) -> str:
        """The text of the progress."""
        names = [program.name for program in self.programs]
        return f"Building {', '.join(names[:2])}" + (f" and {len(names) - 2} more" if names[2:] else "")

    def command(self, verb: str, *options: str) -> list[str | Path]:
        """A Go command on the job's packages, with the flags that decide what comes out."""
        packages = [program.package for program in self.programs]
        return [self.go.path, "-C", self.module.folder, verb, *options, *self.module.flags(), *packages]


def build(job: Job, pins: Pins, progress: Progress) -> dict[str, Path]:
    """Compile and link; the programs by name. `job.into` must be empty and on the cache's disk."""
    scratch, out = job.into / "scratch", job.into / "out"
    scratch.mkdir(parents=True)
    env = job.go.environment(scratch)
    _room_for_sources(job, pins)
    stale = _stale(job, env, progress)
    _room_to_compile(job, pins, len(stale))
    _compile(job, env, stale, progress)
    return {program.name: out / program.output for program in job.programs}


def _stale(job: Job, env: dict[str, str], progress: Progress) -> dict[str, int]:
    """The packages that must be compiled, with their weight; fetches the sources first where needed."""
    complaints: list[str] = []
    with progress.task(f"Fetching Go modules for {job.module.name}", _modules(job.module)) as task:

        def heard(line: str) -> None:
            if line.startswith("go: downloading "):
                task.advance(1, line.removeprefix("go: downloading "))
            else:
                complaints.append(line)

        status, listed = _follow(job.command("list", "-deps", "-f", _LISTED), env, heard)
    if status:
        raise _failed(f"The sources of module {job.module.name} could not be read", complaints)
    rows = [line.split("\t") for line in listed.splitlines() if line]
    return {name: _weight(Path(folder), files.split("|")) for name, folder, files in rows}


def _compile(job: Job, env: dict[str, str], stale: dict[str, int], progress: Progress) -> None:
    complaints: list[str] = []
    waiting = dict(stale)
    total = float(sum(stale.values()) + _LINK * len(job.programs))
    with progress.task(job.title, total) as task, _counting_links(job, task):

        def heard(line: str) -> None:
            if line in waiting:
                weight = waiting.pop(line)
                count = f"{len(stale) - len(waiting)}/{len(stale)} packages"
                task.advance(weight, count if waiting else "linking")
            else:
                complaints.append(line)

        status, _ = _follow(job.command("build", "-v", "-o", f"{job.into / 'out'}/"), env, heard)
    if status:
        raise _failed(f"{job.title} failed", complaints)


@contextmanager
def _counting_links(job: Job, task: Task) -> Iterator[None]:
    """Go is silent about linking; but each program appears when it is linked."""
    waiting = [job.into / "out" / program.output for program in job.programs]

    def look() -> None:
        linked = [path for path in waiting if path.exists()]
        waiting[:] = [path for path in waiting if path not in linked]
        task.advance(_LINK * len(linked))

    with Background(every(0.5, look), name="links"):
        yield


def _follow(argv: Sequence[str | Path], env: dict[str, str], heard: Callable[[str], None]) -> tuple[int, str]:
    """Run a Go command and pass on each line of output; returns its exit status and output."""
    child = spawn.piped(argv, env=env)
    output: list[str] = []
    assert child.stdout is not None
    assert child.stderr is not None
    reader = threading.Thread(target=lambda out=child.stdout: output.append(out.read()), daemon=True)
    reader.start()
    try:
        for line in child.stderr:
            heard(line.rstrip())
        status = child.wait()
        reader.join()
    finally:
        if child.poll() is None:  # interrupted: the compilers that Go started are in its process group
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        child.stderr.close()
        reader.join()
        child.stdout.close()
    return status, "".join(output)


def _failed(what: str, complaints: Sequence[str]) -> ToolchainError:
    text = "\n".join(complaints[-12:])
    offline = ("dial tcp", "no such host", "proxyconnect", "i/o timeout", "connection refused")
    if "no space left" in text:
        cause, fix = "The disk is full.", "Free some space, or move LABKIT_CACHE, GOCACHE and GOTMPDIR."
    elif any(sign in text for sign in offline):
        cause = "The Go module proxy can't be reached."
        fix = "Set GOPROXY to one that can, or install a bundle (`localcluster toolchain install --help`)."
    elif "signal: killed" in text:
        cause, fix = (
            "The compiler was killed: there is too little memory (2 GB free is enough).",
            "Try again.",
        )
    else:
        cause, fix = "", "Run the command again: it continues where it stopped."
    return ToolchainError(f"{what}:\n{text}", cause=cause, fix=fix)


def _modules(module: Module) -> float:
    """How many modules its go.mod names: about as many are downloaded on a bare machine."""
    lines = (module.folder / "go.mod").read_text().splitlines()
    return float(sum(line.startswith(("\t", "require ")) for line in lines) or 1)


def _weight(folder: Path, files: Sequence[str]) -> int:
    return _OVERHEAD + sum((folder / name).stat().st_size for name in files if name)


def _room_for_sources(job: Job, pins: Pins) -> None:
    sources, _ = job.go.folders()
    if not (sources / "cache" / "download").is_dir():
        disk.require(sources, pins.module_cache_mb, "Fetching the sources")


def _room_to_compile(job: Job, pins: Pins, stale: int) -> None:
    """Everything is about 3,350 packages; what is already compiled needs no space."""
    _, compiled = job.go.folders()
    share = min(1.0, stale / 3350)
    disk.require(compiled, share * pins.build_cache_mb + pins.programs_mb, job.title)
    disk.require(job.into, pins.programs_mb, job.title)
