"""What a notebook asks of the lab, read from its cells before anything is run: what can be graded, and where.

On a worker's own cluster, everything in `table` is allowed. On a shared one, nothing that changes it beyond
the course's namespace, and nothing that its provider can't do. Notebooks that need more are refused by name.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from labkit.errors import BadInput
from labkit.kube import documents, kubectl
from labkit_grading.sites.site import Site
from labkit_grading.submissions.released import assignment
from labkit_grading.verbs.commands import beyond_namespace, known
from labkit_grading.verbs.permits import spreading
from labkit_grading.verbs.table import AUDIT, PROCESSES, REGISTRY, VERBS

LACKING: Mapping[str, frozenset[str]] = {
    "kind": frozenset(),
    "existing": frozenset({AUDIT, PROCESSES, REGISTRY}),
}
"""What each provider lacks."""
OUTSIDE = frozenset({"LoadBalancer", "NodePort"})
WAYS_IN = "a Service of type " + " or ".join(sorted(OUTSIDE))
LOADING = frozenset({"load", "trial"})
PARTS = frozenset(name.partition(".")[0] for name in VERBS if "." in name)
"""What cells reach through the lab: `lab.kube.object(…)`."""
COURSE = frozenset(name for name, verb in VERBS.items() if verb.course)
NOTHING: Mapping[str, str] = MappingProxyType({})
PUT_IN = "…"  # stands for what is known only at run time


def verbs(notebook: Any) -> set[str]:
    """The verbs that a notebook uses: of the lab (`apply`, `kube.object`), and of the course (`hpa.why`)."""
    called = [node for node in _nodes(notebook) if isinstance(node, ast.Call) and node.args]
    ours = {ast.unparse(call.func).removeprefix("hpa.") for call in called} & COURSE
    return ours | {".".join(words[1:]) for words in _used(notebook)}


def beyond(notebook: Any) -> list[str]:
    """What a notebook uses and a graded run lacks: `lab.kube.apply`, `kubectl drain`."""
    more = {f"lab.{verb}" for verb in verbs(notebook) if verb not in VERBS or VERBS[verb].refused}
    return sorted(more | {f"kubectl {words[0]}" for words in _commands(notebook) if not known(words)})


def beyond_there(notebook: Any, site: Site, course: Path) -> list[str]:
    """What a notebook uses that is not allowed on a shared cluster: `lab.nodes.plug_in`, `kubectl taint`."""
    asked = verbs(notebook) & set(VERBS)
    lacking = LACKING[site.provider]
    more = {f"lab.{verb}" for verb in asked if VERBS[verb].spreads or VERBS[verb].needs in lacking}
    more |= {f"kubectl {' '.join(words[:2])}" for words in _commands(notebook) if beyond_namespace(words)}
    files = _files(notebook, site.provider)
    if site.provider == "existing" and asked & LOADING:
        more |= {f"lab.load ({name} provides no access: {WAYS_IN})" for name in files if _shut(course / name)}
    for name in files:
        path = course / name
        if not path.exists():
            more.add(f"{name} (there is none)")
        elif path.is_file() and (kinds := sorted(spreading(path))):
            more.add(f"{name} ({', '.join(kinds)})")
    return sorted(more)


def refuse_beyond(notebooks: Mapping[str, Any]) -> None:
    """Raise for notebooks that can't be graded so far."""
    told = {name: beyond(notebook) for name, notebook in notebooks.items()}
    if any(told.values()):
        raise BadInput(
            f"Can't be graded yet: {_told(told)}.",
            cause="The grader carries out a notebook's calls to the lab, and does not support this one.",
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
            cause="There, a submission gets one namespace, and can change nothing else.",
            fix=f"Choose with -b among: {', '.join(fit) or 'none'}. Or omit --provider: on "
            "embedded, each worker has its own cluster.",
        )


def _shut(folder: Path) -> bool:
    """Whether a folder of manifests has a Service that can't be reached from outside the cluster."""
    found = documents.load(folder) if folder.is_dir() else []
    services = [one.obj for one in found if one.obj["kind"] == "Service"]
    return any(service["spec"].get("type") not in OUTSIDE for service in services)


def _told(wrong: Mapping[str, list[str]]) -> str:
    return "; ".join(f"{name} uses {', '.join(more)}" for name, more in wrong.items() if more)


def _nodes(notebook: Any) -> list[ast.AST]:
    code = [ast.parse(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    return [node for tree in code for node in ast.walk(tree)]


def _used(notebook: Any) -> list[tuple[str, ...]]:
    """Each name used on the lab: `lab.pods`, and `lab.kube.object`."""
    return [tuple(ast.unparse(node).split(".")) for node in _nodes(notebook) if _of_the_lab(node)]


def _of_the_lab(node: ast.AST) -> bool:
    """`lab.pods`, `lab.kube.object`: a name used on the lab, or on a part of it."""
    inner = node.value if isinstance(node, ast.Attribute) else None
    if isinstance(inner, ast.Attribute) and inner.attr in PARTS:
        inner = inner.value
    return isinstance(inner, ast.Name) and inner.id == "lab"


def _commands(notebook: Any, known_now: Mapping[str, str] = NOTHING) -> list[tuple[str, ...]]:
    """The words of each kubectl call whose command is a literal in the cell."""
    calls = [node for node in _nodes(notebook) if isinstance(node, ast.Call) and node.args]
    named = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "kubectl"]
    lines = (_text(call.args[0], known_now) for call in named)
    return [tuple(kubectl.words(line)) for line in lines if line]


def _files(notebook: Any, provider: str) -> set[str]:
    """The course files that a notebook names, except names that are known only at run time."""
    known_now = {"PROVIDER": provider, "ANSWERS": "exercises"}
    texts = {_text(node, known_now) or "" for node in _nodes(notebook) if isinstance(node, ast.expr)}
    texts |= {word for words in _commands(notebook, known_now) for word in words}
    named = {text for text in texts if text.startswith("manifests/") and PUT_IN not in text}
    return {text for text in named if not text.endswith("/")}  # a prefix of a longer name


def _text(node: ast.expr, known_now: Mapping[str, str] = NOTHING) -> str | None:
    """A literal text, with known values filled in; None for anything else."""
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
