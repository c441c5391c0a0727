"""The learner's handle on the lab: one verb, one line in a cell. It delegates and decides nothing.

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
from typing import Any

import httpx

from labkit import checks, clients, course, pull_secret, reset
from labkit.doctor.finding import Diagnosis
from labkit.doctor.look import look
from labkit.doctor.pipeline import diagnose
from labkit.errors import BadInput, LabError, typed
from labkit.evidence import Series, Timeline, Verdict, could_not_run
from labkit.evidence.cold_start import StartWatch
from labkit.evidence.pace import Pacing
from labkit.evidence.reads import read
from labkit.evidence.recording import Recording
from labkit.evidence.served import requests_by_pod
from labkit.evidence.states import Follower
from labkit.kube import documents, kubectl
from labkit.kube.client import Kube, Which
from labkit.kube.namespaces import NAMESPACE
from labkit.load import Closed, Load, LoadResult, Open, Running, Workload
from labkit.load import start as start_load
from labkit.metrics.client import Metrics
from labkit.metrics.series import Rows
from labkit.parts.faults import Faults
from labkit.parts.images import Images
from labkit.parts.nodes import Nodes
from labkit.view import cell_errors, cluster, diagnosis, drawing, gpus, live, notebook
from labkit.view.prediction import Prediction, predict
from labkit.view.refusal import Attempt, Refusal
from labkit.view.verdict import Hello, Note, Shown
from localcluster import catalog, gateway, keda, polling
from localcluster.provider import OwnNetwork, Pool, Provider, Spec, TakesNodes

SERVER = "llm-inference-service"
LOOKS = 8  # half a second apart, so they span four syncs of the HPA at the default clock
ANY_WORK = Workload()
SENT: dict[str, Running] = {}
"""The load that this process sends to each lab's Service, by the `repr` of its `Kube`."""


@dataclass(frozen=True)
class Session:
    """Where a notebook runs: the provider, the lab's clock and seed, and the stamp on everything it shows."""

    provider: Provider
    clock: float
    seed: int
    stamp: str


def connect(*, provider: str, clock: float, seed: int) -> Lab:
    """Find the running lab and return a handle on it. If none runs, `ProviderError` says how to start one."""
    cell_errors.short_errors()
    found = catalog.get(provider)
    same_clock(found.spec(), clock)
    kube = clients.kube(found, namespace=NAMESPACE)
    stamp = f"{provider} · {found.simulates} · lab clock {clock:g}×"
    about = {"provider": provider, "clock": clock, "seed": seed, "stamp": stamp}
    notebook.show(Hello({**about, "isolation": found.spec().isolation}))
    return Lab(Session(found, clock, seed, stamp), kube)


def same_clock(spec: Spec, clock: float) -> None:
    """Refuse a notebook whose CLOCK differs from the lab's: every figure in it would be wrong."""
    if spec.clock != clock:
        raise BadInput(
            f"This notebook uses CLOCK={clock:g}, the lab runs at {spec.clock:g}.",
            cause="The lab was started with another clock.",
            fix=f"Set CLOCK = {spec.clock:g} in the first cell; or labkit down, labkit up --clock {clock:g}.",
        )


