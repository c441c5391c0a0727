"""Keeps the processes of a lab running: `python -m localcluster.embedded.supervisor LAB_DIR`.

It starts each component once its dependencies are ready, adopts those that run already, and restarts what
dies. While a lab starts, it holds two pipes to `localcluster up`: one reports progress; if the other closes
before the word `keep` arrives, `up` was killed, and everything that was started here is ended, with nothing
left over.

Refuses to decide what runs: that is in `components.json`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import select
import signal
import socket
import ssl
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen  # noqa: TID251 - a type; processes are started by localcluster.spawn
from types import FrameType
from urllib.parse import urlsplit

import psutil

from localcluster import polling, spawn, stored
from localcluster.embedded.component import Component, Ready
from localcluster.errors import LabError
from localcluster.layout import Layout
from localcluster.netns import doors, enter, holder

TICK = 0.05
RESTING_TICK = 0.25
LONGEST_BACK_OFF = 5.0


def save_components(layout: Layout, components: list[Component]) -> None:
    """Write what the supervisor is to run."""
    stored.save(layout.dir / "components.json", components, indent=1)


def load_components(layout: Layout) -> list[Component]:
    """Read what `save_components` wrote; none if a start did not get that far."""
    try:
        return stored.load(layout.dir / "components.json", list[Component])
    except FileNotFoundError:
        return []


def is_ready(ready: Ready | None, *, seconds: float = 1.0) -> bool:
    """Check once whether the file exists, or the URL answers 200 and says what it should."""
    if ready is None:
        return True
    if ready.file is not None:
        return ready.file.exists()
    url = urlsplit(ready.url)
    assert url.hostname
    assert url.port
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=seconds)
    try:
        with contextlib.closing(connection):
            connection.sock = _connected(ready, (url.hostname, url.port), seconds)
            connection.request("GET", url.path)
            answer = connection.getresponse()
            if answer.status != http.HTTPStatus.OK:
                return False
            return not ready.says or bool(re.search(ready.says, answer.read().decode(errors="replace")))
    except (OSError, http.client.HTTPException):
        return False


def _connected(ready: Ready, address: tuple[str, int], seconds: float) -> socket.socket:
    """A socket for the request, with TLS where there are certificates."""
    host, port = address
    if ready.through:
        sock = doors.connected(ready.through, f"{host}:{port}")
        sock.settimeout(seconds)
    else:
        sock = socket.create_connection(address, timeout=seconds)
    if not ready.certs:
        return sock
    context = ssl.create_default_context(cafile=str(ready.certs[0]))
    context.load_cert_chain(ready.certs[1], ready.certs[2])
    return context.wrap_socket(sock, server_hostname=host)


@dataclass
class Child:
    """A component and its current process."""

    component: Component
    proc: spawn.Proc | None = None
    popen: Popen[bytes] | None = None
    adopted: bool = False
    ready: bool = False
    restarts: int = 0
    started: float = 0.0
    not_before: float = 0.0

    def gone(self) -> bool:
        """Whether the process ended (and take its exit status, so that no zombie stays)."""
        if self.popen is not None:
            return self.popen.poll() is not None
        return self.proc is None or not self.proc.alive()


@dataclass
class Supervisor:
    """Runs the loop; `control` and `reports` are the pipes to `localcluster up`, -1 where there are none."""

    layout: Layout
    control: int = -1
    reports: int = -1
    children: dict[str, Child] = field(default_factory=dict)
    stopping: bool = False
    _read: int = 0

    def run(self) -> int:
        """Supervise until SIGTERM; the exit status."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while not self.stopping:
            if self.control >= 0 and not self._still_wanted():
                self._abort()
                return 1
            self._follow_components()
            self._round()
            settled = self.control < 0 and all(c.ready for c in self.children.values())
            polling.pause(RESTING_TICK if settled else TICK)
        return 0

    def _follow_components(self) -> None:
        """Start what was added to `components.json`, end what was removed, and restart what changed."""
        path = self.layout.dir / "components.json"
        try:
            changed = path.stat().st_mtime_ns
        except FileNotFoundError:  # the lab is being taken down
            return
        if changed == self._read:
            return
        wanted = {component.name: component for component in load_components(self.layout)}
        for name in [n for n, child in self.children.items() if child.component != wanted.get(n)]:
            self._retire(name, self.children.pop(name))
        for name in wanted.keys() - self.children.keys():
            self.children[name] = self._taken_up(wanted[name])
        self.children = {name: self.children[name] for name in wanted}
        self._read = changed

    def _taken_up(self, component: Component) -> Child:
        child = Child(component, proc=spawn.Proc.load(self.layout.record(component.name)))
        if child.proc and child.proc.alive() and child.proc.argv == component.argv:
            child.adopted = True
            self._say(component.name, "adopted")
        else:
            child.proc = None
        return child

    def _retire(self, name: str, child: Child) -> None:
        note(name, "is no longer needed, or has changed")
        if child.proc:
            spawn.end([child.proc], grace=1.0)
        if child.popen:
            child.popen.wait()
        self.layout.record(name).unlink(missing_ok=True)

    def _round(self) -> None:
        for name, child in self.children.items():
            if child.gone():
                if child.proc is not None:
                    self._note_death(name, child)
                if time.monotonic() >= child.not_before and self._needs_met(child.component):
                    self._try_to_start(name, child)
            elif not child.ready and is_ready(child.component.ready):
                child.ready = True
                self._say(name, "ready", seconds=time.monotonic() - child.started if child.started else 0.0)

    def _needs_met(self, component: Component) -> bool:
        return all(self.children[need].ready for need in component.needs)

    def _try_to_start(self, name: str, child: Child) -> None:
        try:
            self._start(name, child)
        except (OSError, LabError) as error:  # usually a full disk, which may have space again later
            self._stop_unrecorded(child)
            child.not_before = time.monotonic() + LONGEST_BACK_OFF
            note(name, f"could not be started: {error}")
            self._say(name, "died", status=None)

    def _stop_unrecorded(self, child: Child) -> None:
        """End a process that could not be recorded, so that it is not started twice."""
        if child.popen is not None:
            child.popen.kill()
            child.popen.wait()
        child.proc, child.popen = None, None

    def _start(self, name: str, child: Child) -> None:
        component = child.component
        if component.cwd:
            component.cwd.mkdir(parents=True, exist_ok=True, mode=0o700)
        if component.ready and component.ready.file:
            component.ready.file.unlink(missing_ok=True)  # left by a process that was killed
        env = {**os.environ, **component.env, spawn.MARKER: str(self.layout.dir)}
        log = self.layout.log(name)
        argv = component.argv
        if component.inside:
            argv = (*enter.command(holder.pid_of(self.layout.dir)), *argv)
        child.popen = spawn.popen(argv, log=log, cwd=component.cwd, env=env)
        child.started = time.monotonic()
        child.adopted, child.ready = False, False
        with contextlib.suppress(psutil.NoSuchProcess):
            child.proc = spawn.Proc.of(child.popen.pid, component.argv)
            child.proc.save(self.layout.record(name))
        self._say(name, "started")

    def _note_death(self, name: str, child: Child) -> None:
        status = child.popen.returncode if child.popen else None
        lived = time.monotonic() - child.started if child.started else LONGEST_BACK_OFF
        child.restarts += 1
        back_off = 0.1 if lived >= LONGEST_BACK_OFF else min(LONGEST_BACK_OFF, 0.1 * 2**child.restarts)
        child.not_before = time.monotonic() + back_off
        child.proc, child.popen, child.ready = None, None, False
        note(name, f"ended (status {status}); restarting it")
        self._say(name, "died", status=status)

    def _still_wanted(self) -> bool:
        """Read the control pipe; False if `up` ended without writing `keep`."""
        readable, _, _ = select.select([self.control], [], [], 0)
        if not readable:
            return True
        word = os.read(self.control, 16)
        if word.startswith(b"keep"):
            for pipe in (self.control, self.reports):
                os.close(pipe)
            self.control = self.reports = -1
            return True
        return False

    def _abort(self) -> None:
        self.layout.stopping.touch()  # tells the node agent to end its containers as well
        own = [c.proc for c in self.children.values() if c.proc and not c.adopted]
        spawn.end(own, grace=2.0)
        if not any(c.adopted for c in self.children.values()):
            spawn.end(spawn.marked(self.layout.dir), grace=0.5)
        self.layout.record("supervisor").unlink(missing_ok=True)

    def _say(self, name: str, event: str, **more: object) -> None:
        if self.reports >= 0:
            line = json.dumps({"name": name, "event": event, **more}) + "\n"
            with contextlib.suppress(BrokenPipeError):
                os.write(self.reports, line.encode())

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True


def note(name: str, said: str) -> None:
    """A line in the supervisor's log; a full disk must not end the supervisor."""
    with contextlib.suppress(OSError):
        print(time.strftime("%H:%M:%S"), name, said, flush=True)  # noqa: T201 - standard output is the log


def main() -> int:
    """Entry point; `LABKIT_PIPES=CONTROL,REPORTS` names the two pipes."""
    layout = Layout(Path(sys.argv[1]))
    spawn.Proc.of(os.getpid()).save(layout.record("supervisor"))
    pipes = os.environ.pop("LABKIT_PIPES", "")
    control, reports = (int(n) for n in pipes.split(",")) if pipes else (-1, -1)
    for pipe in (control, reports):
        if pipe >= 0:
            os.set_inheritable(pipe, False)
    return Supervisor(layout, control, reports).run()


if __name__ == "__main__":
    sys.exit(main())
