"""The kubectl commands that a student's process may give: the course's verbs, on the course's objects.

kubectl reads files and writes anywhere that the grader may: so no option that names a file, no manifest, no
other namespace but in the very words of a cell of the course.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

from labkit.errors import BadInput

ON_NODES = frozenset({"cordon", "taint", "uncordon"})
KUBECTL = ON_NODES | frozenset(
    {"annotate", "describe", "get", "label", "patch", "rollout", "scale", "set", "top", "wait"}
)
OPTIONS = ("-p", "-l", "-o", "--type=", "--subresource=", "--replicas=", "--sort-by=")
FLAGS = frozenset({"--all", "--overwrite"})
FILES = "-file"  # jsonpath-file=, go-template-file=: an output that is read from a file
MARKING = frozenset({"annotate", "label"})
WAITS = re.compile(r"--timeout=[1-9]\d?s|--for=jsonpath=\{[\w.\\/-]+\}=[\w-]+")
PHRASES = frozenset(
    {
        ("get", "secrets", "--all-namespaces"),
        ("get", "services", "-n", "monitoring"),
        ("get", "pods", "--show-labels"),
        ("delete", "secret", "team-login", "--namespace", "default", "--ignore-not-found"),
    }
)
"""Commands that are right as a whole, word by word, and in no other form."""
KUSTOMIZED = ("apply", "-k")
"""With a folder of the course after it: `confined` looks which."""
TARGETS = frozenset(
    {"daemonset", "deployment", "deploy", "pod", "pods", "hpa", "node", "nodes", "service", "svc", "events"}
)
MARKS = ("labkit.dev/address", "labkit.dev/ports", "managedFields", "externalIPs")
"""Where the node agent says that a pod answers, the server who wrote a field; and others' traffic."""


def known(words: Sequence[str]) -> bool:
    """Whether a command begins as one that a graded run has."""
    return words[0] in KUBECTL or tuple(words) in PHRASES or tuple(words[:2]) == KUSTOMIZED


def refuse_options(words: Sequence[Any]) -> None:
    """Raise for a kubectl command that could read a file, or reach beyond what the course works on."""
    texts = [str(word) for word in words]
    if tuple(texts) in PHRASES:
        return
    if not texts or texts[0] not in KUBECTL:
        raise BadInput(
            f"kubectl {' '.join(texts)[:60]} is not for a graded run.", fix=f"Known: {sorted(KUBECTL)}"
        )
    for text in texts:
        refuse_marks(text.removeprefix("-p").removeprefix("="))
    value = False  # of an option that stands in a word of its own
    targets = []
    for text in texts[1:]:
        gone = texts[0] in MARKING and text.endswith("-")  # a label that is taken away
        option, named = text.startswith("-"), "/" in text and "=" not in text and not gone
        foreign = named and text.partition("/")[0] not in TARGETS
        unknown = not text.startswith(OPTIONS) and text not in FLAGS
        unknown &= not (texts[0] == "wait" and WAITS.fullmatch(text))
        if FILES in text or (not value and (unknown if option else foreign)):
            raise BadInput(f"kubectl … {text:.60} is not for a graded run.", fix=f"Known: {sorted(TARGETS)}")
        if not value and not option:
            targets.append(text)
        value = text in {"-p", "-l"}
    of_nodes = bool(targets) and all(map(on_node, targets))
    if any(text.startswith("--subresource") for text in texts) and not of_nodes:
        raise BadInput("The status of an object is its controller's to write.", fix="Patch its spec.")


def on_node(word: Any) -> bool:
    """Whether a word names a node: what is done to one stays there for the next student."""
    return str(word).partition("/")[0] in {"node", "nodes", "no"}


def beyond_namespace(words: Sequence[Any]) -> bool:
    """Whether a kubectl command changes what a reset of the namespace does not put back."""
    verb, *rest = map(str, words)
    return verb in ON_NODES or "--namespace" in rest or any(map(on_node, rest))


def refuse_targets(words: Sequence[Any]) -> None:
    """Raise for objects that no cell of the course deletes."""
    for word in words:
        kind, _, name = str(word).partition("/")
        if kind not in TARGETS or on_node(word) or "/" in name or name.startswith("."):
            raise BadInput(
                f"{word!s:.60} is not for a graded run to delete.", fix=f"Known: {sorted(TARGETS)}"
            )


def refuse_marks(text: str) -> None:
    """Raise where YAML or JSON writes what is not a student's to write, also where escapes hide it."""
    seen = [text, *_scalars(text)]
    # A JSON patch writes / as ~1.
    if found := [mark for mark in MARKS for one in seen if mark in one.replace("~1", "/").replace("~0", "~")]:
        raise BadInput(f"{found[0]} is not a student's to write.", fix="Leave it out.")


def _scalars(text: str) -> list[str]:
    """The texts in YAML or JSON as their reader sees them; raises where an escape can't be read."""
    if "\\" not in text:
        return []
    try:
        return [token.value for token in yaml.scan(text) if isinstance(token, yaml.ScalarToken)]
    except yaml.YAMLError as error:
        raise BadInput(f"{text:.60} can't be read: {str(error)[:200]}", fix="Write it without \\.") from error
