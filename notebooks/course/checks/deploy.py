"""Notebook 02's checks: which component restarts what, and what an update costs users.

Pure. "No failed requests" counts only if there was load during the update.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from labkit.checks.check import Check, Figure, Finding, differences, first_that_holds, nothing_yet, number
from labkit.checks.words import one_of
from labkit.evidence import Timeline, plainly
from labkit.evidence.blank import RECORD_AGAIN
from labkit.evidence.outcomes import outcomes
from labkit.evidence.states import States
from labkit.load import LoadResult
from localcluster.api import JsonLike
from localcluster.api.objects import dig

SERVER = "spec.template.spec.containers.0"
LESSON = {
    "metadata.name": "llm-inference-service",
    "spec.replicas": 2,
    "spec.template.metadata.labels.app": "llm-model",
    f"{SERVER}.name": "model-server",
    f"{SERVER}.resources.requests.cpu": "4",
    f"{SERVER}.resources.requests.memory": "16Gi",
    f"{SERVER}.ports.0.containerPort": 8000,
}
HEALTH = "/health"
AT_ONCE = (HEALTH, "/metrics", "/version", "/v1/models")
"""What the server answers without its GPU; only the first says 200 when it can serve, and never else."""
GPU, IMAGE = "nvidia.com/gpu", "registry.lab:5000/llm-inference:1.0"
MAINTAINERS = {"process": "kubelet", "pod": "ReplicaSet"}
COMPONENTS = {
    "kubelet": ("kubelet",),
    "ReplicaSet": ("replicaset", "deployment"),
    "scheduler": ("scheduler",),
    "API server": ("apiserver",),
    "HPA": ("hpa", "autoscaler"),
}
CURES = {"loading": "readiness", "stopping": "preStop", "cut_off": "grace period"}
SETTINGS = {
    "readiness": ("readiness",),
    "preStop": ("prestop",),
    "grace period": ("graceperiod",),
    "liveness": ("liveness",),
    "startup": ("startup",),
}
ENOUGH = 60  # requests during an update before "none failed" means anything
DOUBLING = 1.4  # a busy machine blurs the factor of 2
SIXTH, LONGEST = 160, 300  # seconds of the back-off after the sixth crash, and at most
SKEW = 2.0  # real seconds: the API server's timestamps have whole ones
PATIENCE = 60.0  # lab seconds of silence before a restart can follow
FRESH_POD = "Use a fresh pod: lab.delete(f'pod/{victim}'), then run again from the cell with `victim =`."


def deployment(deployment: JsonLike | None) -> Finding:
    """The lesson's Deployment with a GPU and a probe, and both of its pods ready."""
    wrong = differences(deployment, LESSON)
    gpus = str((dig(deployment, f"{SERVER}.resources.limits") or {}).get(GPU, "none"))
    asked = dig(deployment, f"{SERVER}.readinessProbe.httpGet.path")
    if _asks(deployment, "readinessProbe") != HEALTH:
        wrong.append(f"the readiness probe asks {asked}" if asked else "no readiness probe asks for a path")
    wrong += [f"{GPU} limit is {gpus}"] if gpus != "1" else []
    ready = dig(deployment, "status.readyReplicas") or 0
    observed = "; ".join([*(path.removeprefix("spec.") for path in wrong), f"{ready} of 2 pods ready"])
    return Finding(
        passed=not wrong and ready == 2, observed=observed, hint=_unfinished(deployment, gpus, bool(wrong))
    )


def _unfinished(deployment: JsonLike | None, gpus: str, wrong: bool) -> str:  # noqa: FBT001 - local
    """What is left to do, starting with what keeps the server from running."""
    path = _asks(deployment, "readinessProbe")
    told = {
        "Nothing says that this pod needs a GPU, and without one the server exits. Where does a GPU go?": (
            gpus == "none"
        ),
        "How many GPUs does one server of the lesson have?": gpus != "1",
        "Nothing says when a pod may get traffic. Which field of a container does?": path is None,
        "The readiness probe asks a different path. Which one returns 200 once the model is loaded?": (
            path != HEALTH
        ),
        "How many servers do you need so that one can die?": dig(deployment, "spec.replicas") != 2,
        "A name or figure differs from the lesson's; `observed` says which. lesson.yaml has it.": wrong,
    }
    right = "The file is right. Pods take two minutes to become ready (8 real seconds): run this cell again."
    return next((hint for hint, holds in told.items() if holds), right)


