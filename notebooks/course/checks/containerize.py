"""Notebook 01's checks: which layers are sent, what a name refers to, and why a node can't pull.

Pure. What a pod runs is in its status, by digest, not in its `spec`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from labkit.checks.check import Check, Figure, Finding, nothing_yet, numbers
from labkit.evidence import plainly
from labkit.evidence.states import States
from localcluster.api import JsonLike
from localcluster.api.objects import dig
from localcluster.images.workshop import Built, Push

NEWLINE = b"\n"
NAMESPACE, HUB, SECRET = "llm-lab", "docker.io", "my-login"
FOLLOW_AGAIN = "Delete pod/wrong-login, then run again from the cell with lab.follow(…)."
TRIES = 4  # fewer pulls than this don't show how the pause grows
NEAR, SHARE = 8.0, 0.25  # lab seconds, or a share of the pause, that a busy machine can add


def host(answer: Any) -> Finding:
    """The registry that a reference without a host name means."""
    said = str(answer).lower().removeprefix("https://").rstrip("/")
    hint = ""
    if said.startswith("my-registry"):
        hint = "It has no dot and no port: is that a host's name, or a folder on some other host?"
    elif said.startswith("registry.lab"):
        hint = "That is the lab's registry. Does the lesson's reference name it anywhere?"
    elif said in {"docker hub", "dockerhub", "docker"}:
        hint = "That is the right place. What is its host name?"
    hosts = {HUB, "index.docker.io", "registry-1.docker.io"}
    return Finding(passed=said in hosts, observed=f"you say {plainly(answer)}", hint=hint)


def layers(answer: Any, sent: Sequence[int]) -> Finding:
    """Which layers were sent after a change of one line."""
    said = numbers(answer)
    observed = f"you say {plainly(answer)}, but that is not what travelled"
    if not sent:
        hint = "The registry already had all layers. Run the cell that changes the code again, then the push."
        return nothing_yet("no layer travelled", hint)
    if said is not None and sorted(said) == sorted(sent):
        return Finding(passed=True, observed=f"these travelled: {sent}")
    return Finding(passed=False, observed=observed, hint=_layers(said, sent))


def sent(change: Push) -> tuple[int, ...]:
    """The numbers of the layers that a push sent."""
    return change.sent


def _layers(said: Sequence[float] | None, travelled: Sequence[float]) -> str:
    if said is None:
        return "Answer with a list of numbers, such as [1, 2]."
    if 0 in said:
        return "Layers are counted from 1: the column LAYER of the build has their numbers."
    if set(said) < set(travelled):
        return "These do travel, but not alone. Which later steps build on them?"
    if set(said) > set(travelled):
        return "Too many. Which steps saw nothing new, so that the registry already has their layers?"
    return ""


def one_byte_more(image: Built) -> str:
    """The digest that an image would have with a newline after its manifest: no registry has that one."""
    return f"sha256:{hashlib.sha256(image.manifest + NEWLINE).hexdigest()}"


def digest(answer: Any, digest: str) -> Finding:
    """The digest computed by hand is that of the bytes that were asked for."""
    observed = f"you say {_short(answer)}, those bytes give {_short(digest)}"
    hint = ""
    if ":" not in str(answer):
        hint = "Write it as the registry does: sha256: and 64 hexadecimal digits."
    elif not re.fullmatch(r"sha256:[0-9a-f]{64}", str(answer)):
        hint = "Write sha256: and 64 hexadecimal digits in lower case: what `hexdigest()` gives, as text."
    return Finding(passed=answer == digest, observed=observed, hint=hint)


def two_versions(deployment: JsonLike | None, pods: Sequence[JsonLike] | None) -> Finding:
    """One image tag in the Deployment, and two images in its pods."""
    wish, running = _image(deployment), set(_running(pods))
    observed = f"the Deployment says {wish}; its pods run {_listed(running)}"
    hint = "One of the two pods is not ready yet: run this cell again in a moment."
    if wish and "@" in wish:
        hint = "This Deployment is already pinned. Run the notebook from `lab.reset()` to here again."
    elif len(running) == 1:
        hint = (
            "Both pods run the same image. Point `latest` at the other one (the cell that pushes the first "
            "image, or the one that pushes the second), then delete one pod, once."
        )
    return Finding(
        passed=wish is not None and "@" not in wish and len(running) == 2, observed=observed, hint=hint
    )


def pinned(deployment: JsonLike | None, pods: Sequence[JsonLike] | None) -> Finding:
    """The Deployment names a digest, and every pod runs that one."""
    wish, running = _image(deployment) or "", list(_running(pods))
    wanted = wish.partition("@")[2]
    observed = f"the Deployment says {_named(wish)}; its pods run {_listed(set(running))}"
    if not wanted:
        hint = "It names a tag, and a tag can move. Which name of an image can't?"
        return Finding(passed=False, observed=observed, hint=hint)
    replicas = dig(deployment, "spec.replicas")
    hint = "The old pods are still there, or the new ones are not ready yet: run this cell again."
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", wanted):
        hint = "After the @ comes sha256: and then 64 hexadecimal digits, all of them."
    return Finding(passed=set(running) == {wanted} and len(running) == replicas, observed=observed, hint=hint)


def pulled(pod: JsonLike | None) -> Finding:
    """The pod names the secret, and its image was pulled."""
    named = [str(dig(s, "name")) for s in dig(pod, "spec.imagePullSecrets") or ()]
    observed = f"{_state(pod, 'pulled')}; imagePullSecrets: {', '.join(named) or 'none'}"
    hint = ""
    if named and SECRET not in named:
        hint = "The pod names a secret, but not the one you created. Compare the names, letter by letter."
    elif named:
        hint = "The pod names the secret. Does it exist (kubectl get secrets)? Did you push this image?"
    return Finding(passed=_runs(pod) and SECRET in named, observed=observed, hint=hint)


def backoff(answer: Any, seen: States) -> Finding:
    """The recorded pauses between tries."""
    tries = seen.starts("ErrImagePull")
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    observed = f"you say {plainly(answer)}; {len(tries)} tries were seen"
    if len(tries) < TRIES:
        return nothing_yet(f"only {len(tries)} tries were seen", FOLLOW_AGAIN)
    said = numbers(answer) or []
    if _same(said, tries) and not _same(said, pauses):
        return Finding(passed=False, observed=observed, hint=_pauses(said, tries))
    near = [abs(a - p) <= max(NEAR, SHARE * p) for a, p in zip(said, pauses, strict=False)]
    return Finding(
        passed=len(near) >= TRIES - 1 and all(near), observed=observed, hint=_pauses(numbers(answer), tries)
    )


def _same(said: Sequence[float], seen: Sequence[float]) -> bool:
    """Whether these are the recorded figures to within half a second: copied, not worked out."""
    return bool(said) and all(abs(a - b) <= 0.5 for a, b in zip(said, seen, strict=False))


def _pauses(said: Sequence[float] | None, tries: Sequence[float]) -> str:
    """The likely mistake: moments instead of pauses, real seconds, or too few."""
    if said is None:
        return "Answer with a list of numbers: the pause between each try and the next."
    if len(said) < TRIES - 1:
        return "There are more pauses than that: one between each try and the next."
    if _same(said, tries):
        return "Those are the moments of the tries. How long is it from each to the next?"
    if len(set(said)) == 1:
        return "Do the pauses stay the same? Look at the bars in the plot: which are wide?"
    return ""


def mended(place: Any, pod: JsonLike | None) -> Finding:
    """The namespace in which the secret was missing, and the pod that has run since."""
    observed = f"you say {place}; {_state(pod, 'team')}"
    right = str(place).strip() == NAMESPACE
    hint = "Right. Now create the secret there, and wait for the next try." if right else ""
    if str(place).strip() == "default":
        hint = "The secret is already there, and it does not help. Where is the pod?"
    elif str(place).strip() in {"team", "team-login"}:
        hint = "That is the name of an object. Answer with a namespace: the first column of the table."
    return Finding(passed=right and _runs(pod), observed=observed, hint=hint)


def _image(deployment: JsonLike | None) -> str | None:
    found = dig(deployment, "spec.template.spec.containers.0.image")
    return None if found is None else str(found)


def _running(pods: Sequence[JsonLike] | None) -> Iterator[str]:
    """The digest that each ready server of the Deployment runs."""
    for pod in pods or ():
        status = dig(pod, "status.containerStatuses.0")
        if dig(pod, "metadata.labels.app") == "llm-model" and dig(status, "ready"):
            yield str(dig(status, "imageID")).partition("@")[2]


def _runs(pod: JsonLike | None) -> bool:
    return bool(dig(pod, "status.phase") == "Running")


def _state(pod: JsonLike | None, name: str) -> str:
    if pod is None:
        return f"there is no pod/{name}"
    waiting = dig(pod, "status.containerStatuses.0.state.waiting.reason")
    return f"pod/{name} is {dig(pod, 'status.phase')}" + (f" ({waiting})" if waiting else "")


def _named(image: str) -> str:
    """A reference whose digest, if any, is shortened like those it is compared with."""
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
        "Is there a dot, a port or localhost before the first slash? If not, it is not a host.",
        host,
        answers=("answer",),
        copying=False,
        rows=(2, 7),
    ),
    Check(
        "01.layers",
        "the numbers of the layers that travel after a change of one line in model_server/",
        "Which is the first step that sees something new? All layers from there on are rebuilt.",
        layers,
        answers=("answer",),
        copying=False,
        figures={"sent": Figure(of=("change",), by=sent)},
        may_be_empty=("sent",),
        rows=(7,),
    ),
    Check(
        "01.digest",
        "the digest of the manifest with one newline more, computed by you",
        "Use hashlib.sha256(…).hexdigest() on bytes, not on JSON that you printed. Is the newline in them?",
        digest,
        answers=("answer",),
        copying=False,
        figures={"digest": Figure(of=("image",), by=one_byte_more)},
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
        "the Deployment names a digest, and every pod runs it, including the replacement",
        "Write NAME@sha256:…: the repository without a tag, and the digest that lab.images.digest gives.",
        pinned,
        _BOTH,
        settles=True,
        rows=(2,),
    ),
    Check(
        "01.pulled",
        "pod/pulled names the secret my-login and runs",
        "`imagePullSecrets` is a list of names; it goes beside `containers`, not inside it.",
        pulled,
        {"pod": "pod/pulled"},
        settles=True,
        rows=(7,),
    ),
    Check(
        "01.backoff",
        "the pauses between attempts to pull, in lab seconds, at least the first three",
        "From one ErrImagePull to the next: tries.starts('ErrImagePull') has the moments.",
        backoff,
        answers=("answer",),
        copying=True,
        rows=(7,),
    ),
    Check(
        "01.mended",
        "the namespace that the secret must be in, and pod/team runs",
        "Compare two columns: in which namespace is the pod, and in which is the secret?",
        mended,
        {"pod": "pod/team"},
        answers=("place",),
        copying=True,
        settles=True,
        rows=(7,),
    ),
)
