"""Notebook 02's checks: who starts what again, and what an update costs its users.

Pure. Refuses to take an update without users for one that nobody noticed: the load must have been there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from labkit.checks.check import Check, Finding, dig, matches, number
from labkit.evidence import Timeline, plainly
from labkit.evidence.outcomes import outcomes
from labkit.evidence.states import Span, States
from labkit.load import LoadResult

SERVER = "spec.template.spec.containers.0"
LESSON = {
    "metadata.name": "llm-inference-service",
    "spec.replicas": 2,
    "spec.template.metadata.labels.app": "llm-model",
    f"{SERVER}.name": "model-server",
    f"{SERVER}.resources.requests.cpu": "4",
    f"{SERVER}.resources.requests.memory": "16Gi",
    f"{SERVER}.ports.0.containerPort": 8000,
    f"{SERVER}.readinessProbe.httpGet.path": "/health",
}
GPU, IMAGE = "nvidia.com/gpu", "registry.lab:5000/llm-inference:1.0"
MAINTAINERS = {"process": ("kubelet",), "pod": ("replicaset", "deployment")}
CURES = {"loading": ("readiness",), "stopping": ("prestop",), "cut_off": ("graceperiod",)}
ENOUGH = 60  # requests that an update must have met before "none failed" means anything
DOUBLING = 1.4  # a busy machine blurs the factor of 2
DOWN = ("Error", "OOMKilled", "Completed", "CrashLoopBackOff")
SHORTEST = 4.0  # lab seconds: the shortest wait is 10; what is far below is the last of one that ends
PATIENCE = 60.0  # lab seconds of silence before a restart may follow

Json = Mapping[str, Any]


def deployment(deployment: Json | None) -> Finding:
    """The lesson's Deployment with a GPU and a probe, and both of its pods ready."""
    found = matches(deployment, LESSON, name="deployment/llm-inference-service")
    if not found.passed:
        return found
    gpus = str((dig(deployment, f"{SERVER}.resources.limits") or {}).get(GPU))
    ready = dig(deployment, "status.readyReplicas") or 0
    hint = "Nothing says that this pod needs a GPU: where do extended resources go?" if gpus != "1" else ""
    observed = f"{GPU} limit {gpus}; {ready} of 2 pods ready"
    return Finding(passed=gpus == "1" and ready == 2, observed=observed, hint=hint)


def healed(timeline: Timeline, pods: Sequence[Json] | None) -> Finding:
    """One pod fell out and came back, and it is the same pod: restarted, not replaced."""
    if not timeline.one("ready").points:
        return Finding(passed=False, observed="nothing was recorded", inconclusive=True)
    took = recovery(timeline)
    restarts = sum(_restarts(pod) for pod in pods or ())
    if took is None:
        return Finding(passed=False, observed=f"ready never fell and rose again; {restarts} restarts")
    observed = f"not ready for {took:.0f} lab seconds; {restarts} restarts"
    return Finding(passed=restarts >= 1, observed=observed)


def backoff(answer: Any, states: States) -> Finding:
    """The waits grew, and the learner can say how it goes on."""
    waits = [w for spans in states.pods.values() for w in _waits(spans)]
    longest = max(waits, default=0.0)
    observed = f"you say {plainly(answer)}; waits so far: {', '.join(f'{w:.0f} s' for w in waits) or 'none'}"
    if len(waits) < 3:
        hint = "Fewer than three whole waits were seen: were the five crashes recorded?"
        return Finding(passed=False, observed=observed, hint=hint)
    first, second, third = waits[:3]
    grows = first < second < third and third >= DOUBLING**2 * first
    said = number(answer)
    hint = (
        ""
        if said != 2 * round(longest, -1)
        else "That is the wait after the fifth crash. And after one more?"
    )
    return Finding(passed=grows and said == 160, observed=observed, hint=hint)


def who(process: Any, pod: Any) -> Finding:
    """Who brings back a dead process, and who a deleted pod."""
    said = {"process": process, "pod": pod}
    wrong = [name for name, right in MAINTAINERS.items() if not _names(said[name], right)]
    hints = {
        "process": "The pod kept its name and its node, and only RESTARTS went up. Who lives on that node?",
        "pod": "A pod of another name took its place. Whose events speak of it (kubectl describe)?",
    }
    observed = f"process: {process}, pod: {pod}"
    return Finding(passed=not wrong, observed=observed, hint=hints[wrong[0]] if wrong else "")


def variants(runs: Mapping[str, LoadResult]) -> Finding:
    """Three updates, each with failures of its own kind."""
    if not isinstance(runs, Mapping) or len(runs) < 3:
        return Finding(passed=False, observed="fewer than three updates were recorded")
    first, second, third = list(runs.values())[:3]
    told = "; ".join(f"{name}: {_told(run)}" for name, run in runs.items())
    early = sum(first.failures().get(kind, 0) for kind in ("http_503", "reset"))
    later = [run.failures().get("http_503", 0) for run in (second, third)]
    broken = [run.failures().get("broken", 0) for run in (second, third)]
    if early and not any(later) and not all(broken):
        hint = "By chance nobody was in the middle of a long answer: run the update again."
        return Finding(passed=False, observed=told, hint=hint, inconclusive=True)
    return Finding(passed=early > 0 and not any(later) and all(broken), observed=told)