def healed(timeline: Timeline, pods: Sequence[JsonLike] | None) -> Finding:
    """One pod failed and came back, and it is the same pod: restarted, not replaced."""
    if not timeline.one("ready").points:
        return nothing_yet("no pods were recorded", RECORD_AGAIN)
    took = recovery(timeline)
    restarts = sum(_restarts(pod) for pod in pods or ())
    ready = timeline.one("ready")
    fell = ready.peak() is not None and min(v for _, v in ready.points) < ready.points[0][1]
    if took is None and not fell:
        again = "No pod failed in the recording. Run both again: lab.record(), then lab.faults.kill(…)."
        observed = f"ready never dropped; {restarts} restarts"
        return (
            Finding(passed=False, observed=observed, hint=again) if restarts else nothing_yet(observed, again)
        )
    if took is None:
        again = "The recording ended before two pods were ready again: wait for that, then .stop()."
        return Finding(
            passed=False, observed=f"ready dropped and did not rise again; {restarts} restarts", hint=again
        )
    observed = f"not ready for {took:.0f} lab seconds; {restarts} restarts"
    hint = "The pod was replaced, not restarted: was it deleted? lab.faults.kill(…) only ends its process."
    return Finding(passed=restarts >= 1, observed=observed, hint=hint)


def backoff(answer: Any, states: States) -> Finding:
    """The waits grew, and the learner can say how they continue."""
    waits = states.waits()
    observed = f"you say {plainly(answer)}; waits so far: {', '.join(f'{w:.0f} s' for w in waits) or 'none'}"
    if len(waits) < 3:
        return nothing_yet(observed, f"Fewer than three complete waits were seen. {FRESH_POD}")
    first, second, third = waits[:3]
    grows = first < second < third and third >= DOUBLING**2 * first
    said = number(answer)
    if not grows:
        return nothing_yet(observed, f"These waits did not grow. {FRESH_POD}")
    return Finding(passed=said == SIXTH, observed=observed, hint=_sixth(said))


def _sixth(said: float | None) -> str:
    """The likely mistake: one crash too few or too many, the upper limit, or no number."""
    if said is None:
        return "Answer with a number of seconds."
    if said == SIXTH / 2:
        return "That is the wait after the fifth crash. What is it after one more?"
    if said == 2 * SIXTH or said == LONGEST:
        return "That comes later. Count: after which crash is the wait 10 s?"
    if said <= 0.1 * SIXTH:
        return "Answer in lab seconds, as in the plot: one real second is 15 of them."
    return ""


def who(process: Any, pod: Any) -> Finding:
    """Which component restarts a dead process, and which replaces a deleted pod."""
    said = {"process": process, "pod": pod}
    wrong = [name for name, right in MAINTAINERS.items() if one_of(said[name], COMPONENTS) != right]
    hints = {
        "process": "The pod kept its name and node, and only RESTARTS went up. What runs on that node?",
        "pod": "A pod with a new name took its place. Whose events mention it (kubectl describe)?",
    }
    observed = f"process: {process}, pod: {pod}"
    return Finding(passed=not wrong, observed=observed, hint=hints[wrong[0]] if wrong else "")


def variants(runs: Mapping[str, LoadResult]) -> Finding:
    """Three updates, each with a different kind of failure."""
    if not isinstance(runs, Mapping) or len(runs) < 3:
        hint = "Run the cells of the three updates again, in order."
        return nothing_yet("fewer than three updates were recorded", hint)
    first, second, third = list(runs.values())[:3]
    told = "; ".join(f"{name}: {_told(run)}" for name, run in runs.items())
    few = next((name for name, run in runs.items() if outcomes(run)["requests"] < ENOUGH), None)
    if few:
        hint = f"Too few requests came during the update {few!r}: run its cell again, to the end."
        return nothing_yet(told, hint)
    early = sum(first.failures().get(kind, 0) for kind in ("http_503", "reset"))
    later = [run.failures().get("http_503", 0) for run in (second, third)]
    broken = [run.failures().get("broken", 0) for run in (second, third)]
    if early and not any(later) and not all(broken):
        hint = "By chance no user was in the middle of a long answer: run the update again."
        return Finding(passed=False, observed=told, hint=hint, inconclusive=True)
    hint = "No request failed in the first update: did it really run without a readiness probe?"
    if any(later):
        hint = "With a readiness probe no server gets traffic while it loads. Is rolling/ unchanged?"
    elif early:
        hint = "No answer was cut off. Run the second and third update again."
    return Finding(passed=early > 0 and not any(later) and all(broken), observed=told, hint=hint)


