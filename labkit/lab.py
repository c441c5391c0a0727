"""The learner's handle: what a notebook says in one line. It delegates, it decides nothing.

>>> lab = labkit.connect()
>>> lab.reset()
>>> lab.apply("manifests/overlays/embedded")
>>> lab.until("deployment/llm-inference-service available", seconds=60)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from labkit import _wait, checks, course, faults, kwok, pull_secret, reset
from labkit.autoscaling import ledger
from labkit.autoscaling.setting import Choice
from labkit.autoscaling.simulator import Outcome
from labkit.autoscaling.sweep import Sweep
from labkit.doctor.finding import Diagnosis
from labkit.doctor.look import look
from labkit.doctor.pipeline import diagnose
from labkit.errors import BadInput, LabError
from labkit.evidence import Bill, Series, Timeline, Verdict, could_not_run
from labkit.evidence.cold_start import ColdStart, StartWatch
from labkit.evidence.pace import Pacing
from labkit.evidence.reads import read
from labkit.evidence.recording import Recording, in_lab_time
from labkit.evidence.served import requests_by_pod
from labkit.evidence.states import Follower, States
from labkit.gpu_faults import GpuFaults
from labkit.gpus.faults import DEFAULT_REASON
from labkit.kube import documents
from labkit.kube.client import Kube, Which
from labkit.kube.objects import KubeObject
from labkit.load import Closed, Load, LoadResult, Open, Running
from labkit.load import start as start_load
from labkit.metrics.client import Metrics
from labkit.metrics.series import Rows
from labkit.providers import catalog, clients
from labkit.providers.base import (
    NewNode,
    Provider,
    RegistryAccess,
    Spec,
    TakesNodes,
    joining,
    only_embedded,
)
from labkit.view import (
    cell_errors,
    cluster,
    curve,
    decisions,
    diagnosis,
    gpus,
    image,
    live,
    notebook,
    plot,
    states,
    updates,
)
from labkit.view.prediction import Prediction, predict
from labkit.view.refusal import Attempt, Refusal
from labkit.view.verdict import Hello, Note, Shown
from labkit.what_if import WhatIf
from labkit.workshop import Built, Push, Workshop

NAMESPACE = "llm-lab"
SERVER = "llm-inference-service"
LOOKS = 8  # half a second apart: four syncs of the HPA at the default clock
NONE: Mapping[str, Bill] = MappingProxyType({})


@dataclass(frozen=True)
class Session:
    """Where a notebook works: the provider, the lab's clock and seed, and the stamp on all it shows."""

    provider: Provider
    clock: float
    seed: int
    stamp: str


def connect(*, provider: str, clock: float, seed: int) -> Lab:
    """Find the running lab; `ProviderError` with the way to start one where there is none."""
    cell_errors.short_errors()
    found = catalog.get(provider)
    same_clock(found.spec(), clock)
    kube = clients.kube(found, namespace=NAMESPACE)
    stamp = f"{provider} · {found.simulates} · lab clock {clock:g}×"
    notebook.show(Hello({"provider": provider, "clock": clock, "seed": seed, "stamp": stamp}))
    return Lab(Session(found, clock, seed, stamp), kube)


def same_clock(spec: Spec, clock: float) -> None:
    """Refuse a notebook whose CLOCK is not the lab's: every figure in it would be off."""
    if spec.clock != clock:
        raise BadInput(
            f"This notebook counts with CLOCK={clock:g}, the lab runs at {spec.clock:g}.",
            cause="The lab was started with another clock.",
            fix=f"Set CLOCK = {spec.clock:g} in the first cell; or labkit down, labkit up --clock {clock:g}.",
        )


