"""Which arguments a verb accepts: helpers of `confined`. They refuse what no cell of the course uses.

The grader has admin rights on a whole cluster and reads files as the instructor. So no path leads out of the
student's own copy of the course, only the lab's addresses are allowed, no kubectl option names a file, and a
student's own manifest contains only objects of the course's kinds in the lab's namespace.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from labkit.errors import BadInput
from labkit.kube.namespaces import NAMESPACE
from labkit_grading.submissions.entries import inside
from labkit_grading.verbs.commands import line_of, refuse_marks
from labkit_grading.verbs.slips import Slip, misspelt

NAMESPACED = frozenset(
    {
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "Pod",
        "PodDisruptionBudget",
        "Service",
    }
)
LOCAL_FILES = frozenset({"Component", "Kustomization"})
LOAD = frozenset({"drain", "headers", "keepalive", "seed", "timeout", "url", "workload"})
MODELLED = frozenset({"play", "target"})
HEADER = re.compile(r"x-gateway-inference-(objective|fairness-id): [a-z0-9-]{1,40}")
AMOUNT = re.compile(r"[0-9]{1,6}(\.[0-9]{1,4})?(ms|s|m|k)?")
FREE = frozenset({"metadata", "metricType"})
ASKED = frozenset({"activationThreshold", "ignoreNullValues", "query", "threshold"})
"""What an exercise may say of a trigger, and in its metadata."""
LONGEST = 300.0  # real seconds of one wait


def own_path(seat: Path, given: Any) -> Path:
    """A path in this student's copy of the course; raises `BadInput` for one that leads elsewhere."""
    name = inside(str(given))
    if name is None or not (seat / name).exists():
        kind = BadInput if name is None else Slip
        raise kind(f"There is no {given!s:.200} in the course.", fix="Name a file below manifests/.")
    return seat / name


def lines(path: Path) -> list[str]:
    """A file's lines without those that are comments."""
    return [line for line in path.read_text().splitlines() if line.strip() and line.lstrip()[0] != "#"]


def refuse_foreign(path: Path, released: Path) -> None:
    """Raise if a student's manifest has a kind that is neither common nor in the released file."""
    known = NAMESPACED | kinds(released)
    refuse_marks(path.read_text())
    try:
        documents = [one for one in yaml.safe_load_all(path.read_text()) if one]
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Slip(f"{path.name} is not YAML: {line_of(error)}", fix="Fix the line named here.") from error
    for one in documents:
        kind = str(one.get("kind")) if isinstance(one, dict) else "text"
        meta = one.get("metadata") if isinstance(one, dict) else None
        place = meta.get("namespace", NAMESPACE) if isinstance(meta, dict) else NAMESPACE
        if kind not in known:
            slip = kind in {"text", "None"} or misspelt(kind, known)
            raise (Slip if slip else BadInput)(
                f"An exercise does not create {kind:.60}.", fix=f"Known: {', '.join(sorted(known))}."
            )
        if place != NAMESPACE:
            raise (Slip if place == "default" else BadInput)(
                f"An exercise stays in namespace {NAMESPACE}, not {place!s:.60}.", fix="Leave it out."
            )
        if kind == "NetworkPolicy":
            _refuse_opening(one, released)
        if kind == "ScaledObject":
            _refuse_reaching(one, released)


def _refuse_opening(policy: Mapping[str, Any], released: Path) -> None:
    """Policies add up, so a rule of egress would open what grading's own policy closes to pods."""
    spec, meta = policy.get("spec"), policy.get("metadata")
    name = str(meta.get("name") if isinstance(meta, dict) else meta)
    if not re.search(rf"^  name: {re.escape(name)}$", released.read_text(), re.MULTILINE):
        raise BadInput(
            f"An exercise does not create the NetworkPolicy {name:.60}.", fix="Leave its name as it was."
        )
    if not isinstance(spec, dict) or spec.get("policyTypes") != ["Ingress"] or "egress" in spec:
        raise BadInput(
            "An exercise's NetworkPolicy is about ingress only.",
            fix="Write policyTypes: [Ingress], and no egress.",
        )


def _refuse_reaching(scaled: Mapping[str, Any], released: Path) -> None:
    """KEDA's operator asks whatever address a trigger names: so it asks whom the released file asks."""
    [known] = [one for one in yaml.safe_load_all(released.read_text()) if one["kind"] == "ScaledObject"]
    mine, theirs = dict(_reached(scaled)), dict(_reached(known))
    if mine != theirs:
        wrong = sorted(key for key in {*mine, *theirs} if mine.get(key) != theirs.get(key))
        raise BadInput(
            f"An exercise's ScaledObject does not change {', '.join(wrong)[:200]}.",
            fix="Leave as they were: what it scales, and whom its triggers ask, and how.",
        )