def longest(runs: Mapping[str, LoadResult]) -> float:
    """The longest answer of all runs, in lab seconds; 0 if there was none."""
    return max((row.e2e for run in runs.values() for row in run.rows if row.ok), default=0.0)


def grace(answer: Any, longest: float, pre_stop: float) -> Finding:
    """The grace period must cover both the wait before the stop and the longest answer."""
    said = number(answer)
    if longest <= 0:
        return nothing_yet("no answer was measured yet", "Run the three updates again, then this cell.")
    needed = longest + pre_stop
    observed = (
        f"you say {plainly(answer)}; the longest answer took {longest:.0f} s, preStop takes {pre_stop:g} s"
    )
    if said is not None and longest - 1 <= said < needed - 1:
        return Finding(
            passed=False, observed=observed, hint="The clock starts at the delete: what else uses that time?"
        )
    hint = "" if said is not None else "Answer with a number of seconds."
    if said is not None and said > 1.5 * needed:
        hint = "That breaks no answer, but it is not the shortest: a pod that hangs keeps its GPU that long."
    elif said is not None and said < longest - 1:
        hint = "That is less than the longest answer: one that began just before the delete is cut off."
    return Finding(
        passed=said is not None and needed - 1 <= said <= 1.5 * needed, observed=observed, hint=hint
    )


def zero_downtime(load: LoadResult) -> Finding:
    """From v1 to v2 without a failed request."""
    counts = outcomes(load)
    versions = [name for name in ("answered by v1", "answered by v2") if counts.get(name)]
    observed = _told(load)
    if versions == ["answered by v2"]:
        hint = "v1 answered no request, so v2 was there from the start. Which MODEL_VERSION is in your file?"
        return Finding(passed=False, observed=f"{observed}; {', '.join(versions)}", hint=hint)
    if counts["requests"] < ENOUGH:
        hint = "Too few requests to tell. Run the cell with update(…) again, and let it finish."
        return nothing_yet(observed, hint)
    if len(versions) < 2:
        hint = "Only one version answered. Did the update end before the users were stopped?"
        return Finding(passed=False, observed=f"{observed}; {', '.join(versions)}", hint=hint)
    if counts["failed"]:
        return Finding(passed=False, observed=observed, hint=_hint(load))
    return Finding(passed=True, observed=observed)


def cures(loading: Any, stopping: Any, cut_off: Any) -> Finding:
    """Which setting protects users from a server that is loading, stopping, or being killed."""
    said = {"loading": loading, "stopping": stopping, "cut_off": cut_off}
    wrong = [kind for kind, right in CURES.items() if one_of(said[kind], SETTINGS) != right]
    observed = ", ".join(f"{kind}: {answer}" for kind, answer in said.items())
    hints = {
        "loading": "The 503s were gone from the second update on. What was new there?",
        "stopping": "Requests must no longer be sent there, or the server must listen a little longer.",
        "cut_off": "Only in your own update was nothing broken. What was new there?",
    }
    return Finding(passed=not wrong, observed=observed, hint=hints[wrong[0]] if wrong else "")


def rollback(load: LoadResult, deployment: JsonLike | None) -> Finding:
    """The good image is back, no pod of the bad one is left, and no user noticed."""
    image, replicas = dig(deployment, f"{SERVER}.image"), dig(deployment, "status.replicas") or 0
    ready = dig(deployment, "status.readyReplicas") or 0
    observed = f"image {image}; {replicas} pods, {ready} ready; {_told(load)}"
    if load.failures():
        hint = "Users noticed: did the old pods stay until new ones were ready (maxUnavailable: 0)?"
        return Finding(passed=False, observed=observed, hint=hint)
    if image != IMAGE:
        hint = (
            "The Deployment still names the bad image. kubectl rollout can go back. By default "
            "it goes one revision back: `rollout history --revision=N` shows the image of revision N."
        )
        return Finding(passed=False, observed=observed, hint=hint)
    if replicas != 2 or ready != 2:
        hint = "The image is right; pods of the bad one are still terminating. Run this cell again."
        return Finding(passed=False, observed=observed, hint=hint)
    if outcomes(load)["requests"] < ENOUGH / 3 or _over_before(load, _rolled_out(deployment)):
        hint = "The users were gone before you rolled back. Run again from the cell with lab.load(…)."
        return nothing_yet(observed, hint)
    return Finding(passed=True, observed=observed)