def grace(answer: Any, longest: Any, pre_stop: Any) -> Finding:
    """Both must fit: waiting before the stop, and the longest answer."""
    said, parts = number(answer), (number(longest), number(pre_stop))
    if parts[0] is None or parts[1] is None or parts[0] <= 0:
        return Finding(passed=False, observed="no answer was measured yet", inconclusive=True)
    needed = parts[0] + parts[1]
    observed = (
        f"you say {plainly(answer)}; the longest answer took {parts[0]:.0f} s, preStop takes {parts[1]:g} s"
    )
    if said is not None and parts[0] - 1 <= said < needed - 1:
        return Finding(
            passed=False, observed=observed, hint="The clock runs from the delete: who else spends of it?"
        )
    return Finding(passed=said is not None and needed - 1 <= said <= 1.5 * needed, observed=observed)


def zero_downtime(load: LoadResult) -> Finding:
    """From v1 to v2 without a failed request."""
    counts = outcomes(load)
    versions = [name for name in ("answered by v1", "answered by v2") if counts.get(name)]
    observed = _told(load)
    if len(versions) < 2 or counts["requests"] < ENOUGH:
        hint = "Did the load run from before the update to its end? Both versions must have answered."
        return Finding(passed=False, observed=observed, hint=hint)
    if counts["failed"]:
        return Finding(passed=False, observed=observed, hint=_hint(load))
    return Finding(passed=True, observed=observed)


def cures(loading: Any, stopping: Any, cut_off: Any) -> Finding:
    """Which setting guards whom: who meets a server that loads, one that stops, and one that is killed."""
    said = {"loading": loading, "stopping": stopping, "cut_off": cut_off}
    wrong = [kind for kind, right in CURES.items() if not _names(said[kind], right)]
    observed = ", ".join(f"{kind}: {answer}" for kind, answer in said.items())
    hints = {
        "loading": "The 503s were gone from the second update on. What was new there?",
        "stopping": "The request must not be sent there any more, or the server must listen a little longer.",
        "cut_off": "Nothing was broken in your own update only. What was new there?",
    }
    return Finding(passed=not wrong, observed=observed, hint=hints[wrong[0]] if wrong else "")


def rollback(load: LoadResult, deployment: Json | None) -> Finding:
    """The good image is back, no pod of the bad one is left, and no user has noticed."""
    image, replicas = dig(deployment, f"{SERVER}.image"), dig(deployment, "status.replicas") or 0
    ready = dig(deployment, "status.readyReplicas") or 0
    observed = f"image {image}; {replicas} pods, {ready} ready; {_told(load)}"
    if load.failures():
        hint = "Users noticed: did the old pods stay until new ones were ready (maxUnavailable: 0)?"
        return Finding(passed=False, observed=observed, hint=hint)
    served = outcomes(load)["requests"] >= ENOUGH / 3
    return Finding(passed=served and image == IMAGE and replicas == ready == 2, observed=observed)


def liveness(deployment: Json | None, pods: Sequence[Json] | None) -> Finding:
    """A liveness probe that costs no GPU time and is patient; and nothing was restarted under load."""
    probe = dig(deployment, f"{SERVER}.livenessProbe") or {}
    if not probe:
        hint = "Without any liveness probe a server that hangs stays as it is. Ask something cheap instead."
        return Finding(passed=False, observed="there is no livenessProbe", hint=hint)
    cheap = "tcpSocket" in probe or dig(probe, "httpGet.path") == "/health"
    patience = probe.get("failureThreshold", 3) * probe.get("periodSeconds", 10)
    restarts = sum(_restarts(pod) for pod in pods or ())
    ready = dig(deployment, "status.readyReplicas") or 0
    how = "exec" if "exec" in probe else dig(probe, "httpGet.path") or "tcpSocket"
    observed = f"asks {how}, gives up after {patience} s; {ready} pods ready, {restarts} restarts under load"
    hint = "Does the answer still have to wait for the GPU?" if not cheap else ""
    if cheap and patience < PATIENCE:
        hint = f"{patience} s: a busy machine may be that late. A restart costs two minutes; so take one."
    passed = cheap and patience >= PATIENCE and restarts == 0 and ready == 2
    return Finding(passed=passed, observed=observed, hint=hint)


def mended(deployment: Json | None) -> Finding:
    """The probe asks where the server answers, and both pods get traffic."""
    path, ready = dig(deployment, f"{SERVER}.readinessProbe.httpGet.path"), 0
    ready = dig(deployment, "status.readyReplicas") or 0
    passed = path == "/health" and ready == dig(deployment, "status.replicas") == 2
    return Finding(passed=passed, observed=f"the probe asks {path}; {ready} of 2 pods ready")


