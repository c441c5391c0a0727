"""What a student's process may ask of the grader, and with which arguments. Everything else is refused.

The grader holds the keys of a whole cluster and reads files as the instructor: so no path leads out of the
student's own copy of the course, no address but those of the lab, no kubectl option that names a file, and a
student's own manifest holds nothing but objects of the course's kinds in the lab's namespace.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from labkit.errors import BadInput
from labkit.evidence.recording import Recording
from labkit.evidence.states import Follower
from labkit.grading.files import inside
from labkit.kube.client import Kube
from labkit.lab import NAMESPACE, Lab
from labkit.load import Running

LAB = (
    frozenset(
        {"apply", "delete", "kill", "lift", "load", "plant", "reset", "scale"}
    )  # they change the cluster
    | frozenset({"until", "until_healthy", "until_metric", "watch"})
    | frozenset({"curl", "events", "metrics", "nodes", "object", "pods", "raw", "url"})
    | frozenset({"check", "doctor", "follow", "ledger", "record", "requests_by_pod", "why"})
    | frozenset({"curve", "plot", "plot_states", "plot_updates", "show", "table"})
    | frozenset({"clock", "kube"})
)
LOCAL = frozenset({"predict", "refused", "attempt"})
"""Verbs that the student's own process carries out."""
VERBS: Mapping[type, frozenset[str]] = {
    Lab: LAB,
    Recording: frozenset({"mark", "reach", "stop"}),
    Running: frozenset({"alive", "progress", "result", "stop", "wait"}),
    Follower: frozenset({"stop"}),
    Kube: frozenset({"kubectl", "object", "objects", "rollout"}),
}
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
KUBECTL = frozenset({"annotate", "describe", "get", "label", "patch", "rollout", "scale", "set", "top"})
OPTIONS = ("-p", "-l", "-o", "--type=", "--subresource=", "--replicas=", "--sort-by=", "--overwrite", "--all")
TARGETS = frozenset(
    {"deployment", "deploy", "pod", "pods", "hpa", "node", "nodes", "service", "svc", "events"}
)
LOAD = frozenset({"workload", "drain", "keepalive", "timeout", "seed"})
MARKS = ("labkit.dev/address", "labkit.dev/ports")  # where the node agent says that a pod answers
LONGEST = 300.0  # real seconds of one wait


def permitted(target: Any, name: str) -> bool:
    """Whether this verb of this object may be asked for."""
    return any(isinstance(target, kind) and name in verbs for kind, verbs in VERBS.items())


def verbs(notebook: Any) -> set[str]:
    """The verbs of the lab that a notebook uses."""
    code = [ast.parse(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    return {
        node.attr
        for tree in code
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "lab"
    }


def beyond(notebook: Any) -> list[str]:
    """The verbs that a notebook uses and a graded run does not have."""
    return sorted(verbs(notebook) - LAB - LOCAL)


def refuse_beyond(notebooks: Mapping[str, Any]) -> None:
    """Raise for notebooks that can't be graded yet."""
    told = {name: beyond(notebook) for name, notebook in notebooks.items()}
    if wrong := [f"{name} uses lab.{', lab.'.join(more)}" for name, more in told.items() if more]:
        raise BadInput(
            f"Can't be graded yet: {'; '.join(wrong)}.",
            cause="The grader does what a notebook asks of the lab, and has no such verb.",
            fix=f"Choose with -b among: {', '.join(n for n, more in told.items() if not more) or 'none'}.",
        )


def own_path(seat: Path, given: Any) -> Path:
    """A path of the course, as this student has it; raises `BadInput` for one that leads elsewhere."""
    name = inside(str(given))
    if name is None or not (seat / name).exists():
        raise BadInput(f"There is no {given!s:.200} in the course.", fix="Name a file below manifests/.")
    return seat / name


def refuse_foreign(path: Path, released: Path) -> None:
    """Raise where a student's manifest holds a kind that is neither common nor in the released file."""
    known = NAMESPACED | kinds(released)
    _refuse_marks(path.read_text())
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


def refuse_options(words: Sequence[Any]) -> None:
    """Raise for a kubectl command that could read a file, or reach beyond what the course works on."""
    texts = [str(word) for word in words]
    if not texts or texts[0] not in KUBECTL:
        raise BadInput(
            f"kubectl {' '.join(texts)[:60]} is not for a graded run.", fix=f"Known: {sorted(KUBECTL)}"
        )
    _refuse_marks(" ".join(texts))
    if any(text.startswith("--subresource") for text in texts) and not any(map(on_node, texts)):
        raise BadInput("The status of an object is its controller's to write.", fix="Patch its spec.")
    value = False  # of an option that stands in a word of its own
    for text in texts[1:]:
        option, named = text.startswith("-"), "/" in text and "=" not in text
        foreign = named and text.partition("/")[0] not in TARGETS
        if not value and (foreign if not option else not text.startswith(OPTIONS)):
            raise BadInput(f"kubectl … {text:.60} is not for a graded run.", fix=f"Known: {sorted(TARGETS)}")
        value = text in {"-p", "-l"}


def spreads(path: Path) -> bool:
    """Whether a manifest makes what a reset of the namespace does not take away."""
    return bool(kinds(path) - NAMESPACED - LOCAL_FILES)


def kinds(path: Path) -> set[str]:
    """The kinds of the objects in a manifest."""
    return set(re.findall(r"^kind: *(\w+)", path.read_text(), re.MULTILINE))


def on_node(word: Any) -> bool:
    """Whether a word names a node: what is done to one stays there for the next student."""
    return str(word).partition("/")[0] in {"node", "nodes", "no"}


def refuse_targets(words: Sequence[Any]) -> None:
    """Raise for objects that no cell of the course deletes."""
    for word in words:
        if str(word).partition("/")[0] not in TARGETS or on_node(word):
            raise BadInput(
                f"{word!s:.60} is not for a graded run to delete.", fix=f"Known: {sorted(TARGETS)}"
            )


def _refuse_marks(text: str) -> None:
    if any(mark in text for mark in MARKS):
        raise BadInput(f"{' and '.join(MARKS)} are the node agent's to write.", fix="Leave them out.")


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
