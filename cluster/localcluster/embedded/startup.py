"""Start a lab: a list of steps, each with its time; a failed start is rolled back.

`up` holds two pipes to the supervisor while this goes on. It says `keep` at the very end; if it is killed
before, the supervisor sees the pipe close and ends what it started.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from localcluster import polling, spawn
from localcluster.api.client import Api
from localcluster.api.objects import KubeObject
from localcluster.embedded import admin, files
from localcluster.embedded.component import Component
from localcluster.embedded.platform import PYTHON
from localcluster.embedded.supervisor import save_components
from localcluster.errors import ComponentError, WaitTimeout
from localcluster.layout import Layout, Ports
from localcluster.provider import Report, Spec

PATIENCE = 120.0
"""Seconds for each step; a slow machine needs ten, a very slow one may need the rest."""

FIRST = ("etcd", "kube-apiserver")
"""On slow machines the others may be restarted until the API server and their permissions are there."""

PERMITTED = ("coredns", "prometheus-adapter")
"""They start once their permissions are written: refused, one backs off for a second, the other ends."""

METRICS_APIS = {
    "v1beta2.custom.metrics.k8s.io": "/apis/custom.metrics.k8s.io/v1beta2",
    "v1beta1.metrics.k8s.io": "/apis/metrics.k8s.io/v1beta1/nodes",
}
"""APIService → a path that answers once the adapter serves it."""

APISERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"

GUESSES = (
    (
        "address already in use",
        "Another program took a port in the meantime.",
        "Run `localcluster up` again; it chooses other ports.",
    ),
    ("no space left on device", "The disk is full.", "Free some space, then run `localcluster up` again."),
    (
        "too many open files",
        "This shell's limit on open files is too low.",
        "Run `ulimit -n 4096`, then try again.",
    ),
    (
        "exec format error",
        "A program was built for another system.",
        "Run `localcluster toolchain ls --verify`.",
    ),
)
"""Text in a log, in lower case; its meaning; and the fix."""


@dataclass
class Startup:
    """One start of one lab."""

    layout: Layout
    spec: Spec
    ports: Ports
    components: list[Component]
    report: Report
    began: float = field(default_factory=time.monotonic)
    _ready: set[str] = field(default_factory=set)
    _deaths: dict[str, int] = field(default_factory=dict)
    _bootstrapped: bool = False
    _control: int = -1
    _reports: int = -1
    _buffer: bytes = b""

    def run(self) -> None:
        """All steps, in order; raises `ComponentError` with the end of the log of what did not start."""
        save_components(self.layout, [one for one in self.components if one.name not in PERMITTED])
        with self._supervisor():
            self._wait_for("kube-apiserver")
            api = Api(self.layout.kubeconfig)
            admin.apply(api, files.bootstrap_documents(self.layout, self.ports))
            save_components(self.layout, self.components)
            self._listen()  # events from before they had their permissions
            self._bootstrapped = True
            self._until(lambda: self._nodes_ready(api), "nodes", "all nodes to be Ready")
            self.say(f"{len(files.nodes(self.spec))} nodes are Ready")
            for component in self.components:
                self._wait_for(component.name)
            for service, path in METRICS_APIS.items():
                # After a crash the API server has marked them unavailable, and would check again too late.
                now = f"{time.time():.0f}"
                admin.annotate(api, f"{APISERVICES}/{service}", "labkit.dev/adapter-ready", now)
                self._until(lambda p=path: admin.get(api, p), "prometheus-adapter", f"{path} to answer")
            self.say("both metrics APIs answer")
            os.write(self._control, b"keep\n")

    def say(self, line: str) -> None:
        """Report a line with the seconds since the start."""
        self.report(f"{time.monotonic() - self.began:5.1f} s  {line}")

    @contextlib.contextmanager
    def _supervisor(self) -> Iterator[None]:
        control_read, self._control = os.pipe()
        self._reports, reports_write = os.pipe()
        env = {
            **os.environ,
            spawn.MARKER: str(self.layout.dir),
            "LABKIT_PIPES": f"{control_read},{reports_write}",
        }
        argv = (*PYTHON, "localcluster.embedded.supervisor", str(self.layout.dir))
        log = self.layout.log("supervisor")
        try:
            spawn.detach(argv, log=log, env=env, pass_fds=(control_read, reports_write))
        finally:
            os.close(control_read)
            os.close(reports_write)
        try:
            yield
        finally:
            os.close(self._control)
            os.close(self._reports)

    def _wait_for(self, name: str) -> None:
        self._until(lambda: name in self._ready, name, f"{name} to be ready")

    def _until(self, probe: object, component: str, what: str) -> None:
        assert callable(probe)

        def look() -> object:
            self._listen()
            return probe()

        try:
            polling.until(look, what, seconds=PATIENCE, every=0.02)
        except WaitTimeout as error:
            raise self._broken(component, str(error)) from error

    def _listen(self) -> None:
        while select.select([self._reports], [], [], 0)[0]:
            chunk = os.read(self._reports, 65536)
            if not chunk:
                raise self._broken("supervisor", "The supervisor ended while the lab was starting.")
            *lines, self._buffer = (self._buffer + chunk).split(b"\n")
            for line in lines:
                self._take(json.loads(line))

    def _take(self, message: dict[str, object]) -> None:
        name, event = str(message["name"]), message["event"]
        if event == "ready":
            self._ready.add(name)
            self.say(f"{name} is ready")
        elif event == "died" and (self._bootstrapped or name in FIRST):
            self._deaths[name] = self._deaths.get(name, 0) + 1
            if self._deaths[name] >= 5:
                raise self._broken(name, f"{name} ended {self._deaths[name]} times in a row.")

    def _nodes_ready(self, api: Api) -> bool:
        wanted = {n.name for n in files.nodes(self.spec)}
        nodes = map(KubeObject, (admin.get(api, "/api/v1/nodes") or {"items": []})["items"])
        return wanted <= {node.name for node in nodes if node.is_true("Ready")}

    def _broken(self, component: str, what: str) -> ComponentError:
        log = self.layout.log("node-agent" if component == "nodes" else component)
        tail = log.read_text(errors="replace").splitlines()[-8:] if log.exists() else []
        said = "\n".join(f"    {line[:300]}" for line in tail) or "    (nothing)"
        cause, fix = _guess(component, said)
        return ComponentError(
            f"{what}\nThe end of {log}:\n{said}",
            cause=cause,
            fix=f"{fix} The log file is kept.",
        )


def _guess(component: str, said: str) -> tuple[str, str]:
    """The likely cause and the fix, from the text of the log."""
    for words, cause, fix in GUESSES:
        if words in said.lower():
            return cause, fix
    if component == "supervisor":
        return (
            "`localcluster down` ran in the meantime, or the process was killed.",
            "Run `localcluster up` again.",
        )
    return "", "Run `localcluster up` again; on a slow machine, close other programs first."
