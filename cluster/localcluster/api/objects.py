"""Objects and tables that look in a cell as kubectl prints them.

Refuses to model the kinds: an object is its JSON with a few names; a table is what the server printed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, repr=False)
class KubeObject:
    """One object as the server returned it: `pod["spec"]["nodeName"]`, or `pod.at("spec.nodeName")`."""

    raw: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """`Pod`, `Deployment` ..."""
        return str(self.raw.get("kind", ""))

    @property
    def name(self) -> str:
        """`metadata.name`."""
        return str(self.at("metadata.name", ""))

    @property
    def namespace(self) -> str:
        """`metadata.namespace`; empty for kinds that have none."""
        return str(self.at("metadata.namespace", ""))

    @property
    def labels(self) -> dict[str, str]:
        """`metadata.labels`, empty if there are none."""
        return dict(self.at("metadata.labels", None) or {})

    @property
    def annotations(self) -> dict[str, str]:
        """`metadata.annotations`, empty if there are none."""
        return dict(self.at("metadata.annotations", None) or {})

    def at(self, path: str, default: Any = None) -> Any:
        """The value at a dotted path (`status.conditions.0.type`), or `default` where a step is missing."""
        return dig(self.raw, path, default)

    def condition(self, kind: str) -> Mapping[str, Any] | None:
        """The condition of that type (any case) from `status.conditions`."""
        found = self.at("status.conditions")
        for condition in found if isinstance(found, (list, tuple)) else ():
            if isinstance(condition, Mapping) and str(condition.get("type", "")).lower() == kind.lower():
                return dict(condition)
        return None

    def is_true(self, kind: str) -> bool:
        """Whether that condition is "True"."""
        return (self.condition(kind) or {}).get("status") == "True"

    def __getitem__(self, key: str) -> Any:
        return self.raw[key]

    def __repr__(self) -> str:
        return f"{self.kind.lower() or 'object'}/{self.name}"


@dataclass(frozen=True, repr=False)
class Table:
    """Rows with kubectl's columns; `wide` names the columns that kubectl hides without `-o wide`."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    objects: tuple[KubeObject, ...] = ()
    wide: frozenset[str] = field(default_factory=frozenset)
    empty: str = "No resources found."

    @classmethod
    def printed(cls, answer: Mapping[str, Any], *, empty: str = "No resources found.") -> Table:
        """From the server's own Table."""
        heads = answer.get("columnDefinitions") or []
        rows = answer.get("rows") or []
        return cls(
            columns=tuple(str(h["name"]) for h in heads),
            rows=tuple(tuple(cell(c) for c in row["cells"]) for row in rows),
            objects=tuple(KubeObject(row["object"]) for row in rows if row.get("object")),
            wide=frozenset(str(h["name"]) for h in heads if h.get("priority", 0) > 0),
            empty=empty,
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, str]]:
        return (dict(zip(self.columns, row, strict=True)) for row in self.rows)

    def column(self, name: str) -> list[str]:
        """One column, by its head (any case)."""
        index = [c.lower() for c in self.columns].index(name.lower())
        return [row[index] for row in self.rows]

    def __repr__(self) -> str:
        if not self.rows:
            return self.empty
        shown = [i for i, name in enumerate(self.columns) if name not in self.wide]
        return aligned(self._pick(shown))

    def everything(self) -> str:
        """All columns, as `kubectl get -o wide` prints them."""
        return aligned(self._pick(list(range(len(self.columns))))) if self.rows else self.empty

    def _pick(self, shown: list[int]) -> list[list[str]]:
        heads = [self.columns[i].upper() for i in shown]
        return [heads, *([row[i] for i in shown] for row in self.rows)]


def dig(thing: Any, path: str, default: Any = None) -> Any:
    """The value at a dotted path (`spec.metrics.0.type`) of JSON, or `default` where a step is missing."""
    for step in path.split("."):
        if isinstance(thing, Mapping) and step in thing:
            thing = thing[step]
        elif isinstance(thing, (list, tuple)) and step.isdigit() and int(step) < len(thing):
            thing = thing[int(step)]
        else:
            return default
    return thing


def aligned(rows: Iterable[Iterable[str]]) -> str:
    """Columns of text, separated by three blanks, without trailing blanks."""
    cells = [list(row) for row in rows]
    widths = [max(len(c) for c in column) for column in zip(*cells, strict=True)]
    lines = ("   ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def cell(value: Any) -> str:
    """One cell of a Table as kubectl writes it."""
    return "<none>" if value is None else str(value)
