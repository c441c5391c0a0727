"""The provider `embedded`: a real control plane on this machine's loopback, pods as processes.

Needs no Docker, no root and no GPU. There is only one lab in a folder: a second `up` finds the first.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from localcluster import clock, spawn
from localcluster.alone import alone, same
from localcluster.api.objects import KubeObject
from localcluster.embedded import (
    added_nodes,
    addresses,
    control_plane,
    files,
    gateway,
    isolation,
    keda,
    kwok,
    nodes,
    optional,
    platform,
    ports,
)
from localcluster.embedded.component import Component
from localcluster.embedded.network import Network, choose, save
from localcluster.embedded.startup import Startup
from localcluster.embedded.supervisor import is_ready, load_components
from localcluster.embedded.teardown import roll_back, take_down
from localcluster.embedded.transcript import transcript
from localcluster.errors import LabError, ProviderError
from localcluster.layout import Layout, Ports, default_name, prepare
from localcluster.node.process import crash
from localcluster.provider import Endpoint, Inside, NewNode, Part, Pool, RegistryAccess, Report, Spec, silent
from localcluster.toolchain import ladder


class Embedded:
    """One lab of this user, by its name."""

    name = "embedded"
    owns_cluster = True
    simulates = "simulated GPUs"

    def __init__(self, lab: str | None = None) -> None:
        self.layout = Layout.of(lab or default_name())

    def missing(self) -> str | None:
        """No prerequisites: the toolchain downloads or builds what is missing."""
        if os.name != "posix":
            return "The embedded cluster needs Linux or macOS. On Windows, use it inside WSL 2."
        return None

    def up(self, spec: Spec, report: Report = silent) -> Path:
        """Start what does not run yet; returns the kubeconfig once everything answers."""
        clock.flags(spec.clock)  # refuses an invalid clock before anything is created
        why = self.missing()
        if why:
            raise ProviderError(why)
        if not self.running():  # a running lab has its disk space already
            prepare(self.layout)
        with alone(self.layout.dir, report):
            if self.running():
                self._same(spec)
                report(f"lab {self.layout.dir.name!r} is already up")
                return self.layout.kubeconfig
            self._start(replace(spec, name=self.layout.dir.name), report)
        return self.layout.kubeconfig

    def transcript(self, spec: Spec) -> str:
        """Every process of the start-up, as a person would type it; with names instead of port numbers."""
        names = [*ports.COMPONENT.values(), "etcd", "kubectl", "labnet", "nft"]
        binaries = {binary: Path("/BIN") / binary for binary in names}
        symbolic = type("SymbolicPorts", (), {field: f"${field.upper()}_PORT" for field in ports.COMPONENT})()
        return transcript(
            self.layout,
            spec,
            self.components(spec, symbolic, binaries, Network(nft=str(binaries["nft"]))),
            "/BIN",
        )

    def down(self, report: Report = silent) -> None:
        """End every process of the lab and delete its files but the logs."""
        if not self.layout.dir.is_dir():
            report(f"there is no lab called {self.layout.dir.name!r}; nothing to do")
            return
        # Not under the lock: `down` must also work while an `up` hangs.
        take_down(self.layout, report)

    def logs(self, into: Path) -> list[Path]:
        """Copy all logs of the lab into a folder."""
        into.mkdir(parents=True, exist_ok=True)
        return [Path(shutil.copy(path, into)) for path in sorted(self.layout.logs.glob("*.log"))]

    def kubeconfig(self) -> Path:
        """The kubeconfig for people."""
        self.layout.load()
        return self.layout.kubeconfig

    def spec(self) -> Spec:
        """What the lab was started with."""
        return self.layout.load()[0]

    def prometheus(self) -> Endpoint:
        """Prometheus, which only accepts clients with a certificate of the lab."""
        pki = self.layout.pki
        url = f"https://127.0.0.1:{self._ports().prometheus}"
        return Endpoint(url, ca=pki("ca.crt"), cert=pki("admin.crt"), key=pki("admin.key"))

    def registry(self) -> RegistryAccess:
        """The lab's own registry; its login is in a file that only this user can read."""
        at = self.layout
        return RegistryAccess(
            host=files.REGISTRY_HOST,
            url=f"https://127.0.0.1:{self._ports().registry}",
            ca=at.pki("ca.crt"),
            username=files.REGISTRY_USER,
            password=(at.dir / "registry" / "password").read_text(),
        )

    def audit_logs(self) -> Path:
        """The audit logs of the lab's API server and prometheus-adapter (data/audit-policy.yaml)."""
        self.layout.load()
        return self.layout.dir / "audit"

    def address(self, namespace: str, service: str, port: int) -> str:
        """A door to the Service's address in the lab."""
        return addresses.of_service(self.layout, f"{namespace}/{service}:{port}")

    def pod_address(self, pod: KubeObject) -> str:
        """A door to the pod's first port."""
        return addresses.of_pod(self.layout, pod)

    def inside(self, url: str) -> Inside | None:
        """The server behind a door, for a process that joins the lab's network."""
        return addresses.inside(self.layout, url)

    def kill(self, pod: KubeObject) -> int:
        """The container's first process is a process of this machine."""
        return crash.kill(pod)

    def parts(self) -> list[Part]:
        """Every process of the lab, the supervisor last."""
        spec, chosen = self.layout.load()
        here = ports.DOORS if spec.isolated else ports.COMPONENT
        listens = {ports.COMPONENT[field]: getattr(chosen, field) for field in here}
        found = [
            Part(c.name, state, c.why, proc.pid if proc else None, listens.get(c.name))
            for c, proc, state in self.states()
        ]
        supervisor = spawn.Proc.load(self.layout.record("supervisor"))
        lives = bool(supervisor and supervisor.alive())
        does = "restarts what dies (`localcluster up` restarts the supervisor)"
        pid = supervisor.pid if supervisor and lives else None
        return [*found, Part("supervisor", "ready" if lives else "dead", does, pid)]

    def plug_in(self, node: NewNode) -> None:
        """Add a simulated machine to the running lab."""
        added_nodes.plug_in(self.layout, node)

    def plug_out(self) -> list[str]:
        """Remove every machine that was added."""
        return added_nodes.plug_out(self.layout)

    def stop_node(self, name: str) -> None:
        """Turn a simulated machine off."""
        nodes.stop(self.layout, name)

    def start_node(self, name: str) -> None:
        """Turn it on."""
        nodes.start(self.layout, name)

    def restore_nodes(self) -> list[str]:
        """Turn on every machine that is off."""
        return nodes.restore(self.layout)

    def start_kwok(self) -> None:
        """Run KWOK as a part of the lab."""
        self.layout.load()
        kwok.start(self.layout)

    def stop_kwok(self) -> None:
        """Stop it."""
        self.layout.load()
        kwok.stop(self.layout)

    def start_keda(self) -> None:
        """Run KEDA as a part of the lab."""
        self._own_network("KEDA")
        keda.start(self.layout)

    def stop_keda(self) -> None:
        """Stop it and remove its objects."""
        self.layout.load()
        keda.stop(self.layout)

    def start_gateway(self, pool: Pool, config: str = "") -> None:
        """Run an inference gateway as a part of the lab."""
        self._own_network("A gateway")
        gateway.start(self.layout, pool, config)

    def stop_gateway(self) -> None:
        """Stop it and remove its objects."""
        self.layout.load()
        gateway.stop(self.layout)

    def _own_network(self, what: str) -> None:
        if self.layout.load()[0].isolated:
            return
        raise ProviderError(
            f"{what} needs a lab with a network of its own.",
            cause="This one has --isolation none, and some of its parts listen on all their addresses.",
            fix="Start a lab without that option.",
        )

    def running(self) -> bool:
        """Whether the supervisor and every component run and answer."""
        supervisor = spawn.Proc.load(self.layout.record("supervisor"))
        if not (self.layout.config.exists() and supervisor and supervisor.alive()):
            return False
        return all(state == "ready" for _, _, state in self.states())

    def states(self) -> Iterator[tuple[Component, spawn.Proc | None, str]]:
        """Each component with its process and `ready`, `starting` or `dead`."""
        for component in load_components(self.layout):
            proc = spawn.Proc.load(self.layout.record(component.name))
            if not (proc and proc.alive()):
                yield component, None, "dead"
            else:
                yield component, proc, "ready" if is_ready(component.ready) else "starting"

    def components(
        self, spec: Spec, chosen: Ports, binaries: control_plane.Binaries, net: Network
    ) -> list[Component]:
        """Everything that `up` starts, in reading order."""
        flags, at = clock.flags(spec.clock), self.layout
        bind = "0.0.0.0" if net.own else "127.0.0.1"  # noqa: S104 - of the lab's own network
        parts = [
            control_plane.etcd(at, binaries),
            control_plane.apiserver(at, chosen, binaries, flags, bind),
            control_plane.controller_manager(at, chosen, binaries, flags),
            control_plane.scheduler(at, chosen, binaries),
            platform.registry(at, chosen, binaries),
            platform.node_agent(at),
            *platform.services(at, binaries, net, nodes=bool(files.nodes(spec))),
            platform.prometheus(at, chosen, binaries, flags, net),
            platform.adapter(at, chosen, binaries, flags, net),
        ]
        if not net.own:
            return parts
        return [platform.network(at, net), platform.edge(at), *(platform.inside(at, part) for part in parts)]

    def _start(self, spec: Spec, report: Report) -> None:
        isolation.require(spec, self.layout.dir)
        binaries = ladder.ensure()
        net = choose(spec.isolation, binaries["nft"])
        chosen = self._choose_ports()
        fresh = not self.layout.config.exists()
        self.layout.stopping.unlink(missing_ok=True)
        try:
            files.write_all(self.layout, spec, chosen, clock.flags(spec.clock), net)
            save(self.layout, net, report)
            self._end_supervisor()
            parts = [*self.components(spec, chosen, binaries, net), *optional.asked_for(self.layout)]
            Startup(self.layout, spec, chosen, parts, report).run()
        except (LabError, OSError, KeyboardInterrupt):
            if fresh:  # an older lab keeps its data: `up` can be tried again
                roll_back(self.layout, report)
            raise

    def _choose_ports(self) -> Ports:
        """The ports of the last start, if our own servers use them or they are free; else new ones."""
        if self.layout.config.exists():
            known = self._ports()
            strangers = [name for name in ports.taken(known) if not self._lives(ports.COMPONENT[name])]
            if not strangers:
                return known
            spawn.end(spawn.marked(self.layout.dir), grace=1.0)
        return ports.choose()

    def _lives(self, component: str) -> bool:
        """Whether our own process listens on a component's port of this machine."""
        listens = "edge" if self.layout.load()[0].isolated else component
        proc = spawn.Proc.load(self.layout.record(listens))
        return proc is not None and proc.alive()

    def _end_supervisor(self) -> None:
        supervisor = spawn.Proc.load(self.layout.record("supervisor"))
        if supervisor:
            spawn.end([supervisor], grace=1.0)

    def _ports(self) -> Ports:
        return self.layout.load()[1]

    def _same(self, spec: Spec) -> None:
        running = self.spec()
        again = (
            f"Run localcluster down --name {running.name}, then up again; or give the new lab another --name."
        )
        same(asdict(running), asdict(replace(spec, name=running.name)), fix=again)