class Lab:
    """One namespace of a running lab, with verbs named after kubectl's."""

    def __init__(self, session: Session, kube: Kube) -> None:
        self.session = session
        self.kube = kube
        self.clock = session.clock

    @cached_property
    def images(self) -> Images:
        """Build, tag and push images, and log in to the lab's registry: `lab.images.build(…)`."""
        return Images(self.kube, self.session.provider, self.session.stamp)

    @cached_property
    def nodes(self) -> Nodes:
        """Add nodes, cut their power, or simulate a thousand of them: `lab.nodes.plug_in(…)`."""
        return Nodes(self.kube, self.session.provider)

    @cached_property
    def faults(self) -> Faults:
        """Break things on purpose: `lab.faults.kill("pod/NAME")`."""
        return Faults(self.kube, self.session.provider)

    def keda(self) -> None:
        """Run KEDA, the operator and the metrics adapter; `lab.reset()` removes it with its ScaledObjects.

        It is built the first time, which takes some ten minutes. Raises `BadInput` on a cluster of others.
        """
        place = notebook.Place()
        keda.start(self.session.provider, report=lambda line: place.show(Note(line)))

    def gateway(self, config: str | Path = "") -> str:
        """Run an inference gateway in front of the model servers; returns the URL that takes requests.

        `config` is a file with an EndpointPickerConfig. `lab.reset()` removes the gateway. Raises `BadInput`
        on a cluster of others. The first time, the endpoint picker is built, which takes minutes.
        """
        place, pool = notebook.Place(), Pool(self.kube.namespace)
        text = course.path(config).read_text() if config else ""
        gateway.start(self.session.provider, pool, config=text, report=lambda line: place.show(Note(line)))
        return self.url(f"service/{gateway.SERVICE}")

    def __repr__(self) -> str:
        return f"lab on {self.kube} ({self.session.stamp})"

    def reset(self, *, login: bool = True) -> None:
        """Empty the lab's namespace, undo what earlier cells changed in the cluster, and wait for that.

        With `login=False` the ServiceAccount has no pull secret, so each pod must name its own.
        """
        self._end_load()
        began = time.monotonic()
        place = notebook.Place()
        reset.run(self.kube, self.session.provider, lambda line: place.show(Note(f"reset: {line} …")))
        if not login:
            pull_secret.give(self.kube, "")
        if isinstance(self.session.provider, TakesNodes):
            self.session.provider.plug_out()
        place.show(Note(f"reset: namespace {NAMESPACE} is fresh ({time.monotonic() - began:.1f} s)"))

    def apply(self, *paths: str | Path) -> None:
        """`kubectl apply`, all or nothing: if the API server refuses one object, none is applied."""
        notebook.show(Note(repr(self.kube.apply(*paths))))

    def delete(self, *targets: str | Path) -> None:
        """`kubectl delete`: an object such as `pod/NAME`, or every object in a manifest."""
        gone = self.kube.delete(*targets)
        notebook.show(Note("\n".join(f"{name} deleted" for name in gone) or "nothing to delete"))

    def manifest(self, path: str | Path) -> Any:
        """Read the one object in a manifest without applying it, even if this cluster lacks its kind."""
        found = documents.load(path)
        if len(found) > 1:
            raise BadInput(f"{path} holds {len(found)} objects.", fix="Name a file with one object.")
        return found[0].obj

    def kubectl(self, command: str, *, grep: str = "") -> None:
        """Run any kubectl command in the lab's namespace and show its output: `lab.kubectl("top pods")`.

        With `grep`, only the lines that contain it. If kubectl fails, the error carries its own message.
        """
        said = _lines(self.kube.kubectl(*kubectl.words(command), warnings=True), grep)
        if said:
            notebook.show(Note(said, mono=True))

    def get(self, what: str, *, selector: str | None = None) -> Any:
        """`kubectl get -o json`, as objects whose fields you read with `.at("spec.replicas")`.

        `what` is one object (`hpa/llm-hpa`), a kind (`pods`, optionally narrowed by a label `selector`), or
        a path of the API server (`/apis/…`), whose JSON is returned as it is.
        """
        if what.startswith("/"):
            return self.kube.raw(what, selector=selector)
        if "/" in what:
            return self.kube.object(what)
        return self.kube.objects(what, which=Which(selector))

    def show(self, what: str, *, selector: str | None = None) -> None:
        """`kubectl get` for a kind, `kubectl describe` for one object.

        `nodes` and `gpus` include GPU use; `queues` are those of the gateway and of the servers.
        """
        if "/" in what:
            notebook.show(Note(self.kube.kubectl("describe", what).rstrip(), mono=True))
        else:
            notebook.show(self._source.table(what, selector=selector))

    def watch(self, *kinds: str, until: str | Running, seconds: float = 120) -> None:
        """`kubectl get -w` (also `gpus`, `queues`), updated in place until a condition holds or a load ends.

        Raises `WaitTimeout` if that takes longer than `seconds`, which are real seconds.
        """
        live.watch(self._source, kinds, live.Until(until, seconds))

    def until(self, *wanted: str, seconds: float = 60) -> None:
        """Wait for each condition in turn, such as `"pods ready=3"` or `"hpa/llm-hpa desired>=6"`.

        If they take longer than `seconds` (real ones) together, `WaitTimeout` says what was last seen.
        """
        live.until(self.kube, wanted, seconds=seconds)

    def until_metric(self, promql: str, *, seconds: float = 30) -> None:
        """Wait until a PromQL comparison, such as `sum(…) > 15`, is true for at least one series."""
        live.until_metric(self.prometheus(), promql, seconds=seconds)

    def until_healthy(self, selector: str = "app=llm-model", *, seconds: float = 60) -> None:
        """Wait until each pod's server answers 200 on /health, whatever Kubernetes reports about the pod."""

        def addresses() -> list[str]:
            found = self.kube.objects("pods", which=Which(selector))
            return [self.session.provider.pod_address(pod) for pod in found]

        live.until_healthy(addresses, seconds=seconds, clock=self.clock)

    def answering(self, selector: str = "app=llm-model") -> list[str]:
        """The names of the pods whose server answers 200 on /health now, whatever Kubernetes reports."""
        pods = self.kube.objects("pods", which=Which(selector))
        return [pod.name for pod in pods if live.healthy(self.session.provider.pod_address(pod))]

    def pace(self, selector: str) -> Pacing:
        """Record when pods matching `selector` are created, bound and running; `.stop()` returns that."""
        return Pacing(self.kube, selector=selector).start()

    def pods(self, selector: str = "app=llm-model", *, phase: str = "") -> list[str]:
        """The sorted names of the pods matching `selector`; with `phase` (`Pending`), only those in it."""
        found = self.kube.objects("pods", which=Which(selector))
        return sorted(pod.name for pod in found if phase in {"", pod.at("status.phase")})

    def url(self, name: str = SERVER, *, port: int = 80) -> str:
        """The URL at which this machine reaches a Service (`NAME`, `service/NAME`) or a pod (`pod/NAME`)."""
        return clients.url(self.session.provider, self.kube, name, port=port)

    def curl(self, url: str, *, grep: str = "") -> str:
        """The body that a URL returns; with `grep`, only the lines that contain it."""
        return _lines(httpx.get(url, trust_env=False, timeout=30).text, grep)

    def load(  # noqa: PLR0913 - each is an option of a load test
        self,
        shape: Closed | Open,
        *,
        url: str = "",
        workload: Workload = ANY_WORK,
        seed: int | None = None,
        timeout: float = Load.timeout,
        drain: float = Load.drain,
        keepalive: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Running:
        """Start a load test in the background and return at once; `lab.watch(…, until=running)` follows it.

        The target is the lab's own Service, where a load that still runs is ended first, or another server
        of the lab at `url`. `timeout` is the longest a request may take, and `drain` how long to wait for
        answers after the last request, both in lab seconds. With `keepalive` each user keeps one connection;
        `headers` go along with each request.
        """
        seed = self.session.seed if seed is None else seed
        load = Load(url, shape, workload, self.clock, seed, timeout, drain, keepalive, headers=headers or {})
        if url:
            return self._start_load(load)
        self._end_load()  # on a cluster that labkit did not make, the Service may be on another machine
        load = replace(load, url=self.url(), allow_remote=not self.session.provider.owns_cluster)
        SENT[repr(self.kube)] = self._start_load(load)
        return SENT[repr(self.kube)]

    def _start_load(self, load: Load) -> Running:
        provider = self.session.provider
        inside = provider.inside(load.url) if isinstance(provider, OwnNetwork) else None
        return start_load(load, course.out("load"), inside)

    def _end_load(self) -> None:
        before = SENT.pop(repr(self.kube), None)
        if before is not None and before.alive:
            before.end()
            notebook.show(Note("The load that an earlier cell started was still running: it was stopped."))

    def requests_by_pod(self, running: Running, *, seconds: float) -> dict[str, int]:
        """Count which pods answer a running load during the next `seconds` of lab time; then end the load."""
        return requests_by_pod(running, self.pods(), seconds=seconds)

    def metrics(self, promql: str, *, since: float | None = None) -> Rows | tuple[Series, ...]:
        """Run a PromQL query: each series' value now, or its history over the last `since` lab seconds."""
        prometheus = self.prometheus()
        if since is None:
            return prometheus.query(promql)
        return tuple(prometheus.query_range(promql, start=time.time() - since / self.clock))

    def prometheus(self) -> Metrics:
        """The lab's Prometheus client, for queries that need more options than `lab.metrics` has."""
        return clients.prometheus(self.session.provider)

    def record(self, *, deployment: str = SERVER, hpa: str = "llm-hpa") -> Recording:
        """Start recording replicas, queues and events of a run; `.stop(load_result)` returns the timeline.

        `.mark("…")` labels a moment, which plots then show.
        """
        return Recording.begin(
            self.kube, self.prometheus(), names=(deployment, hpa), stamp=self.session.stamp
        )

    def plot(
        self,
        what: drawing.Drawable | str,
        *,
        title: str = "",
        target: float | None = None,
        predicted: Sequence[Series] = (),
    ) -> None:
        """Draw a recording, series from `lab.metrics`, `Curves`, pod states, or `"gpus"`.

        Also a dict of cold starts or load tests by name. In the plot of a recording, `target` is a line in
        the queue panel, and `predicted` are extra curves in the replicas panel.
        """
        if what == "gpus":
            what = gpus.read(self.prometheus())
        if isinstance(what, Timeline):
            what = what.with_series(predicted)
        stamp = self.session.stamp
        notebook.show(drawing.picture(what, title=title, target=target, clock=self.clock, stamp=stamp))

    def table(self, rows: Sequence[Mapping[str, Any]], *, title: str = "", wraps: str = "") -> None:
        """Show any rows as a table; `wraps` names the column whose long text may wrap."""
        notebook.show(cluster.frame(rows, title=title, stamp=self.session.stamp, wraps=wraps))

    def copy(self, folder: str | Path) -> Path:
        """Make a fresh copy of one of the course's folders under `out/`, for you to edit."""
        return course.copy(folder)

    @cached_property
    def _source(self) -> live.Source:
        return live.Source(self.kube, cache(self.prometheus), self.session.stamp)

    def follow(self, pod: str = "") -> Follower:
        """Record the STATUS of one pod (`pod/NAME`) or of all pods; `.stop()` returns that record."""
        return Follower(self.kube, pod=pod.removeprefix("pod/"))

    def time_start(self) -> StartWatch:
        """Time the cold start of the next new pod; `.first_token()` waits and returns the phases."""
        return StartWatch(self.kube, self.url)

    def check(self, name: str, **answers: Any) -> Verdict:
        """Check a step of the course and show the verdict with its reason. A wrong answer never raises."""
        check = checks.get(name)
        try:
            verdict = settled(check, lambda: {**read(self.kube, check.reads), **answers})
        except LabError as error:
            verdict = could_not_run(name, error.what, hint=typed(error.fix))
        notebook.show(Shown(verdict))
        return verdict

    def doctor(self, *, hpa: str = "") -> Diagnosis:
        """Follow the metric from the pods to the HPA, and show the first broken hop, with a fix."""
        found = diagnose(look(self.kube, self.prometheus, hpa=hpa))
        notebook.show(diagnosis.Shown(found, self.session.stamp))
        return found

    def refused(self, check: str = "refused", *, because: str = "") -> Refusal:
        """`with lab.refused(): …` expects the API server to refuse, shows its message, and goes on.

        `because` is text that the message must contain.
        """
        return Refusal(check, because=because)

    def attempt(self) -> Attempt:
        """`with lab.attempt(): …` shows an error that your own file causes, and continues to its check."""
        return Attempt()

    def predict(self, question: str, answer: Any) -> Prediction:
        """Commit to an answer before the run; `.compare(seen)` shows it next to what happened."""
        return predict(question, answer)


def _lines(text: str, grep: str) -> str:
    return "\n".join(line for line in text.splitlines() if grep in line)


def settled(check: checks.Check, evidence: Callable[[], dict[str, Any]]) -> Verdict:
    """The verdict; if a controller may still be working, retry a few times and return the last one."""
    verdict = check.run(evidence())
    for _ in range(LOOKS if check.settles else 0):
        if verdict.passed:
            break
        polling.pause(0.5)
        verdict = check.run(evidence())
    return verdict


__all__ = ["NAMESPACE", "Lab", "LoadResult", "connect"]
