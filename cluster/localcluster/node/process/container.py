"""One run of one container: a process that outlives the agent, and whose end is always noticed.

bubblewrap itself writes the pid and later the exit code into `<run folder>/status`, and the process writes
its own log. So an agent that was killed finds both when it comes back (`adopt`), whether the container still
runs or ended meanwhile. Decides nothing about restarts: `lifecycle.py` does.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess  # noqa: TID251 - for the type of what localcluster.spawn starts
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from localcluster import spawn
from localcluster.node.process import bounds, console, held, mounting, processes, sandbox
from localcluster.node.process.mounting import Astray
from localcluster.node.process.sandbox import Opened, Sandbox
from localcluster.toolchain.locate import bwrap

ID_VARIABLE = "LABKIT_CONTAINER_ID"
"""Set in every container: how a restarted agent knows that a pid is still the container it was."""

_SETSID = "/usr/bin/setsid"
_LOST = 137  # the end was not seen: the kubelet, too, calls such a container killed


class StartFailure(Exception):
    """The container could not be started; the message is for its status."""


@dataclass(frozen=True)
class Ended:
    """How a run ended; `message` is set if its own program never started."""

    exit_code: int
    finished_at: float  # seconds since the epoch
    message: str = ""


@dataclass
class Run:
    """A started container; `pid` is its pid 1 as the host sees it."""

    folder: Path
    log: Path
    pid: int
    started_at: float
    _monitor: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    async def wait(self) -> Ended:
        """Return when the container has ended; can be called again."""
        await processes.ended(self.pid)
        if self._monitor is not None:  # it records the exit code and ends, unless it was killed
            await processes.ended(self._monitor.pid)
            self._monitor.poll()
        for _ in range(100 if self._monitor is None else 1):
            if (code := _status(self.folder).get("exit-code")) is not None:
                return Ended(code, (self.folder / "status").stat().st_mtime)
            await asyncio.sleep(0.01)
        complaint = _last_words(self.log)
        if complaint.startswith("bwrap: "):
            return Ended(128, time.time(), _refusal(complaint))
        return Ended(_LOST, time.time())

    def signal(self, number: signal.Signals) -> None:
        """Signal pid 1, which ignores what it has no handler for (but SIGKILL), as in any container."""
        if self._still_it():
            processes.send(self.pid, number)

    def _still_it(self) -> bool:
        """Whether the pid still belongs to it: its end can be missed, and the system reuses pids."""
        now = processes.started(self.pid)
        try:
            return now is not None and abs(float((self.folder / "born").read_text()) - now) < 1.0
        except (OSError, ValueError):
            return now is not None

    def kill(self) -> None:
        """End every process of the container: SIGKILL to a pid namespace's first process ends them all."""
        if not self._still_it():
            return
        if (self.folder / "group").exists():  # without isolation there is no namespace, but a session
            for each in processes.tree(self.pid):
                processes.send(each, signal.SIGKILL)
        processes.send(self.pid, signal.SIGKILL)


def note_group(folder: Path) -> None:
    """For `Run.kill`: there is no pid namespace of its own whose end would end all its processes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "group").touch()


def streamed(box: Sandbox, folder: Path) -> list[str]:
    """What holds the streams of a container that has stdin; its command follows."""
    if box.streams is None:
        return []
    kind = "terminal" if box.streams.terminal else "pipes"
    life = "once" if box.streams.once else "stays"
    tty = "take" if box.streams.terminal and led(box) == [*box.argv] else "leave"
    return [sys.executable, "-I", "-S", console.__file__, str(folder), kind, life, tty]


def led(box: Sandbox) -> list[str]:
    """The command, as leader of its terminal's session; of an image without the program for it, as it is."""
    leads = box.streams is not None and box.streams.terminal and box.host and Path(_SETSID).exists()
    return [_SETSID, "--ctty", *box.argv] if leads else [*box.argv]


def _last_words(log: Path) -> str:
    lines = mounting.tail(log, 2000).decode(errors="replace").splitlines()
    return lines[-1] if lines else "no message"


def _refusal(line: str) -> str:
    """The message that runc gives for an error of bubblewrap."""
    what = line.removeprefix("bwrap: ")
    if what.startswith("execvp "):
        program, _, reason = what.removeprefix("execvp ").rpartition(": ")
        missing = "executable file not found in $PATH" if "/" not in program else reason.lower()
        return (
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: "
            f'unable to start container process: error during container init: exec: "{program}": {missing}'
        )
    return f"failed to create the container's namespaces: {what}"


@dataclass(frozen=True)
class Place:
    """Where a run happens: its folder, its log, its lab, and the pod's network."""

    folder: Path
    log: Path
    lab_dir: Path
    inside: Callable[[], AbstractContextManager[None]] = nullcontext
    memory: int = 0  # bytes of data of each process; 0 for no limit


