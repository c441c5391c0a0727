"""What a student's process may ask of the grader. Everything else is refused; `confined` looks at arguments.

The grader holds the keys of a whole cluster and reads files as the instructor: so no path leads out of the
student's own copy of the course, no address but those of the lab, no kubectl option that names a file, and a
student's own manifest holds nothing but objects of the course's kinds in the lab's namespace.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from labkit.errors import BadInput
from labkit.evidence.cold_start import StartWatch
from labkit.evidence.pace import Pacing
from labkit.evidence.recording import Recording
from labkit.evidence.states import Follower
from labkit.grading.commands import known, refuse_marks
from labkit.grading.files import inside
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


def verbs(notebook: Any) -> set[str]:
    """The verbs of the lab that a notebook uses, `trial` of the study among them."""
    called = [node for node in _nodes(notebook) if isinstance(node, ast.Call) and node.args]
    trials = {"trial" for call in called if ast.unparse(call.func) == "trial"}
    return trials | {words[1] for words in _used(notebook)}


def beyond(notebook: Any) -> list[str]:
    """What a notebook uses and a graded run lacks: `lab.gpus`, `lab.kube.apply`, `kubectl drain`."""
    more = {f"lab.{verb}" for verb in verbs(notebook) - LAB - LOCAL}
    reached = [words for words in _used(notebook) if len(words) == 3]
    more |= {f"lab.{part}.{verb}" for _, part, verb in reached if verb not in VERBS[PARTS[part]]}
    said = [tuple(_words(node)) for node in _nodes(notebook) if isinstance(node, ast.Call)]
    return sorted(more | {f"kubectl {words[0]}" for words in said if words and not known(words)})


def _nodes(notebook: Any) -> list[ast.AST]:
    code = [ast.parse(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    return [node for tree in code for node in ast.walk(tree)]


def _used(notebook: Any) -> list[tuple[str, ...]]:
    """Each name after the lab's: `lab.pods`, and `lab.kube.logs`."""
    return [tuple(ast.unparse(node).split(".")) for node in _nodes(notebook) if _of_the_lab(node)]


def _of_the_lab(node: ast.AST) -> bool:
    """`lab.pods`, `lab.kube.logs`: a name after the lab's, or after that of a part of it."""
    inner = node.value if isinstance(node, ast.Attribute) else None
    if isinstance(inner, ast.Attribute) and inner.attr in PARTS:
        inner = inner.value
    return isinstance(inner, ast.Name) and inner.id == "lab"


def _words(call: ast.Call) -> Iterator[str]:
    """The words of a call of kubectl that stand there in so many words, up to the first that does not."""
    if isinstance(call.func, ast.Attribute) and call.func.attr == "kubectl":
        for argument in call.args:
            if not isinstance(argument, ast.Constant):
                return
            yield str(argument.value)


def refuse_beyond(notebooks: Mapping[str, Any]) -> None:
    """Raise for notebooks that can't be graded yet."""
    told = {name: beyond(notebook) for name, notebook in notebooks.items()}
    if wrong := [f"{name} uses {', '.join(more)}" for name, more in told.items() if more]:
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


def spreads(path: Path) -> bool:
    """Whether a manifest makes what a reset of the namespace does not take away."""
    return bool(kinds(path) - NAMESPACED - LOCAL_FILES)


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
