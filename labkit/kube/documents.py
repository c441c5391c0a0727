"""Manifests from disk, each with its file, its position in it and the lines of its fields.

The source is a file, a folder of files, or a kustomize folder (rendered by `kubectl kustomize`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from labkit import course
from labkit.errors import BadInput, LabError
from labkit.kube.kubectl import kubectl
from localcluster.api.schema import steps

KUSTOMIZATION = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Document:
    """One object as written in a file."""

    obj: dict[str, Any]
    source: Path
    index: int = 1  # first, second ... in its file
    node: yaml.Node | None = None  # None if kustomize rendered it: no single file has its lines

    @property
    def title(self) -> str:
        """`deployment/llm-inference-service`."""
        name = (self.obj.get("metadata") or {}).get("name", "?")
        return f"{str(self.obj.get('kind', '?')).lower()}/{name}"

    def place(self, field: str = "") -> str:
        """`deployment.yaml:17 (deployment/x)`: the line of a field, or of its nearest parent that has one."""
        if self.node is None:
            return f"{self.source}/ ({self.title})"
        number = f", document {self.index}" if self.index > 1 else ""
        return f"{self.source}:{_line(self.node, field)} ({self.title}{number})"


def load(given: str | Path) -> list[Document]:
    """Every object under a path, in the order to apply them: namespaces first, the rest as written.

    A relative path is looked up in the working directory, then in the course's folder (`course.path`).
    """
    path = course.existing(given)
    found = list(_folder(path) if path.is_dir() else _file(path))
    if not found:
        raise BadInput(f"{path} holds no Kubernetes object.", fix="Write one, or name another file.")
    return sorted(found, key=lambda d: d.obj["kind"] != "Namespace")


def _folder(path: Path) -> Iterator[Document]:
    if any((path / name).is_file() for name in KUSTOMIZATION):
        yield from _kustomized(path)
        return
    for file in sorted(f for f in path.iterdir() if f.suffix in _SUFFIXES):
        yield from _file(file)


def _kustomized(path: Path) -> Iterator[Document]:
    try:
        rendered = kubectl("kustomize", path)
    except LabError as error:
        raise BadInput(
            f"kustomize can't render {path}: {error.what}",
            cause="A file that the kustomization names is missing, or a patch finds nothing to change.",
        ) from error
    for i, obj in enumerate(yaml.safe_load_all(rendered), start=1):
        yield Document(_checked(obj, str(path)), path, i)


def _file(path: Path) -> Iterator[Document]:
    try:
        text = path.read_text()
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
        objects = list(yaml.safe_load_all(text))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path} is not YAML: {_first_line(error)}",
            cause="A tab, a missing space after a colon, or lines with different indentation.",
            fix="Fix the line named here, or the one above it.",
        ) from error
    for node in nodes:
        _no_key_twice(node, path)
    for i, (node, obj) in enumerate(zip(nodes, objects, strict=True), start=1):
        if obj is not None:  # an empty document between two ---
            place = f"{path}:{node.start_mark.line + 1}"
            yield from _unpacked(Document(_checked(obj, place), path, i, node))


def _no_key_twice(node: yaml.Node, path: Path) -> None:
    """Refuse duplicate keys: YAML parsers silently keep the last one, which is never what was meant."""
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line, name = key.start_mark.line + 1, str(key.value)
            if name in lines and name != "<<":
                raise BadInput(
                    f"{path}:{line}: `{name}` appears twice, first in line {lines[name]}.",
                    cause="A block was added beside one of the same name.",
                    fix="Put both under one key.",
                )
            lines[name] = line
            children.append(value)
    elif isinstance(node, yaml.SequenceNode):
        children = list(node.value)
    for child in children:
        _no_key_twice(child, path)


def _unpacked(document: Document) -> Iterator[Document]:
    """Replace a `kind: List` by its items."""
    if document.obj["kind"] != "List":
        yield document
        return
    for i, item in enumerate(document.obj.get("items") or (), start=1):
        yield Document(_checked(item, document.place()), document.source, i)


def _checked(obj: Any, place: str) -> dict[str, Any]:
    missing = ["apiVersion", "kind", "metadata"]
    if isinstance(obj, dict):
        missing = [m for m in missing if not obj.get(m)]
        if not missing and (obj["metadata"].get("name") or obj["kind"] == "List"):
            return obj
    raise BadInput(
        f"{place}: not a Kubernetes object: {', '.join(missing) or 'metadata.name'} is missing.",
        fix="Every object needs `apiVersion`, `kind` and `metadata.name`.",
    )


def _line(node: yaml.Node, field: str) -> int:
    line = node.start_mark.line
    for step in steps(field):
        inner = _step(node, step)
        if inner is None:
            break
        line, node = inner
    return line + 1


def _step(node: yaml.Node, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key.start_mark.line, value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        inner = node.value[step]
        return inner.start_mark.line, inner
    return None


def _first_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}: {problem}" if mark else str(problem)