def _over_before(load: LoadResult, moment: float | None) -> bool:
    """Whether a load had ended by a moment (Unix time); False if either is not known."""
    return bool(load.started and moment and load.started + load.seconds / load.clock < moment - SKEW)


def _rolled_out(deployment: JsonLike | None) -> float | None:
    """When the newest rollout ended."""
    told = [c for c in dig(deployment, "status.conditions") or () if c.get("type") == "Progressing"]
    return _moment(dig(told, "0.lastUpdateTime"))


def _all_ready(pods: Sequence[JsonLike] | None) -> float | None:
    """When the last of the pods became ready."""
    told = [c for pod in pods or () for c in dig(pod, "status.conditions") or () if c.get("type") == "Ready"]
    return max(filter(None, (_moment(dig(c, "lastTransitionTime")) for c in told)), default=None)


def _moment(text: Any) -> float | None:
    return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else None


def liveness(deployment: JsonLike | None, pods: Sequence[JsonLike] | None, load: LoadResult) -> Finding:
    """A liveness probe that uses no GPU time and is patient; and nothing was restarted under load."""
    probe = dig(deployment, f"{SERVER}.livenessProbe") or {}
    if not probe:
        hint = "Without a liveness probe, a hanging server is never restarted. Ask something cheap instead."
        return Finding(passed=False, observed="there is no livenessProbe", hint=hint)
    cheap = "tcpSocket" in probe or _asks(deployment, "livenessProbe") in AT_ONCE
    patience = probe.get("failureThreshold", 3) * probe.get("periodSeconds", 10)
    restarts = sum(_restarts(pod) for pod in pods or ())
    ready = dig(deployment, "status.readyReplicas") or 0
    how = "a command (exec)" if "exec" in probe else dig(probe, "httpGet.path") or "tcpSocket"
    observed = f"asks {how}, gives up after {patience} s; {ready} pods ready, {restarts} restarts"
    if hint := _hasty(probe, patience, cheap=cheap) or _restarted(restarts, ready):
        return Finding(passed=False, observed=observed, hint=hint)
    if outcomes(load)["requests"] < ENOUGH / 3 or _over_before(load, _all_ready(pods)):
        hint = (
            "The users were gone before these pods were ready. Run again from the cell that applies "
            "faults/liveness.yaml to here, with your file as it is."
        )
        return nothing_yet("no users were there", hint)
    return Finding(passed=True, observed=f"{observed} under load")


def _hasty(probe: JsonLike, patience: float, *, cheap: bool) -> str:
    """What is wrong with a probe in the file."""
    if "exec" in probe:
        return "It sends a prompt, and the answer waits for the GPU. What can it ask without a prompt?"
    if not cheap:
        return "Does this answer still have to wait for the GPU, or does the path not exist?"
    if patience < PATIENCE:
        return (
            f"It gives up after {patience:g} s of silence. A busy machine may be silent that long, and a "
            "restart costs two minutes. Which two fields multiply to the time it waits?"
        )
    return ""


def _restarted(restarts: int, ready: int) -> str:
    """What is wrong with the pods even though the file is right."""
    if restarts:
        return (
            "The file is right. A pod that was restarted may still be terminating: run this cell again. "
            "If it stays, delete it; the new one counts from 0."
        )
    return "" if ready == 2 else "The file is right. The new pods are still starting: run this cell again."


def mended(deployment: JsonLike | None) -> Finding:
    """The probe uses a path that the server answers, and both pods get traffic."""
    path, ready = _asks(deployment, "readinessProbe"), dig(deployment, "status.readyReplicas") or 0
    all_ready = ready == dig(deployment, "status.replicas") == 2
    observed = f"the probe asks {path}; {ready} of 2 pods ready"
    return Finding(
        passed=path == HEALTH and all_ready, observed=observed, hint=_elsewhere(path, all_ready=all_ready)
    )