def _reached(scaled: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """All that a ScaledObject says of its target and its triggers, but for what an exercise may say."""
    spec = scaled.get("spec")
    yield "scaleTargetRef", repr(spec.get("scaleTargetRef") if isinstance(spec, dict) else spec)
    triggers = spec.get("triggers") if isinstance(spec, dict) else None
    if not isinstance(triggers, list):
        yield "triggers", repr(triggers)
        return
    for i, trigger in enumerate(triggers):
        said = trigger if isinstance(trigger, dict) else {"trigger": trigger}
        inner = said.get("metadata")
        yield from ((f"triggers[{i}].{key}", repr(value)) for key, value in said.items() if key not in FREE)
        for key, value in inner.items() if isinstance(inner, dict) else [("", inner)]:
            if key not in ASKED:
                yield f"triggers[{i}].metadata.{key}", repr(value)


def spreading(path: Path) -> set[str]:
    """The kinds in a manifest that a reset of the namespace does not remove."""
    return kinds(path) - NAMESPACED - LOCAL_FILES


def kinds(path: Path) -> set[str]:
    """The kinds of the objects in a manifest."""
    return set(re.findall(r"^kind: *(\w+)", path.read_text(), re.MULTILINE))


def refuse_address(url: Any, known: Collection[str]) -> None:
    """Raise for an address that `lab.url` did not return."""
    if not any(
        str(url).startswith(one) and urlsplit(str(url)).netloc == urlsplit(one).netloc for one in known
    ):
        raise BadInput(f"{url!s:.100} is not an address of the lab.", fix="Use lab.url(…).")


def refuse_headers(headers: Any) -> None:
    """Raise for headers of a load other than those that name an objective, or whose share it is."""
    known = isinstance(headers, Mapping) and all(
        HEADER.fullmatch(f"{name}: {text}") for name, text in headers.items()
    )
    if not known:
        raise BadInput(
            f"A graded run does not send the headers {headers!s:.100}.",
            fix='headers={"x-gateway-inference-objective": "chat"}',
        )


def refuse_picker(path: Path, released: Path) -> None:
    """Raise if a student's picker differs from the released one in more than numbers and durations.

    It runs as a part of the lab, with the lab's rights: so it has the course's plugins, and nothing in it
    names a file or an address.
    """
    try:
        mine, theirs = (yaml.safe_load(one.read_text()) for one in (path, released))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Slip(f"{path.name} is not YAML: {line_of(error)}", fix="Fix the line named here.") from error
    if not _alike(mine, theirs):
        raise Slip(
            f"{path.name} differs from the released file in more than its numbers.",
            fix="Take the file as it was, and change numbers and durations only.",
        )


def _alike(mine: Any, theirs: Any) -> bool:
    if isinstance(theirs, dict):
        return (
            isinstance(mine, dict)
            and mine.keys() == theirs.keys()
            and all(_alike(mine[k], theirs[k]) for k in theirs)
        )
    if isinstance(theirs, list):
        return isinstance(mine, list) and len(mine) == len(theirs) and all(map(_alike, mine, theirs))
    return mine == theirs or bool(AMOUNT.fullmatch(str(mine)) and AMOUNT.fullmatch(str(theirs)))


def refuse_words(words: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise for an option that a graded run does not accept."""
    if unknown := sorted(set(words) - set(known)):
        raise BadInput(
            f"Not allowed in a graded run: {', '.join(unknown)[:100]}.", fix=f"Known: {sorted(known)}"
        )


def bounded(words: Mapping[str, Any]) -> dict[str, Any]:
    """Limit a wait to `LONGEST`."""
    if "seconds" not in words:
        return dict(words)
    return {**words, "seconds": min(float(words["seconds"]), LONGEST)}


def named(name: Any, pattern: re.Pattern[str], what: str) -> str:
    """A plain name: no option, no path, no second word."""
    if not isinstance(name, str) or not pattern.fullmatch(name):
        raise BadInput(f"{name!s:.60} is no {what} of the lab.", fix="Use the name that the lab shows.")
    return name


def whole(number: Any, most: int, what: str) -> int:
    """A whole number from 0 up to a limit."""
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= most:
        raise BadInput(
            f"{number!s:.40} {what}: a graded run has 0 to {most}.", fix="Use the form that the course uses."
        )
    return number