class Lab:
    """One namespace of one lab, in kubectl's words."""

    def __init__(self, session: Session, kube: Kube) -> None:
        self.session = session
        self.kube = kube
        self.clock = session.clock

    def __repr__(self) -> str:
        return f"lab on {self.kube} ({self.session.stamp})"

    def reset(self) -> None:
        """Start from an empty namespace, whatever ran before; waits until it is there."""
        began = time.monotonic()
        place = notebook.Place()
        reset.run(self.kube, self.session.provider, lambda line: place.show(Note(f"reset: {line} …")))
        if isinstance(self.session.provider, TakesNodes):
            self.session.provider.plug_out()
        place.show(Note(f"reset: namespace {NAMESPACE} is fresh ({time.monotonic() - began:.1f} s)"))

    def plug_in(self, name: str, **what: Any) -> None:
        """A simulated machine joins: `gpus=1, gpu_product="NVIDIA-L4"`. `reset` takes it away again."""
        joining(self.session.provider).plug_in(NewNode(name, **what))
        self.until(f"node/{name} ready")

    def apply(self, *paths: str | Path) -> None:
        """`kubectl apply`: all of it, or nothing where the API server refuses anything."""
        notebook.show(Note(repr(self.kube.apply(*map(course.path, paths)))))

    def delete(self, *targets: str | Path) -> None:
        """`kubectl delete`: `pod/NAME`, or what a manifest names."""
        gone = self.kube.delete(*targets)
        notebook.show(Note("\n".join(f"{name} deleted" for name in gone) or "nothing to delete"))

    def plant(self, path: str) -> None:
        """Break a part of the cluster itself, as a file says; `lift` and `reset` put it back."""
        owned = self.session.provider.owns_cluster
        for name in faults.plant(self.kube, course.path(path), owned=owned):
            notebook.show(Note(f"{name} changed, as {path} says"))

    def lift(self) -> None:
        """Put back what `plant` changed."""
        notebook.show(
            Note("\n".join(f"{name} put back" for name in faults.lift(self.kube)) or "all is as it was")
        )

    def manifest(self, path: str) -> Any:
        """What a file says, without applying it: for objects of kinds that this cluster does not have."""
        found = documents.load(course.path(path))
        if len(found) > 1:
            raise BadInput(f"{path} holds {len(found)} objects.", fix="Name a file with one.")
        return found[0].obj

    def scale(self, target: str, *, replicas: int) -> None:
        """`kubectl scale`: the number of replicas, by hand."""
        self.kube.scale(target, replicas=replicas)
        notebook.show(Note(f"{target} scaled to {replicas}"))

    def show(self, what: str, *, selector: str | None = None) -> None:
        """`kubectl get` for a kind, `kubectl describe` for one object; `nodes` and `gpus` tell of GPUs."""
        if "/" in what:
            notebook.show(Note(self.kube.kubectl("describe", what).rstrip(), mono=True))
        else:
            notebook.show(self._source.table(what, selector=selector))

    def events(self, of: str = "") -> None:
        """`kubectl events`, oldest first; of one object (`pod/NAME`) where it is named."""
        title, without = (f"events of {of}", ["Object"]) if of else ("events", [])
        found = self.kube.events(of)
        notebook.show(cluster.printed(found, title=title, stamp=self.session.stamp, without=without))

    def watch(self, *kinds: str, until: str | Running, seconds: float = 120) -> None:
        """`kubectl get -w` in place (also `gpus`), until a condition holds or a load ends; or raise."""
        live.watch(self._source, kinds, live.Until(until, seconds))

    def until(self, *wanted: str, seconds: float = 60) -> None:
        """Wait for named conditions; `WaitTimeout` tells what was last seen. Real seconds."""
        live.until(self.kube, wanted, seconds=seconds)

    def until_metric(self, promql: str, *, seconds: float = 30) -> None:
        """Wait until a PromQL comparison, such as `sum(…) > 15`, holds for at least one series."""
        live.until_metric(self.prometheus(), promql, seconds=seconds)

    def until_healthy(self, selector: str = "app=llm-model", *, seconds: float = 60) -> None:
        """Wait until each pod's server says 200 under /health, whatever Kubernetes believes."""

        def addresses() -> list[str]:
            found = self.kube.objects("pods", which=Which(selector))
            return [self.session.provider.pod_address(pod) for pod in found]

        live.until_healthy(addresses, seconds=seconds, clock=self.clock)

    def answering(self, selector: str = "app=llm-model") -> list[str]:
        """The names of the pods whose server says 200 under /health now, whatever Kubernetes believes."""
        pods = self.kube.objects("pods", which=Which(selector))
        return [pod.name for pod in pods if live.healthy(self.session.provider.pod_address(pod))]

    def kill(self, pod: str) -> None:
        """`kill -9`, from outside, for the first process of `pod/NAME`."""
        pid = self.session.provider.kill(self.kube.object(pod))
        notebook.show(Note(f"{pod}: process 1 of its container, {pid} on its node, got SIGKILL"))

    @cached_property
    def gpus(self) -> GpuFaults:
        """The simulated GPUs: `lab.gpus.ls()`."""
        return GpuFaults(self.kube, self.session.provider.spec().name)

    def fail_gpu(self, node: str, gpu: int | str, *, reason: str = DEFAULT_REASON) -> None:
        """Let a simulated GPU fail (its index, or its UUID), as a driver would report it."""
        notebook.show(Note(self.gpus.fail(node, gpu, reason=reason)))

    def heal_gpu(self, node: str, gpu: int | str) -> None:
        """Make a failed GPU healthy again."""
        notebook.show(Note(self.gpus.heal(node, gpu)))

    def stop_node(self, name: str) -> None:
        """Cut a node's power: its containers end, and nobody tells the control plane."""
        catalog.machines(self.session.provider).stop_node(name)
        notebook.show(Note(f"{name} has no power any more"))

    def start_node(self, name: str) -> None:
        """Give a node its power back, and wait until it is Ready."""
        catalog.machines(self.session.provider).start_node(name)
        notebook.show(Note(f"{name} is Ready"))

    def kwok(self, *, nodes: int) -> None:
        """Let KWOK play the kubelets of so many GPU nodes that nobody has; 0 takes all of it away again."""
        place = notebook.Place()
        kwok.scale(self.kube, self.session.provider, nodes=nodes, report=lambda line: place.show(Note(line)))

    def pace(self, selector: str) -> Pacing:
        """Begin to write down when pods with a label are created, bound and running; `.stop()` gives it."""
        return Pacing(self.kube, selector=selector).start()

    def object(self, name: str) -> KubeObject:
        """One object as JSON: `lab.object("hpa/llm-hpa").at("status.desiredReplicas")`."""
        return self.kube.object(name)

    def pods(self, selector: str = "app=llm-model", *, phase: str = "") -> list[str]:
        """The names of the pods with a label, in order; only those in a phase (`Pending`) if one is named."""
        found = self.kube.objects("pods", which=Which(selector))
        return sorted(pod.name for pod in found if phase in {"", pod.at("status.phase")})

    def nodes(self, selector: str = "") -> list[str]:
        """The names of the nodes with a label, in order: `lab.nodes("nvidia.com/gpu.present")`."""
        return sorted(node.name for node in self.kube.objects("nodes", which=Which(selector)))

    def raw(self, path: str) -> Any:
        """`kubectl get --raw PATH`."""
        return self.kube.raw(path)

    def url(self, name: str = SERVER, *, port: int = 80) -> str:
        """Where a Service answers on this machine, or one pod (`pod/NAME`)."""
        if name.startswith("pod/"):
            return f"http://{self.session.provider.pod_address(self.kube.object(name))}"
        return self.session.provider.address(NAMESPACE, name, port)

    def curl(self, url: str, *, grep: str = "") -> str:
        """What an address answers; only the lines with `grep` in them."""
        text = httpx.get(url, trust_env=False, timeout=30).text
        return "\n".join(line for line in text.splitlines() if grep in line)

    def load(self, shape: Closed | Open, **options: Any) -> Running:
        """Start a load on the model server and go on; `lab.watch(…, until=running)` follows it."""
        if "url" not in options:  # the lab's own Service, wherever a cluster that is not labkit's has it
            options |= {"url": self.url(), "allow_remote": not self.session.provider.owns_cluster}
        options = {"clock": self.clock, "seed": self.session.seed, **options}
        return start_load(Load(shape=shape, **options), course.out("load"))

    def requests_by_pod(self, running: Running, *, seconds: float) -> dict[str, int]:
        """Who answers a running load in the next lab `seconds`; ends the load."""
        return requests_by_pod(running, self.pods(), seconds=seconds)

    def metrics(self, promql: str, *, since: float | None = None) -> Rows | tuple[Series, ...]:
        """PromQL: what each series says now, or its course over the last `since` lab seconds."""
        prometheus = self.prometheus()
        if since is None:
            return prometheus.query(promql)
        start = time.time() - since / self.clock
        found = prometheus.query_range(promql, start=start)
        return in_lab_time(found, start=start, clock=self.clock)

    def prometheus(self) -> Metrics:
        """The lab's Prometheus, for queries with more options."""
        return clients.prometheus(self.session.provider)

    def record(self, *, deployment: str = SERVER, hpa: str = "llm-hpa") -> Recording:
        """Begin to record; `.mark("…")` notes a moment, `.stop(load_result)` gives the timeline."""
        return Recording.begin(
            self.kube, self.prometheus(), names=(deployment, hpa), stamp=self.session.stamp
        )

    def plot(
        self,
        what: Timeline | Sequence[Series],
        *,
        title: str = "",
        target: float | None = None,
        predicted: Sequence[Series] = (),
    ) -> None:
        """Draw a recording, with predicted curves over it, or series from `lab.metrics`."""
        shown = what.with_series(predicted) if isinstance(what, Timeline) else what
        notebook.show(plot.picture(shown, title=title, target=target, stamp=self.session.stamp))

    def ledger(self, run: Timeline | None = None, *, hpa: str = "llm-hpa") -> ledger.Ledger:
        """Every sync of the real HPA controller (during a recording, or all), worked out anew."""
        found = ledger.read(self.session.provider.audit_logs(), clock=self.clock)
        mine = found.of(hpa, namespace=self.kube.namespace)
        return mine.during(run) if run else mine

    def why(self, run: Timeline, *, title: str = "Why did it (not) scale?", hpa: str = "llm-hpa") -> None:
        """A sentence for each decision of the HPA that says something new, numbered in the plot of a run."""
        found = self.ledger(run, hpa=hpa)
        told = found.telling().sentences()
        notebook.show(decisions.picture(run, told, title=title))
        notebook.show(decisions.table(told, title=str(found), stamp=self.session.stamp))

    def what_if(self, shape: Open, policy: Choice, **options: Any) -> Outcome:
        """Ask the model what a load would meet under a policy: an HPA's file, or a number of replicas."""
        return self._model.ask(shape, policy, **options)

    def sweep(self, shape: Open, *, ttft: float, **options: Any) -> Sweep:
        """Ask the model about a thousand policies: share served within `ttft`, and GPU-seconds."""
        return self._model.sweep(shape, ttft=ttft, **options)

    def plot_frontier(self, found: Sweep, *, title: str, real: Mapping[str, Bill] = NONE) -> None:
        """Draw a sweep: promises kept against GPU-seconds, its frontier, and what the cluster said."""
        notebook.show(self._model.picture(found, title=title, real=real))

    @property
    def _model(self) -> WhatIf:
        return WhatIf(self.kube, self.session.seed, self.session.stamp)

    def curve(self, curves: Mapping[str, curve.Points], **frame: Any) -> None:
        """Draw one quantity against another: `title`, `x` and `y` name it; `x_marks`, `y_marks` add lines."""
        notebook.show(curve.picture(curves, curve.Frame(stamp=self.session.stamp, **frame)))

    def plot_updates(self, runs: Mapping[str, LoadResult], *, title: str) -> None:
        """Draw every request of some load tests: when it was sent, how long its answer was, how it ended."""
        notebook.show(updates.picture(runs, title=title, stamp=self.session.stamp))

    def table(self, rows: Sequence[Mapping[str, Any]], *, title: str = "", wraps: str = "") -> None:
        """Rows of any kind as a table; `wraps` names a column that holds sentences."""
        notebook.show(cluster.frame(rows, title=title, stamp=self.session.stamp, wraps=wraps))

    def copy(self, folder: str) -> Path:
        """A fresh copy of one of the course's folders, under `out/`, for you to change."""
        return course.copy(folder)

    @cached_property
    def _source(self) -> live.Source:
        return live.Source(self.kube, cache(self.prometheus), self.session.stamp)

    @cached_property
    def registry(self) -> RegistryAccess:
        """The lab's registry: its name, and the login to it."""
        access = self.session.provider.registry()
        if access is None:
            raise only_embedded(
                "This cluster has no registry of its own.", cause="Its owner looks after images."
            )
        return access

    @cached_property
    def workshop(self) -> Workshop:
        """Images on this machine, and the way to the lab's registry."""
        return Workshop(self.registry)

    def build(self, folder: Path, name: str) -> Built:
        """`docker build -t NAME FOLDER`, with each step and its layer."""
        built = self.workshop.build(folder, name)
        notebook.show(image.built(built, stamp=self.session.stamp))
        return built

    def tag(self, name: str, new: str) -> None:
        """`docker tag`: one more name for an image on this machine."""
        notebook.show(Note(f"{new} → {self.workshop.tag(name, new)}"))

    def login(self, username: str, password: str) -> None:
        """`docker login`: ask the lab's registry, and remember the login for this notebook."""
        self.workshop.login(username, password)
        notebook.show(Note(f"{self.registry.host} takes the login of {username}"))

    def push(self, name: str) -> Push:
        """`docker push`, with the layers that travelled and those that were there."""
        done = self.workshop.push(name)
        notebook.show(image.pushed(done, stamp=self.session.stamp))
        return done

    def digest(self, name: str) -> str:
        """Which image a name means in the registry, at this moment."""
        return self.workshop.digest(name)

    def pull_secret(self, name: str, *, namespace: str = NAMESPACE, password: str = "") -> None:
        """`kubectl create secret docker-registry`, with the lab's login or another password."""
        access = replace(self.registry, password=password) if password else self.registry
        pull_secret.make(self.kube, access, name=name, namespace=namespace)
        notebook.show(Note(f"secret/{name} in namespace {namespace}: a login to {access.host}"))

    def follow(self, pod: str = "") -> Follower:
        """Begin to write down a pod's STATUS (`pod/NAME`), or all of them; `.stop()` gives it."""
        return Follower(self.kube, pod=pod.removeprefix("pod/"))

    def time_start(self) -> StartWatch:
        """Time the start of the next new pod; `.first_token()` waits for its end and gives its phases."""
        return StartWatch(self.kube, self.url)

    def plot_starts(self, starts: Mapping[str, ColdStart], *, title: str) -> None:
        """Draw cold starts as rows of phases."""
        rows = States(self.clock, {name: start.phases for name, start in starts.items()})
        self.plot_states(rows, title=title)

    def plot_gpus(self, *, title: str) -> None:
        """Draw each node's GPUs as DCGM sees them now: free, held, and how much of their memory is used."""
        notebook.show(gpus.picture(gpus.read(self.prometheus()), title=title, stamp=self.session.stamp))

    def plot_states(self, seen: States, *, title: str) -> None:
        """Draw what pods went through as bars over lab time."""
        notebook.show(states.picture(seen, title=title, stamp=self.session.stamp))

    def check(self, name: str, **answers: Any) -> Verdict:
        """Judge a step of the course and show why; never raises for a wrong answer."""
        check = checks.get(name)
        try:
            verdict = settled(check, lambda: {**read(self.kube, check.reads), **answers})
        except LabError as error:
            verdict = could_not_run(name, error.what, hint=error.fix)
        notebook.show(Shown(verdict))
        return verdict

    def doctor(self, *, hpa: str = "") -> Diagnosis:
        """Walk from the pods' /metrics to the HPA and name the first broken hop, with cause and fix."""
        found = diagnose(look(self.kube, self.prometheus, hpa=hpa))
        notebook.show(diagnosis.Shown(found, self.session.stamp))
        return found

    def refused(self, check: str = "refused", *, because: str = "") -> Refusal:
        """`with lab.refused(): …` expects the API server to say no, shows its words, and goes on."""
        return Refusal(check, because=because)

    def attempt(self) -> Attempt:
        """`with lab.attempt(): …` shows what your own file met, and goes on to the check that judges it."""
        return Attempt()

    def predict(self, question: str, answer: Any) -> Prediction:
        """Commit to an answer before the run; `.compare(seen)` holds it against what happened."""
        return predict(question, answer)


def settled(check: checks.Check, evidence: Callable[[], dict[str, Any]]) -> Verdict:
    """The verdict; where a controller may still be at work, the last one of a few looks."""
    verdict = check.run(evidence())
    for _ in range(LOOKS if check.settles else 0):
        if verdict.passed:
            break
        _wait.pause(0.5)
        verdict = check.run(evidence())
    return verdict


__all__ = ["Lab", "LoadResult", "connect"]