def _elsewhere(path: str | None, *, all_ready: bool) -> str:
    """What a probe learns on a path other than /health."""
    if path is None:
        return "Without a probe a pod counts as ready while it loads. Add one, on a path that exists."
    return first_that_holds(
        (path == HEALTH, "The path is right. The new pods are still loading: run this cell again."),
        ("://" in path, "The probe knows host and port: it asks the pod itself. What comes after them?"),
        (path.rstrip("/") == HEALTH, "With a slash at the end, it is a different path."),
        (
            all_ready,
            "This path returns 200: but does it also do so while the server loads, or is about to stop?",
        ),
        (True, "The event shows the status that this path got. Which path says that the model is loaded?"),
    )


def _asks(deployment: JsonLike | None, probe: str) -> str | None:
    """The probe's path as the kubelet takes it: a leading slash can be omitted."""
    path = dig(deployment, f"{SERVER}.{probe}.httpGet.path")
    return f"/{path}" if isinstance(path, str) and not path.startswith("/") and "://" not in path else path


def recovery(timeline: Timeline) -> float | None:
    """Lab seconds from the first fall of `ready` until it is back to its earlier value."""
    ready = timeline.one("ready")
    before = ready.points[0][1] if ready.points else 0.0
    fell = ready.first(lambda v: v < before)
    rose = None if fell is None else ready.first(lambda v: v >= before, after=fell)
    return None if fell is None or rose is None else rose - fell


def _restarts(pod: JsonLike) -> int:
    return sum(int(c.get("restartCount", 0)) for c in dig(pod, "status.containerStatuses") or ())


def _told(load: LoadResult) -> str:
    counts = outcomes(load)
    kinds = ", ".join(f"{count} {kind}" for kind, count in load.failures().items())
    return f"{counts['failed']} of {counts['requests']} failed" + (f" ({kinds})" if kinds else "")


def _hint(load: LoadResult) -> str:
    kind = next(iter(load.failures()))
    return {
        "broken": "Answers were cut off in the middle. How long did their pod have from delete to SIGKILL?",
        "reset": "Requests were sent to a server that had stopped listening. How long must it still listen?",
        "http_503": "A server that was still loading got traffic. What made it count as ready?",
        "refused": "For a moment no pod was ready at all. How many may an update remove at once?",
    }.get(kind, "Compare with the three updates above: which kind of failure is left?")


CHECKS: Sequence[Check] = (
    Check(
        "02.deployment",
        "the lesson's names and figures, two replicas with one GPU each, readiness on /health, both ready",
        "There are three TODOs in the file. An extended resource goes under `limits`.",
        deployment,
        {"deployment": "deployment/llm-inference-service"},
        settles=True,
        rows=(2, 8),
    ),
    Check(
        "02.healed",
        "one pod fails, is restarted in place, and is ready again",
        "Run lab.faults.kill(…) between lab.record() and .stop(); then wait until two are ready again.",
        healed,
        {"pods": "pods"},
        rows=(1,),
    ),
    Check(
        "02.backoff",
        "waits that double from 10 s, and the one after the sixth crash in seconds",
        "Write the waits in a row. The first crash costs none, the second 10 s.",
        backoff,
        answers=("answer",),
        copying=False,
        rows=(1,),
    ),
    Check(
        "02.who",
        "what brings back a process that died, and what replaces a pod that was deleted",
        "Compare the names of the pods before and after.",
        who,
        answers=("process", "pod"),
        copying=False,
        rows=(1,),
    ),
    Check(
        "02.variants",
        "without a probe, 503s or resets; with it no 503s, but broken answers in both other updates",
        "Run the cells above in order, each from lab.load(…) to users.stop().",
        variants,
        rows=(1, 11),
    ),
    Check(
        "02.grace",
        "the shortest terminationGracePeriodSeconds that breaks no answer",
        "What happens between the delete and the SIGKILL, one after the other?",
        grace,
        answers=("answer",),
        copying=False,
        figures={"longest": Figure(of=("runs",), by=longest)},
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
        "the setting that protects a request from a server that loads, from one that stops, from SIGKILL",
        "Read the table row by row: each row has one more setting.",
        cures,
        answers=("loading", "stopping", "cut_off"),
        copying=False,
        rows=(1, 11),
    ),
    Check(
        "02.rollback",
        "image llm-inference:1.0 again, two pods and both ready, no request failed",
        "kubectl rollout has a subcommand for it; `kubectl rollout --help` lists them.",
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
        "a readiness probe on the path that the server answers with 200, two pods ready",
        "The event names the status code; the file names the path. Which paths does the server have?",
        mended,
        {"deployment": "deployment/llm-inference-service"},
        settles=True,
        rows=(2, 11),
    ),
)
