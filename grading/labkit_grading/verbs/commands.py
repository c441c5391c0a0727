"""The kubectl commands that a student's process can run: the course's verbs, on the course's objects.

kubectl can read files, and write wherever the grader can. So no option that names a file, no manifest and no
other namespace is allowed, except in exactly the words of one of the course's cells.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

from labkit.errors import BadInput
from labkit_grading.verbs.slips import Slip, misspelt

ON_NODES = frozenset({"cordon", "taint", "uncordon"})
KUBECTL = ON_NODES | frozenset(
    {
        "annotate",
        "describe",
        "events",
        "get",
        "label",
        "logs",
        "patch",
        "rollout",
        "scale",
        "set",
        "top",
        "wait",
    }
)
OPTIONS = ("-p", "-l", "-o", "--type=", "--subresource=", "--replicas=", "--sort-by=")
FLAGS = frozenset({"--all", "--overwrite"})
FILES = "-file"  # jsonpath-file=, go-template-file=: an output format read from a file
MARKING = frozenset({"annotate", "label"})
WRITING = MARKING | {"patch", "scale"}
"""Commands that change the object that follows: as KIND/NAME, or as KIND NAME."""
WAITS = re.compile(r"--timeout=[1-9]\d?s|--for=jsonpath=\{[\w.\\/-]+\}=[\w-]+")
NARROW = {
    "events": re.compile(r"--for=(daemonset|deployment|hpa|pod|scaledobject)/[a-z0-9][a-z0-9.-]*"),
    "logs": re.compile(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?( --previous| --tail=\d{1,4})*"),
}
"""Commands of which one form is right: the events of one object, what one pod has printed."""
PHRASES = frozenset(
    {
        ("get", "secrets", "--all-namespaces"),
        ("get", "services", "-n", "monitoring"),
        ("get", "services", "-n", "keda"),
        ("get", "namespaces", "--show-labels"),
        ("get", "pods", "--show-labels"),
        ("delete", "secret", "team-login", "--namespace", "default", "--ignore-not-found"),
        ("delete", "scaledobject/llm-inference-service", "--cascade=orphan"),
        ("delete", "scaledobject", "llm-inference-service", "--cascade=orphan"),
    }
)
"""Commands that are right as a whole, word by word, and in no other form."""
KUSTOMIZED = ("apply", "-k")
"""With a folder of the course after it: `confined` looks which."""
TARGETS = frozenset(
    {"daemonset", "deployment", "deploy", "pod", "pods", "hpa", "node", "nodes", "service", "svc", "events"}
)
DELETED = frozenset(
    {"networkpolicy/only-ours", "priorityclass/placeholder", "scaledobject/llm-inference-service"}
)
"""Objects that a cell deletes by their whole names: no other of their kind may be deleted."""
MARKS = ("labkit.dev/address", "labkit.dev/ports", "managedFields", "externalIPs")
"""Where the node agent says that a pod answers, the server who wrote a field; and others' traffic."""


def known(words: Sequence[str]) -> bool:
    """Whether a command begins like one that a graded run allows."""
    return words[0] in KUBECTL or tuple(words) in PHRASES or tuple(words[:2]) == KUSTOMIZED


def refuse_options(words: Sequence[Any]) -> None:
    """Raise for a kubectl command that could read a file, or reach beyond what the course works on."""
    texts = [str(word) for word in words]
    if tuple(texts) in PHRASES:
        return
    if not texts or texts[0] not in KUBECTL:
        refused = Slip if texts and misspelt(texts[0], KUBECTL) else BadInput
        raise refused(
            f"kubectl {' '.join(texts)[:60]} is not allowed in a graded run.", fix=f"Known: {sorted(KUBECTL)}"
        )
    if texts[0] in NARROW:
        if NARROW[texts[0]].fullmatch(" ".join(texts[1:])):
            return
        raise BadInput(
            f"kubectl {' '.join(texts)[:60]} is not allowed in a graded run.",
            fix="Use the form that the course uses.",
        )
    for text in texts:
        refuse_marks(text.removeprefix("-p").removeprefix("="))
    value = False  # the value of an option, as a separate word
    targets = []
    for text in texts[1:]:
        gone = texts[0] in MARKING and text.endswith("-")  # a label that is removed
        option, named = text.startswith("-"), "/" in text and "=" not in text and not gone
        kind, _, name = text.partition("/")
        foreign = named and (kind not in TARGETS or "/" in name or name.startswith("."))
        unknown = not text.startswith(OPTIONS) and text not in FLAGS
        unknown &= not (texts[0] == "wait" and WAITS.fullmatch(text))
        if FILES in text or (not value and (unknown if option else foreign)):
            raise BadInput(
                f"kubectl … {text:.60} is not allowed in a graded run.", fix=f"Known: {sorted(TARGETS)}"
            )
        if not value and not option:
            targets.append(text)
        value = text in {"-p", "-l"}
    _refuse_kind(texts[0], targets)
    of_nodes = bool(targets) and all(map(on_node, targets))
    if any(text.startswith("--subresource") for text in texts) and not of_nodes:
        raise BadInput("Only its controller may write the status of an object.", fix="Patch its spec.")


def _refuse_kind(verb: str, targets: Sequence[str]) -> None:
    """Raise for a change of an object of another kind that is written as KIND NAME."""
    if verb in WRITING and len(targets) > 1 and "/" not in targets[0] and targets[0] not in TARGETS:
        raise BadInput(
            f"kubectl {verb} {targets[0]:.60} is not allowed in a graded run.",
            fix=f"Known: {sorted(TARGETS)}",
        )


def on_node(word: Any) -> bool:
    """Whether a word names a node: changes to a node persist until the next student."""
    return str(word).partition("/")[0] in {"node", "nodes", "no"}


def beyond_namespace(words: Sequence[Any]) -> bool:
    """Whether a kubectl command changes something that a reset of the namespace does not undo."""
    verb, *rest = map(str, words)
    return verb in ON_NODES or "--namespace" in rest or any(map(on_node, rest))


def refuse_targets(words: Sequence[Any]) -> None:
    """Raise for objects that none of the course's cells delete."""
    for word in words:
        kind, _, name = str(word).partition("/")
        if word in DELETED:
            continue
        if kind not in TARGETS or on_node(word) or "/" in name or name.startswith("."):
            raise BadInput(f"{word!s:.60} can't be deleted in a graded run.", fix=f"Known: {sorted(TARGETS)}")


def refuse_marks(text: str) -> None:
    """Raise if YAML or JSON sets what a student must not set, even if escapes hide it."""
    seen = [text, *_scalars(text)]
    # A JSON patch writes / as ~1.
    if found := [mark for mark in MARKS for one in seen if mark in one.replace("~1", "/").replace("~0", "~")]:
        raise BadInput(f"{found[0]} can't be set by a submission.", fix="Leave it out.")


def _scalars(text: str) -> list[str]:
    """The texts in YAML or JSON as a parser sees them; raises if an escape can't be parsed."""
    if "\\" not in text:
        return []
    try:
        return [token.value for token in yaml.scan(text) if isinstance(token, yaml.ScalarToken)]
    except yaml.YAMLError as error:
        raise Slip(f"what you wrote can't be read: {line_of(error)}", fix="Write it without \\.") from error


def line_of(error: Exception) -> str:
    """What is wrong with a text, with its line if that is known."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}: {problem}"[:200] if mark else str(problem)[:200]