async def start(box: Sandbox, place: Place) -> Run:
    """Start the container; returns when its process exists. Raises `StartFailure`."""
    folder, log = place.folder, place.log
    sandbox.prepare(box)
    if box.target is not None:
        note_group(folder)
    began = time.time()
    with _held_back() as (gate, release), _started_with(box, folder) as (status, args, mounts):
        words = [str(bwrap()), "--json-status-fd", str(status), "--block-fd", str(gate)]
        words += ["--args", str(args), "--", *led(box)]
        words = [*streamed(box, folder), *held.joining(box.holder, mounts.places, words)]
        lab, own = str(place.lab_dir), box.env[ID_VARIABLE]
        env = {spawn.MARKER: lab, ID_VARIABLE: own, "PATH": sandbox.DEFAULT_PATH}
        with place.inside():
            monitor = spawn.popen(words, log=log, env=env, pass_fds=(status, args, gate, *mounts.handles))
        pid = await _first_process(monitor, folder, log)
        bounds.limit(pid, memory=place.memory)
        release()
    return await started(monitor, folder=folder, log=log, began=began)


@contextmanager
def _started_with(box: Sandbox, folder: Path) -> Iterator[tuple[int, int, Opened]]:
    """What bubblewrap inherits: where it reports, its arguments, and what it mounts."""
    try:
        with (
            sandbox.opened(box) as mounts,
            status_file(folder) as status,
            _secret_arguments(sandbox.arguments(box, mounts.words)) as args,
        ):
            yield status, args, mounts
    except (Astray, FileNotFoundError) as error:
        raise StartFailure(f"failed to create the container's mounts: {error}") from error


async def started(monitor: subprocess.Popen[bytes], *, folder: Path, log: Path, began: float) -> Run:
    """Wait until the container's own program runs (or has run already)."""
    pid = await _first_process(monitor, folder, log)
    pause = 0.002
    while not _executed(pid):
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    (folder / "born").write_text(str(processes.started(pid) or 0.0))
    return Run(folder, log, pid, began, monitor)


async def _first_process(monitor: subprocess.Popen[bytes], folder: Path, log: Path) -> int:
    """The container's pid 1, as soon as there is one."""
    pause = 0.002
    while (pid := _status(folder).get("child-pid")) is None:
        if monitor.poll() is not None and "exit-code" not in _status(folder):
            raise StartFailure(_refusal(_last_words(log)))
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return pid


@contextmanager
def _held_back() -> Iterator[tuple[int, Callable[[], object]]]:
    """A pipe that bubblewrap waits for when it is ready, and what opens it; our exit does, too."""
    gate, ours = os.pipe2(os.O_CLOEXEC)
    try:
        yield gate, lambda: os.write(ours, b"!")
    finally:
        os.close(gate)
        os.close(ours)


def _executed(pid: int) -> bool:
    """Whether the process is past bubblewrap's preparations; it names its pid before they are done."""
    try:
        return Path(f"/proc/{pid}/comm").read_text() != "bwrap\n"
    except (FileNotFoundError, ProcessLookupError):
        return True


def adopt(folder: Path, log: Path, container_id: str) -> Run | None:
    """The run that an earlier agent started in `folder`; None if it never came to a process.

    One that is on its way to it is ended: its gate opened when that agent died.
    """
    status = _status(folder)
    pid = status.get("child-pid")
    if pid is None:
        processes.end_marked(f"{ID_VARIABLE}={container_id}")
        return None
    began = (folder / "seed").stat().st_ctime if (folder / "seed").exists() else folder.stat().st_ctime
    if "exit-code" not in status and not _same(folder, pid, container_id):
        pid = _NOBODY  # its pid was reused, or it was killed with its monitor
    return Run(folder, log, pid, began)


_NOBODY = 2**22 + 1  # above the kernel's highest pid: nothing to signal, nothing to wait for


def _same(folder: Path, pid: int, container_id: str) -> bool:
    """Whether `pid` is still our container: by its start time, or (the clock was set) by its environment."""
    with suppress(FileNotFoundError, ValueError):
        if abs(float((folder / "born").read_text()) - (processes.started(pid) or 0.0)) < 1.0:
            return True
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"{ID_VARIABLE}={container_id}".encode() in environment.split(b"\0")


def _status(folder: Path) -> dict[str, int]:
    """What bubblewrap wrote so far; half a line counts as none, and a damaged file as empty."""
    found: dict[str, int] = {}
    try:
        text = (folder / "status").read_text(errors="replace")
    except OSError:
        return found
    for line in text.splitlines():
        with suppress(ValueError, TypeError):
            found.update(json.loads(line))
    return found


@contextmanager
def status_file(folder: Path) -> Iterator[int]:
    """Where bubblewrap is to report, as a descriptor."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / "status", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _secret_arguments(words: list[str]) -> Iterator[int]:
    """Arguments by file descriptor: a process list shows no environment, and there is no length limit."""
    handle = os.memfd_create("bwrap-args", 0)
    try:
        os.write(handle, b"\0".join(word.encode() for word in words) + b"\0")
        os.lseek(handle, 0, os.SEEK_SET)
        yield handle
    finally:
        os.close(handle)
