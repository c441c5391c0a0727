"""What a student's process may ask of the grader. Everything else is refused; `confined` looks at arguments.

The grader holds the keys of a whole cluster and reads files as the instructor: so no path leads out of the
student's own copy of the course, no address but those of the lab, no kubectl option that names a file, and a
student's own manifest holds nothing but objects of the course's kinds in the lab's namespace.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from labkit.errors import BadInput
from labkit.evidence.cold_start import StartWatch
from labkit.evidence.pace import Pacing
from labkit.evidence.recording import Recording
from labkit.evidence.states import Follower
from labkit.grading.submissions.files import inside
from labkit.grading.verbs.commands import refuse_marks
from labkit.kube.client import Kube
from labkit.lab import NAMESPACE, Lab
from labkit.load import Running
from labkit.providers.base import RegistryAccess
from labkit.study.trial import Trial
from labkit.workshop import Built, Layer, Push, Workshop

LAB = (
    frozenset(
        {"apply", "delete", "kill", "lift", "load", "plant", "reset", "scale", "trial"}
    )  # they change it
    | frozenset({"kwok", "plug_in", "start_node", "stop_node"})
    | frozenset({"build", "digest", "login", "pull_secret", "push", "registry", "tag", "workshop"})
    | frozenset({"until", "until_healthy", "until_metric", "watch"})
    | frozenset(
        {"answering", "curl", "events", "manifest", "metrics", "nodes", "object", "pods", "raw", "url"}
    )
    | frozenset(
        {"check", "doctor", "follow", "ledger", "pace", "record", "requests_by_pod", "time_start", "why"}
    )
    | frozenset({"curve", "plot", "plot_gpus", "plot_states", "plot_updates", "show", "table"})
    | frozenset({"clock", "kube"})
)
LOCAL = frozenset(
    {"attempt", "copy", "plot_frontier", "plot_starts", "predict", "refused", "sweep", "what_if"}
)
"""Verbs that the student's own process carries out, with what the grader shows anyway."""
VERBS: Mapping[type, frozenset[str]] = {
    Lab: LAB,
    Recording: frozenset({"mark", "reach", "stop"}),
    Running: frozenset({"alive", "progress", "result", "stop", "wait"}),
    Follower: frozenset({"stop"}),
    Pacing: frozenset({"stop"}),
    StartWatch: frozenset({"first_token"}),
    Kube: frozenset({"clock", "kubectl", "logs", "object", "objects", "patch", "rollout"}),
    Workshop: frozenset({"build", "push"}),
}
PARTS: Mapping[str, type] = {"kube": Kube, "workshop": Workshop}
"""What cells reach through the lab: `lab.kube.logs(…)`."""
READ: Mapping[type, tuple[str, ...]] = {
    Built: ("digest", "layers", "manifest"),
    Layer: ("digest", "instruction", "number", "size"),
    Push: ("bytes_sent", "digest", "layers", "sent"),
    Trial: ("bill", "load", "run"),
    RegistryAccess: ("host", "username", "password"),  # each pod of the lab has that login, too
}
"""What a cell may read of an object that stays with the grader."""
NAMESPACED = frozenset(
    {
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "HorizontalPodAutoscaler",
        "Pod",
        "PodDisruptionBudget",
        "Service",
    }
)
LOCAL_FILES = frozenset({"Component", "Kustomization"})
LOAD = frozenset({"drain", "keepalive", "seed", "timeout", "url", "workload"})
LONGEST = 300.0  # real seconds of one wait


def permitted(target: Any, name: str) -> bool:
    """Whether this verb of this object may be asked for."""
    return any(isinstance(target, kind) and name in verbs for kind, verbs in VERBS.items())


def own_path(seat: Path, given: Any) -> Path:
    """A path of the course, as this student has it; raises `BadInput` for one that leads elsewhere."""
    name = inside(str(given))
    if name is None or not (seat / name).exists():
        raise BadInput(f"There is no {given!s:.200} in the course.", fix="Name a file below manifests/.")
    return seat / name


def refuse_foreign(path: Path, released: Path) -> None:
    """Raise where a student's manifest holds a kind that is neither common nor in the released file."""
    known = NAMESPACED | kinds(released)
    refuse_marks(path.read_text())
    try:
        documents = [one for one in yaml.safe_load_all(path.read_text()) if one]
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BadInput(
            f"{path.name} is no YAML: {str(error)[:200]}", fix="Mend the line that is named."
        ) from error
    for one in documents:
        kind = str(one.get("kind")) if isinstance(one, dict) else "text"
        meta = one.get("metadata") if isinstance(one, dict) else None
        place = meta.get("namespace", NAMESPACE) if isinstance(meta, dict) else NAMESPACE
        if kind not in known:
            raise BadInput(f"An exercise makes no {kind:.60}.", fix=f"Known: {', '.join(sorted(known))}.")
        if place != NAMESPACE:
            raise BadInput(
                f"An exercise stays in namespace {NAMESPACE}, not {place!s:.60}.", fix="Leave it out."
            )


def spreading(path: Path) -> set[str]:
    """The kinds in a manifest that a reset of the namespace does not take away."""
    return kinds(path) - NAMESPACED - LOCAL_FILES


def kinds(path: Path) -> set[str]:
    """The kinds of the objects in a manifest."""
    return set(re.findall(r"^kind: *(\w+)", path.read_text(), re.MULTILINE))


def refuse_address(url: Any, known: Collection[str]) -> None:
    """Raise for an address that `lab.url` did not give."""
    if not any(
        str(url).startswith(one) and urlsplit(str(url)).netloc == urlsplit(one).netloc for one in known
    ):
        raise BadInput(f"{url!s:.100} is no address of the lab.", fix="Use lab.url(…).")


def refuse_words(words: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise for an option that a graded run does not take."""
    if unknown := sorted(set(words) - set(known)):
        raise BadInput(f"Not for a graded run: {', '.join(unknown)[:100]}.", fix=f"Known: {sorted(known)}")


def bounded(words: Mapping[str, Any]) -> dict[str, Any]:
    """No wait is longer than `LONGEST`."""
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
        raise BadInput(f"{number!s:.40} {what}: a graded run has 0 to {most}.", fix="As the course does.")
    return number
