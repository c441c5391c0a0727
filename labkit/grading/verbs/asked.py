"""What a notebook asks of the lab, read from its cells before anything is run: what can be graded, and where.

On a cluster of a worker's own, all that `permits` has. On one that others use, too, nothing that changes it
beyond the course's namespace, and nothing that its provider can't do. Refuses such notebooks by their names.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from labkit.errors import BadInput
from labkit.grading.sites.site import Site
from labkit.grading.submissions.released import assignment
from labkit.grading.verbs.commands import beyond_namespace, known
from labkit.grading.verbs.permits import LAB, LOCAL, PARTS, VERBS, spreading
from labkit.kube import documents

SPREADING = frozenset({"kwok", "plant", "plug_in", "push", "start_node", "stop_node"})
SPREADING |= frozenset({"kube.patch", "workshop.push"})
"""Verbs after which a cluster is not as it was, whatever is reset: nodes, APIs, the registry."""
IMAGES = frozenset({"build", "digest", "login", "pull_secret", "push", "registry", "tag", "workshop"})
LACKING: Mapping[str, frozenset[str]] = {"kind": frozenset(), "existing": IMAGES | {"kill", "ledger", "why"}}
"""What a provider can't do: it has no registry, no way to a pod's processes, no audit logs."""
OUTSIDE = frozenset({"LoadBalancer", "NodePort"})
WAYS_IN = "a Service of type " + " or ".join(sorted(OUTSIDE))
LOADING = frozenset({"load", "trial"})
PUT_IN = "…"  # in place of what only a run knows


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
    return sorted(more | {f"kubectl {words[0]}" for words in _commands(notebook) if not known(words)})


def beyond_there(notebook: Any, site: Site, course: Path) -> list[str]:
    """What a notebook uses and nobody may where others work, too: `lab.plug_in`, `kubectl taint`."""
    asked = verbs(notebook) | {".".join(words[1:]) for words in _used(notebook)}
    more = {f"lab.{verb}" for verb in asked & (SPREADING | LACKING[site.provider])}
    more |= {f"kubectl {' '.join(words[:2])}" for words in _commands(notebook) if beyond_namespace(words)}
    files = _files(notebook, site.provider)
    if site.provider == "existing" and asked & LOADING:
        more |= {f"lab.load ({name} gives no way in: {WAYS_IN})" for name in files if _shut(course / name)}
    for name in files:
        path = course / name
        if not path.exists():
            more.add(f"{name} (there is none)")
        elif path.is_file() and (kinds := sorted(spreading(path))):
            more.add(f"{name} ({', '.join(kinds)})")
    return sorted(more)


def refuse_beyond(notebooks: Mapping[str, Any]) -> None:
    """Raise for notebooks that can't be graded yet."""
    told = {name: beyond(notebook) for name, notebook in notebooks.items()}
    if any(told.values()):
        raise BadInput(
            f"Can't be graded yet: {_told(told)}.",
            cause="The grader does what a notebook asks of the lab, and has no such verb.",
            fix=f"Choose with -b among: {', '.join(n for n, more in told.items() if not more) or 'none'}.",
        )


def refuse_beyond_there(notebooks: Mapping[str, Any], site: Site, course: Path) -> None:
    """Raise for notebooks that can't be graded at a site."""
    if site.own:
        return
    told = {name: beyond_there(notebook, site, course) for name, notebook in notebooks.items()}
    if any(told.values()):
        every = assignment(course, sorted(course.glob("notebooks/[0-9]*.ipynb"))).notebooks
        fit = [name for name, one in every.items() if not beyond_there(one, site, course)]
        raise BadInput(
            f"Can't be graded on {site}: {_told(told)}.",
            cause="A submission gets one namespace there, and changes nothing else for others.",
            fix=f"Choose with -b among: {', '.join(fit) or 'none'}. Or leave --provider out: on "
            "embedded, each worker has a cluster of its own.",
        )


def _shut(folder: Path) -> bool:
    """Whether a folder of manifests has a Service that nobody outside of the cluster reaches."""
    found = documents.load(folder) if folder.is_dir() else []
    services = [one.obj for one in found if one.obj["kind"] == "Service"]
    return any(service["spec"].get("type") not in OUTSIDE for service in services)


def _told(wrong: Mapping[str, list[str]]) -> str:
    return "; ".join(f"{name} uses {', '.join(more)}" for name, more in wrong.items() if more)


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


def _commands(notebook: Any) -> list[tuple[str, ...]]:
    """The words of each call of kubectl, up to the first that is no text."""
    calls = [node for node in _nodes(notebook) if isinstance(node, ast.Call)]
    named = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "kubectl"]
    return [words for words in (tuple(_texts(call)) for call in named) if words]


def _texts(call: ast.Call) -> Iterator[str]:
    for argument in call.args:
        text = _text(argument)
        if text is None:
            return
        yield text


def _files(notebook: Any, provider: str) -> set[str]:
    """The files of the course that a notebook names, but for those whose names only a run knows."""
    known_now = {"PROVIDER": provider, "ANSWERS": "exercises"}
    texts = {_text(node, known_now) or "" for node in _nodes(notebook) if isinstance(node, ast.expr)}
    named = {text for text in texts if text.startswith("manifests/") and PUT_IN not in text}
    return {text for text in named if not text.endswith("/")}  # that is the beginning of a longer one


def _text(node: ast.expr, known_now: Mapping[str, str] = MappingProxyType({})) -> str | None:
    """A text as it stands there, with what is known put in; None for what is no text."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if not isinstance(node, ast.JoinedStr):
        return None
    return "".join(_part(part, known_now) for part in node.values)


def _part(part: ast.expr, known_now: Mapping[str, str]) -> str:
    if isinstance(part, ast.FormattedValue):
        return known_now.get(ast.unparse(part.value), PUT_IN)
    assert isinstance(part, ast.Constant)
    return str(part.value)
