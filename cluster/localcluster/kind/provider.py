"""The provider `kind`: real kubelets and containerd in containers of this machine, simulated GPUs.

What it makes has the lab's name and is recorded in its folder; `down` removes that and nothing else. Refuses
to take over a cluster of the same name that it did not make.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from localcluster import clock, polling, spawn
from localcluster.alone import alone, same
from localcluster.api import backends
from localcluster.api.client import Api
from localcluster.api.objects import KubeObject
from localcluster.embedded.files import REGISTRY_HOST, REGISTRY_USER
from localcluster.embedded.teardown import delete_files, with_children
from localcluster.errors import LabError, NotOurs, ProviderError
from localcluster.kind import files, gateway, keda, kwok, outside, parts
from localcluster.kind.added_nodes import AddedNodes
from localcluster.kind.engine import Engine
from localcluster.kind.machines import Machines, containers
from localcluster.kind.nvidia import Plan, real_gpus
from localcluster.kind.settings import Settings, layout_of, name_of
from localcluster.kind.startup import Startup, delete_cluster
from localcluster.kind.transcript import transcript
from localcluster.layout import default_name, prepare
from localcluster.provider import Endpoint, NewNode, Part, Pool, RegistryAccess, Report, Spec, silent

DISK_MIB = 6000
"""Five nodes of 1 GB, and their images."""

NOTICED = 5.0
"""Real seconds in which a pod that is Ready has to answer at a new address."""

LATE = 6
"""Checks, half a second apart, that must find no late node after an interrupted start."""


class Kind:
    """One kind cluster of this user, by its lab's name."""

    name = "kind"
    owns_cluster = True

    def __init__(self, lab: str | None = None) -> None:
        self.layout = layout_of(lab or default_name())
        self.engine = Engine.chosen()

    @property
    def simulates(self) -> str:
        """The GPUs, unless the lab uses the host's own."""
        started = self.layout.config.exists() and self.spec().gpus == "real"
        return "real GPUs" if started else "simulated GPUs"

    def missing(self) -> str | None:
        """Docker or Podman, running, with room for a cluster of the usual size."""
        return self._missing(Spec())

    def _missing(self, spec: Spec) -> str | None:
        return self.engine.missing(workers=spec.gpu_nodes + spec.cpu_nodes)

    def up(self, spec: Spec, report: Report = silent) -> Path:
        """Create the cluster, or find it; returns the kubeconfig once everything answers."""
        clock.flags(spec.clock)
        why = None if self._running() else self._missing(spec)
        if why:
            raise ProviderError(why)
        prepare(self.layout, needed_mib=None if self.layout.config.exists() else DISK_MIB)
        spec = replace(spec, name=name_of(self.layout))
        with alone(self.layout.dir, report):
            if self._stands(report):
                again = f"Run localcluster down --provider kind --name {spec.name}, then up again."
                same(asdict(self.spec()), asdict(spec), fix=again)
                report(f"kind lab {spec.name!r} is already up")
                return self.layout.kubeconfig
            self._start(Settings.new(spec), report, real_gpus(spec, report))
        return self.layout.kubeconfig

    def transcript(self, spec: Spec) -> str:
        """The steps of the start-up, and the cluster's configuration; host ports are chosen at the start."""
        named = replace(spec, name=name_of(self.layout))
        return transcript(self.layout, named, self.engine.name, real=real_gpus(spec, silent))

    def down(self, report: Report = silent) -> None:
        """Delete the nodes, the registry and the lab's files except its logs."""
        if not self.layout.config.exists():
            report(f"there is no kind lab called {name_of(self.layout)!r}; nothing to do")
            return
        self._take_down(Settings.load(self.layout))
        report(f"the cluster and its registry are gone; logs are in {self.layout.logs}")

    def logs(self, into: Path) -> list[Path]:
        """The logs of kind, the registry, the kubelets and the parts in `monitoring`."""
        into.mkdir(parents=True, exist_ok=True)
        settings = Settings.load(self.layout)
        for name, text in parts.said(self.engine, settings, self._nodes(settings), self.layout.kubeconfig):
            self.layout.log(name).write_text(text)
        return [Path(shutil.copy(path, into)) for path in sorted(self.layout.logs.glob("*.log"))]

    def kubeconfig(self) -> Path:
        """The kubeconfig of the cluster's admin, in the lab's folder; the user's own is not changed."""
        Settings.load(self.layout)
        return self.layout.kubeconfig

    def spec(self) -> Spec:
        """What the lab was started with."""
        return Settings.load(self.layout).spec

    def prometheus(self) -> Endpoint:
        """Prometheus, through its node port; only clients with a certificate of the lab get in."""
        pki = self.layout.pki
        url = f"https://127.0.0.1:{Settings.load(self.layout).prometheus_port}"
        return Endpoint(url, ca=pki("ca.crt"), cert=pki("admin.crt"), key=pki("admin.key"))

    def registry(self) -> RegistryAccess:
        """The lab's own registry; images must be complete, so the engine builds them."""
        return self._access(Settings.load(self.layout))

    def audit_logs(self) -> Path:
        """The audit logs of API server and prometheus-adapter, mounted from the control plane's node."""
        Settings.load(self.layout)
        return self.layout.dir / "audit"

    def address(self, namespace: str, service: str, port: int) -> str:
        """Where a Service answers on this machine, through kube-proxy."""
        api = Api(self.layout.kubeconfig)
        there = api.find(f"/api/v1/namespaces/{namespace}/services/{service}")
        if there is None:
            raise ProviderError(
                f"There is no Service {service} in {namespace}.", fix="Apply it first, or correct the name."
            )
        found = KubeObject({"kind": "Service", **there})
        url = f"http://127.0.0.1:{self._host_port(outside.service_port(api, found, port))}"
        written = not found.at("spec.selector")  # by hand: whoever did that says that somebody answers
        if written or backends.ready(api, namespace, service):
            outside.reachable(url, path="/health")
        return url

    def pod_address(self, pod: KubeObject) -> str:
        """Where one pod answers on this machine; empty while it has no address."""
        port = pod.at("spec.containers.0.ports.0.containerPort")
        if not (pod.at("status.podIP") and port):
            return ""
        api = Api(self.layout.kubeconfig)
        found = KubeObject({"kind": "Pod", **pod.raw})
        address = f"127.0.0.1:{self._host_port(outside.pod_port(api, found, int(port)))}"
        if pod.is_true("Ready"):
            with suppress(ProviderError):  # it may be on a node without power, which nobody has noticed yet
                outside.reachable(f"http://{address}", seconds=NOTICED)
        return address

    def kill(self, pod: KubeObject) -> int:
        """On its node, as the kernel would: containerd knows the container's first process."""
        container = str(pod.at("status.containerStatuses.0.containerID", "")).rpartition("//")[2]
        node = self._machines().container(str(pod.at("spec.nodeName", "")))
        tasks = self.engine.run("exec", node, "ctr", "--namespace", "k8s.io", "tasks", "list")
        pids = [line.split()[1] for line in tasks.splitlines() if container and line.startswith(container)]
        if not pids:
            raise ProviderError(
                f"No process of {pod!r} was found on node {node}.",
                cause="Its container is not running now.",
                fix="Wait until it runs.",
            )
        self.engine.run("exec", node, "kill", "-9", pids[0])
        return int(pids[0])

    def parts(self) -> list[Part]:
        """The nodes, the registry, and what runs in `monitoring`."""
        settings = Settings.load(self.layout)
        return parts.found(self.engine, settings, self._nodes(settings), self.layout.kubeconfig)

    def stop_node(self, name: str) -> None:
        """Turn a node's container off, with everything in it."""
        self._machines().stop(name)

    def start_node(self, name: str) -> None:
        """Turn it on."""
        self._machines().start(name)

    def restore_nodes(self) -> list[str]:
        """Turn on every node that is off."""
        return self._machines().restore()

    def plug_in(self, node: NewNode) -> None:
        """Add a container that joins the cluster by kubeadm."""
        self._added().plug_in(node)

    def plug_out(self) -> list[str]:
        """Remove every machine that was added."""
        return self._added().plug_out()

    def start_kwok(self) -> None:
        """Run KWOK in a pod."""
        kwok.start(self.engine, self.registry(), Api(self.layout.kubeconfig))

    def stop_kwok(self) -> None:
        """Stop it."""
        kwok.stop(Api(self.kubeconfig()))

    def start_keda(self) -> None:
        """Run KEDA in pods."""
        keda.start(self.engine, self.registry(), self.layout)

    def stop_keda(self) -> None:
        """Remove it with its objects."""
        self.kubeconfig()
        keda.stop(self.layout)

    def start_gateway(self, pool: Pool, config: str = "") -> None:
        """Run an inference gateway in a pod."""
        gateway.start(self.engine, self.registry(), self.layout, pool, config)

    def stop_gateway(self) -> None:
        """Remove it with its objects."""
        self.kubeconfig()
        gateway.stop(self.layout)

    def _machines(self) -> Machines:
        return Machines(self.engine, Settings.load(self.layout), Api(self.layout.kubeconfig))

    def _added(self) -> AddedNodes:
        return AddedNodes(self.engine, Settings.load(self.layout), self.layout)

    def _start(self, settings: Settings, report: Report, real: Plan | None) -> None:
        self._refuse_foreign(settings)
        settings.save(self.layout)  # before anything is created: `down` finds it, however this ends
        try:
            files.write_first(self.layout, settings)
            Startup(self.layout, settings, self.engine, self._access(settings), report, real).run()
        except (LabError, OSError, KeyboardInterrupt):
            if not settings.spec.keep:
                report("rolling back")
                self._take_down(settings)
            raise
        replace(settings, complete=True).save(self.layout)

    def _running(self) -> bool:
        """Whether the registry's container, which is the first to come and the last to go, runs."""
        return self.layout.config.exists() and self.engine.running(Settings.load(self.layout).registry)

    def _stands(self, report: Report) -> bool:
        """Whether a complete lab runs; removes what an earlier failed start left behind."""
        if not self.layout.config.exists():
            return False
        settings = Settings.load(self.layout)
        every = [*self._nodes(settings), settings.registry]
        if settings.complete and len(every) > 1:
            stopped = [name for name in every if not self.engine.running(name)]
            if stopped:
                report(f"restarting {', '.join(stopped)}")
                self.engine.run("start", *stopped)
            return True
        report("removing what an earlier failed start left behind")
        self._take_down(settings)
        return False

    def _refuse_foreign(self, settings: Settings) -> None:
        theirs = self._nodes(settings)
        if theirs:
            raise NotOurs(
                f"There is a kind cluster {settings.cluster} that this lab did not make.",
                cause=f"Its nodes are {', '.join(theirs)}; {self.layout.dir} has no record of it.",
                fix=f"Run kind delete cluster --name {settings.cluster} if it is not needed, or "
                "use another --name.",
            )

    def _take_down(self, settings: Settings) -> None:
        creation = spawn.Proc.load(self.layout.record("kind"))
        interrupted = creation is not None and creation.alive()
        if creation and interrupted:
            spawn.end(with_children([creation]), grace=2.0)
        delete_cluster(self.engine, settings, self.layout.kubeconfig)
        # What the engine was starting when its client ended appears a moment later.
        looks = LATE if interrupted else 0
        while looks:
            polling.pause(0.5)
            looks -= 1
            if self._nodes(settings):
                delete_cluster(self.engine, settings, self.layout.kubeconfig)
                looks = LATE
        delete_files(self.layout)

    def _nodes(self, settings: Settings) -> list[str]:
        return sorted(containers(self.engine, settings.cluster).values())

    def _access(self, settings: Settings) -> RegistryAccess:
        password = self.layout.dir / "registry" / "password"
        return RegistryAccess(
            host=REGISTRY_HOST,
            url=f"https://127.0.0.1:{settings.registry_port}",
            ca=self.layout.pki("ca.crt"),
            username=REGISTRY_USER,
            password=password.read_text(),
            builder=self.engine.name,
        )

    def _host_port(self, node_port: int) -> int:
        return Settings.load(self.layout).node_ports[node_port]
