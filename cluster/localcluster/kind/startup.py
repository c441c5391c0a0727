"""Start a kind lab: the nodes boot while the registry starts and the images are built.

One list of steps, each reported with its time. The provider rolls a failed start back.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx

from localcluster import polling, spawn
from localcluster.api.client import Api
from localcluster.api.kubectl import kubectl
from localcluster.api.objects import KubeObject
from localcluster.embedded.startup import METRICS_APIS
from localcluster.errors import ClusterError, ProviderError, WaitTimeout
from localcluster.images.distribution import ENVIRONMENT
from localcluster.kind import files, images, nvidia, uplink
from localcluster.kind.engine import Engine
from localcluster.kind.settings import Settings
from localcluster.layout import Layout
from localcluster.provider import RegistryAccess, Report
from localcluster.stored import write_atomically
from localcluster.toolchain import ladder

PATIENCE = 300.0
"""Seconds for the nodes, and for what runs on them; a slow machine needs sixty, a first pull the rest."""

TRIES = 3
"""How often manifests are applied to an API server that stops answering."""

GPU_RESOURCE = "nvidia.com/gpu"
NETWORK = "kind"


@dataclass
class Startup:
    """One start of one lab."""

    layout: Layout
    settings: Settings
    engine: Engine
    access: RegistryAccess
    report: Report
    real: nvidia.Plan | None = None
    """The host's own GPUs, if requested."""
    began: float = field(default_factory=time.monotonic)
    _done: list[str] = field(default_factory=list)

    def run(self) -> None:
        """All steps, in order."""
        creation = self._begin_cluster()
        made = self._images()
        self._registry(made["REGISTRY"])
        images.publish(self.engine, (made[k] for k in ("PROMETHEUS", "ADAPTER", "PLUGIN")), self.access)
        self.say("the registry has the images of Prometheus, its adapter and the GPU plugin")
        # What runs on the control plane's node starts while the workers still boot.
        self._until_said("Installing CNI", creation)
        self._apply(images.tags(made))
        self._until_said("", creation)
        self.say("the nodes run")
        if self.real:
            self._give_gpus(self.real)
        self._until_ready()
        uplink.limit(self.engine, self.settings, NETWORK, self.say)

    def say(self, line: str) -> None:
        """Report a line with the seconds since the start."""
        self.report(f"{time.monotonic() - self.began:5.1f} s  {line}")

    def _begin_cluster(self) -> spawn.Child:
        """Let kind boot the nodes, in a process of its own."""
        kind = ladder.ensure(["kind"])["kind"]
        config = self.layout.dir / "cluster.yaml"
        made = files.cluster_config(self.layout, self.settings, cpus=self.engine.cpus(), real=self.real)
        write_atomically(config, made)
        argv = (kind, "create", "cluster", "--name", self.settings.cluster, "--config", config)
        retain = ("--retain",) if self.settings.spec.keep else ()
        options: tuple[str | Path, ...] = ("--kubeconfig", self.layout.kubeconfig, *retain)
        log = self.layout.log("kind")
        log.unlink(missing_ok=True)
        child = spawn.popen((*argv, *options), log=log, env=self.engine.environment)
        spawn.Proc.of(child.pid).save(self.layout.record("kind"))
        self.say(f"kind boots {self._node_count} nodes (half a minute once its image is here)")
        return child

    def _images(self) -> dict[str, images.Made]:
        made = {
            "REGISTRY": images.component(self.engine, "registry"),
            "PROMETHEUS": images.component(self.engine, "prometheus"),
            "ADAPTER": images.component(self.engine, "prometheus-adapter"),
            "PLUGIN": images.plugin(self.engine),
        }
        self.say("images are made")
        return made

    def _registry(self, image: images.Made) -> None:
        """A registry of the lab's own, for the nodes and for this machine's loopback."""
        folder, pki = self.layout.dir / "registry", self.layout.pki
        mounts = {
            folder / "config.yml": "config.yml",
            folder / "htpasswd": "htpasswd",
            pki("registry.crt"): "registry.crt",
            pki("registry.key"): "registry.key",
        }
        words = ["run", "--detach", "--name", self.settings.registry, "--restart", "on-failure"]
        words += ["--publish", f"127.0.0.1:{self.settings.registry_port}:5000"]
        words += [word for key, value in ENVIRONMENT.items() for word in ("--env", f"{key}={value}")]
        words += [w for path, name in mounts.items() for w in ("--volume", f"{path}:/lab/{name}:ro")]
        self.engine.remove(self.settings.registry)
        self.engine.run(*words, "--volume", "/lab/data", image.local, "serve", "/lab/config.yml")
        self._until(self._registry_answers, "the registry to answer")

    def _registry_answers(self) -> bool:
        with suppress(httpx.TransportError):
            context = ssl.create_default_context(cafile=str(self.access.ca))
            httpx.get(self.access.url, verify=context, trust_env=False, timeout=5)
            return True
        return False

    def _until_said(self, step: str, creation: spawn.Child) -> None:
        """Wait until kind has done a step; without one, until it has made the cluster."""

        def over() -> bool:
            self._listen()
            return creation.poll() is not None or bool(step and any(step in said for said in self._done))

        try:
            polling.until(over, "kind to make the cluster", seconds=PATIENCE, every=0.1)
        except WaitTimeout as error:
            raise self._broken("kind did not make the cluster in time.") from error
        if creation.returncode:
            raise self._broken("kind could not make the cluster.")

    def _listen(self) -> None:
        """Report kind's progress."""
        with suppress(FileNotFoundError):
            lines = self.layout.log("kind").read_text(errors="replace").splitlines()
            steps = [line.strip().removeprefix("✓").strip() for line in lines if line.strip().startswith("✓")]
            for step in steps[len(self._done) :]:
                self.say(f"kind: {step}")
            self._done = steps

    def _apply(self, tags: dict[str, str]) -> None:
        """What a fresh cluster lacks: Prometheus, its adapter, GPUs, and the namespaces."""
        files.write_manifests(self.layout, self.settings, tags, real=self.real)
        self.engine.run("network", "connect", NETWORK, self.settings.registry)
        config = self.layout.kubeconfig
        kind = ladder.ensure(["kind"])["kind"]
        known = spawn.run(
            (kind, "get", "kubeconfig", "--name", self.settings.cluster), env=self.engine.environment
        )
        write_atomically(config, known.stdout)
        kubectl("config", "set-context", "--current", "--namespace=llm-lab", kubeconfig=config)
        self._apply_manifests()
        self.say("manifests are applied")

    def _apply_manifests(self) -> None:
        """Again if the API server stopped answering: kind may still be at work on the control plane."""
        words = ("--server-side", "--force-conflicts", "--field-manager=labkit", "-k", self.layout.dir)
        for left in reversed(range(TRIES)):
            try:
                kubectl("apply", *words, kubeconfig=self.layout.kubeconfig)
            except ClusterError:
                if not left:
                    raise
            else:
                return
            self._until(lambda: Api(self.layout.kubeconfig).get("/version"), "the API server to answer again")

    def _give_gpus(self, real: nvidia.Plan) -> None:
        """The plan's steps inside each GPU worker; the first that fails ends the start."""
        for node, worker in nvidia.by_node(self.settings.cluster, real, before=self.settings.spec.cpu_nodes):
            for step in worker.steps:
                try:
                    self.engine.run("exec", node, "bash", "-euc", step.script, seconds=PATIENCE)
                except ProviderError as error:
                    what = f"Node {node} has no real GPUs; the step {step.name!r} failed: {error.what}"
                    raise ProviderError(what, cause=error.cause, fix=step.fix) from error
                self.say(f"{node}: {step.name} ({step.why})")

    def _until_ready(self) -> None:
        api = Api(self.layout.kubeconfig)
        self._until(lambda: self._nodes_ready(api), "all nodes to be Ready, with their GPUs")
        self.say("all nodes are Ready and announce their GPUs")
        for name in ("prometheus", "prometheus-adapter"):
            self._until(partial(_available, api, name), f"{name} to run")
        self.say("Prometheus and its adapter run")
        for path in METRICS_APIS.values():
            self._until(partial(api.get, path), f"{path} to answer")
        self.say("both metrics APIs answer")

    def _nodes_ready(self, api: Api) -> bool:
        nodes = [KubeObject(node) for node in api.get("/api/v1/nodes")["items"]]
        gpus = [int(node.at("status.allocatable", {}).get(GPU_RESOURCE, 0)) for node in nodes]
        return (
            len(nodes) == self._node_count
            and all(node.is_true("Ready") for node in nodes)
            and sorted(n for n in gpus if n) == sorted(n for n in self._shares if n)
        )

    @property
    def _shares(self) -> list[int]:
        """How many GPUs each GPU worker has."""
        spec = self.settings.spec
        if self.real:
            return [len(worker.gpus) for worker in self.real.workers]
        return [spec.gpus_per_node] * spec.gpu_nodes

    @property
    def _node_count(self) -> int:
        return 1 + len(self._shares) + self.settings.spec.cpu_nodes

    def _until(self, probe: Callable[[], object], what: str) -> None:
        def look() -> object:
            with suppress(ClusterError):  # not there yet, or not answering yet
                return probe()
            return None

        try:
            polling.until(look, what, seconds=PATIENCE, every=0.2, last_seen=self._last_seen)
        except WaitTimeout as error:
            raise ProviderError(
                str(error), fix="See `localcluster logs --provider kind`, then run up again."
            ) from error

    def _last_seen(self) -> str:
        """The newest pods that don't run, in kubectl's words."""
        with suppress(ClusterError):
            found = kubectl(
                "get", "pods", "--all-namespaces", "--no-headers", kubeconfig=self.layout.kubeconfig
            )
            stuck = [" ".join(line.split()[:4]) for line in found.splitlines() if "Running" not in line]
            return "; ".join(stuck[:5]) or "all pods run"
        return "the API server does not answer"

    def _broken(self, what: str) -> ProviderError:
        log = self.layout.log("kind")
        said = log.read_text(errors="replace") if log.exists() else ""
        lines = [line for line in said.splitlines() if line.startswith(("ERROR", "Command Output"))]
        tail = "\n".join(f"    {line[:300]}" for line in (lines or said.splitlines())[-4:])
        text = f"{what}\nThe end of {log}:\n{tail}"
        if guessed := self.engine.guess(said):
            return ProviderError(text, cause=guessed[0], fix=guessed[1])
        return ProviderError(text, fix="Read the log; with `--keep`, the nodes stay for inspection.")


def _available(api: Api, deployment: str) -> bool:
    path = f"/apis/apps/v1/namespaces/monitoring/deployments/{deployment}"
    return KubeObject(api.get(path)).is_true("Available")


def delete_cluster(engine: Engine, settings: Settings, kubeconfig: Path) -> None:
    """Remove the nodes and the registry, if they exist."""
    kind = ladder.ensure(["kind"])["kind"]
    argv = (kind, "delete", "cluster", "--name", settings.cluster, "--kubeconfig", kubeconfig)
    done = spawn.run(argv, env=engine.environment, seconds=120)
    if done.returncode:
        raise ProviderError(f"kind could not delete {settings.cluster}: {done.stderr.strip()[-300:]}")
    engine.remove(settings.registry)
