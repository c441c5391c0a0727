"""Notebook 01's checks: what travels, what a name means, and why a node may not pull.

Pure. Refuses to take a pod's wish (`spec`) for what it runs: that stands in its status, by digest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from labkit.checks.check import Check, Finding, dig, numbers
from labkit.evidence import plainly
from labkit.evidence.states import States

NAMESPACE, HUB, SECRET = "llm-lab", "docker.io", "my-login"
TRIES = 4  # fewer pulls than that don't show how the pause grows
NEAR, SHARE = 8.0, 0.25  # lab seconds, or a share of the pause: what a busy machine may add

Json = Mapping[str, Any]


def host(answer: Any) -> Finding:
    """Where a reference without a host name leads."""
    said = str(answer).lower().removeprefix("https://").rstrip("/")
    return Finding(
        passed=said in {HUB, "index.docker.io", "registry-1.docker.io"}, observed=f"you say {plainly(answer)}"
    )


def layers(answer: Any, sent: Any) -> Finding:
    """Which layers travelled after a change of one line."""
    said, travelled = numbers(answer), numbers(sent)
    observed = f"you say {plainly(answer)}, these travelled: {sent}"
    if not travelled:
        hint = "Nothing travelled: was the changed code built and pushed?"
        return Finding(passed=False, observed=observed, hint=hint)
    return Finding(passed=said is not None and sorted(said) == sorted(travelled), observed=observed)


def digest(answer: Any, digest: Any) -> Finding:
    """The digest computed by hand is the one that the registry knows."""
    observed = f"you say {_short(answer)}, the registry says {_short(digest)}"
    hint = (
        "Write it as the registry does: sha256: and 64 hexadecimal digits." if ":" not in str(answer) else ""
    )
    return Finding(
        passed=str(digest).startswith("sha256:") and answer == digest, observed=observed, hint=hint
    )


def two_versions(deployment: Json | None, pods: Sequence[Json] | None) -> Finding:
    """One image in the Deployment, by tag, and two in its pods."""
    wish, running = _image(deployment), set(_running(pods))
    observed = f"the Deployment says {wish}; its pods run {_listed(running)}"
    return Finding(passed=wish is not None and "@" not in wish and len(running) == 2, observed=observed)


def pinned(deployment: Json | None, pods: Sequence[Json] | None) -> Finding:
    """The Deployment names a digest, and every pod runs that one."""
    wish, running = _image(deployment) or "", list(_running(pods))
    wanted = wish.partition("@")[2]
    observed = f"the Deployment says {_named(wish)}; its pods run {_listed(set(running))}"
    if not wanted:
        return Finding(passed=False, observed=observed)
    replicas = dig(deployment, "spec.replicas")
    hint = "The old pods are still there, or the new ones not yet ready: look again."
    return Finding(passed=set(running) == {wanted} and len(running) == replicas, observed=observed, hint=hint)


def pulled(pod: Json | None) -> Finding:
    """The pod names the secret, and its image came."""
    named = [str(dig(s, "name")) for s in dig(pod, "spec.imagePullSecrets") or ()]
    observed = f"{_state(pod, 'pulled')}; imagePullSecrets: {', '.join(named) or 'none'}"
    return Finding(passed=_runs(pod) and SECRET in named, observed=observed)


def backoff(answer: Any, seen: Any) -> Finding:
    """The pauses between two tries, as they were."""
    if not isinstance(seen, States):
        return Finding(passed=False, observed="nothing was written down", inconclusive=True)
    tries = seen.starts("ErrImagePull")
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    observed = f"you say {plainly(answer)}, measured: {[round(p) for p in pauses]}"
    if len(tries) < TRIES:
        return Finding(passed=False, observed=f"only {len(tries)} tries were seen", inconclusive=True)
    said = numbers(answer) or []
    near = [abs(a - p) <= max(NEAR, SHARE * p) for a, p in zip(said, pauses, strict=False)]
    return Finding(passed=len(near) >= TRIES - 1 and all(near), observed=observed)


def mended(place: Any, pod: Json | None) -> Finding:
    """The namespace that the secret was missing in, and the pod that runs since."""
    observed = f"you say {place}; {_state(pod, 'team')}"
    right = str(place) == NAMESPACE
    hint = "Right. Now make the secret there, and wait for the next try." if right else ""
    return Finding(passed=right and _runs(pod), observed=observed, hint=hint)


def _image(deployment: Json | None) -> str | None:
    found = dig(deployment, "spec.template.spec.containers.0.image")
    return None if found is None else str(found)


def _running(pods: Sequence[Json] | None) -> Iterator[str]:
    """The digest that each ready server of the Deployment runs."""
    for pod in pods or ():
        status = dig(pod, "status.containerStatuses.0")
        if dig(pod, "metadata.labels.app") == "llm-model" and dig(status, "ready"):
            yield str(dig(status, "imageID")).partition("@")[2]


def _runs(pod: Json | None) -> bool:
    return bool(dig(pod, "status.phase") == "Running")


def _state(pod: Json | None, name: str) -> str:
    if pod is None:
        return f"there is no pod/{name}"
    waiting = dig(pod, "status.containerStatuses.0.state.waiting.reason")
    return f"pod/{name} is {dig(pod, 'status.phase')}" + (f" ({waiting})" if waiting else "")


def _named(image: str) -> str:
    """A reference whose digest, if it has one, is as short as those that it is compared with."""
    name, at, digest = image.partition("@")
    return name + at + _short(digest)


def _short(digest: Any) -> str:
    return str(digest)[:19]


def _listed(digests: set[str]) -> str:
    return ", ".join(sorted(map(_short, digests))) or "nothing"


_BOTH = {"deployment": "deployment/llm-inference-service", "pods": "pods"}

CHECKS: Sequence[Check] = (
    Check(
        "01.host",
        "the host that my-registry/llm-inference:latest is pulled from",
        "Is there a dot, a port or localhost before the first slash? If not, it is no host.",
        host,
        rows=(2, 7),
    ),
    Check(
        "01.layers",
        "the numbers of the layers that travel after a change of one line in model_server/",
        "Which is the first step that sees something new? All layers from there on are made anew.",
        layers,
        rows=(7,),
    ),
    Check(
        "01.digest",
        "the SHA-256 of the manifest, computed by you, is the digest that the registry gives",
        "hashlib.sha256(…).hexdigest() of the bytes of the manifest, not of their JSON printed anew.",
        digest,
        rows=(7,),
    ),
    Check(
        "01.two-versions",
        "the Deployment names one tag, and its two pods run two different images",
        "Was the new `latest` pushed before the pod was deleted? Is `imagePullPolicy` Always?",
        two_versions,
        _BOTH,
        settles=True,
        rows=(2, 7),
    ),
    Check(
        "01.pinned",
        "the Deployment names a digest, and every pod runs it, also the one that was deleted",
        "NAME@sha256:…: the repository without a tag, and the digest that lab.digest gives.",
        pinned,
        _BOTH,
        settles=True,
        rows=(2,),
    ),
    Check(
        "01.pulled",
        "pod/pulled names the secret my-login and runs",
        "`imagePullSecrets` is a list of names; it stands beside `containers`, not inside of it.",
        pulled,
        {"pod": "pod/pulled"},
        settles=True,
        rows=(7,),
    ),
    Check(
        "01.backoff",
        "the pauses between two tries to pull, in lab seconds, at least the first three",
        "From one ErrImagePull to the next: tries.starts('ErrImagePull') has the moments.",
        backoff,
        rows=(7,),
    ),
    Check(
        "01.mended",
        "the namespace that the secret must be in, and pod/team runs",
        "Compare two columns: in which namespace is the pod, in which one is the secret?",
        mended,
        {"pod": "pod/team"},
        settles=True,
        rows=(7,),
    ),
)