def recovery(timeline: Timeline) -> float | None:
    """Lab seconds from the first fall of `ready` until it is what it was before."""
    ready = timeline.one("ready")
    before = ready.points[0][1] if ready.points else 0.0
    fell = ready.first(lambda v: v < before)
    rose = None if fell is None else ready.first(lambda v: v >= before, after=fell)
    return None if fell is None or rose is None else rose - fell


def _waits(spans: Sequence[Span]) -> Iterator[float]:
    """How long one pod's container was down between two runs; a wait that goes on is left out.

    A real kubelet calls most of it `Error`, ours goes over to `CrashLoopBackOff` at once. A run that no look
    saw, since it was so short, still ends a wait: the restarts tell.
    """
    runs = [(down, list(run)) for (down, _), run in groupby(spans, key=_down)]
    lengths = (run[-1].end - run[0].start for down, run in runs[:-1] if down)
    return (length for length in lengths if length >= SHORTEST)


def _down(span: Span) -> tuple[bool, int]:
    return span.state in DOWN, span.restarts


def _restarts(pod: Json) -> int:
    return sum(int(c.get("restartCount", 0)) for c in dig(pod, "status.containerStatuses") or ())


def _names(answer: Any, right: Sequence[str]) -> bool:
    plain = str(answer).lower().replace("-", "").replace("_", "").replace(" ", "")
    return any(word in plain for word in right)


def _told(load: LoadResult) -> str:
    counts = outcomes(load)
    kinds = ", ".join(f"{count} {kind}" for kind, count in load.failures().items())
    return f"{counts['failed']} of {counts['requests']} failed" + (f" ({kinds})" if kinds else "")


def _hint(load: LoadResult) -> str:
    kind = next(iter(load.failures()))
    return {
        "broken": "Answers were cut off in the middle. How long had their pod between delete and SIGKILL?",
        "reset": "Requests were sent to a server that had stopped listening. Who still believed in it?",
        "http_503": "A server that was still loading got traffic. Who said that it was ready?",
        "refused": "For a moment no pod was ready at all. How many may an update take away at once?",
    }.get(kind, "Compare with the three updates above: which kind of failure is left?")


CHECKS: Sequence[Check] = (
    Check(
        "02.deployment",
        "the lesson's names and figures, two replicas with one GPU each, readiness on /health, both ready",
        "Three TODOs stand in the file. An extended resource goes under `limits`.",
        deployment,
        {"deployment": "deployment/llm-inference-service"},
        settles=True,
        rows=(2, 8),
    ),
    Check(
        "02.healed",
        "one pod falls out, is restarted in place, and is ready again",
        "lab.kill(…) between lab.record() and .stop(); then wait until two are ready again.",
        healed,
        {"pods": "pods"},
        rows=(1,),
    ),
    Check(
        "02.backoff",
        "waits that double from 10 s, and the one after the sixth crash in seconds",
        "Write the waits in a row. The first crash costs none, the second 10 s.",
        backoff,
        rows=(1,),
    ),
    Check(
        "02.who",
        "who brings back a process that died, and who a pod that was deleted",
        "Compare the names of the pods before and after.",
        who,
        rows=(1,),
    ),
    Check(
        "02.variants",
        "without a probe: 503s and resets; with it none of the former, but broken answers in both others",
        "Run the cells above in order, each from lab.load(…) to users.stop().",
        variants,
        rows=(1, 11),
    ),
    Check(
        "02.grace",
        "the shortest terminationGracePeriodSeconds that breaks no answer",
        "What happens between the delete and the SIGKILL, one after the other?",
        grace,
        rows=(1,),
    ),
    Check(
        "02.zero-downtime",
        f"{ENOUGH} requests or more, v1 and v2 both answering, none failed",
        "Compare with the three updates above: which kind of failure is left?",
        zero_downtime,
        rows=(1,),
    ),
    Check(
        "02.cures",
        "the setting that guards a request from a server that loads, from one that stops, from SIGKILL",
        "Read the table from row to row: each row has one setting more.",
        cures,
        rows=(1, 11),
    ),
    Check(
        "02.rollback",
        "image llm-inference:1.0 again, two pods and both ready, no request failed",
        "kubectl rollout has a word for it; `kubectl rollout --help` lists them.",
        rollback,
        {"deployment": "deployment/llm-inference-service"},
        settles=True,
        rows=(1,),
    ),
    Check(
        "02.liveness",
        "a liveness probe on something that costs no GPU time, a minute of patience, no restart under load",
        "What does the server answer at once, however long its queue is?",
        liveness,
        {"deployment": "deployment/llm-inference-service", "pods": "pods"},
        settles=True,
        rows=(1,),
    ),
    Check(
        "02.mended",
        "readiness on the path that the server answers with 200, two pods ready",
        "The event names the status code; the file names the path. Which paths does the server have?",
        mended,
        {"deployment": "deployment/llm-inference-service"},
        settles=True,
        rows=(2, 11),
    ),
)
