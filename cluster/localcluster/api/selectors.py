"""Label selectors as Kubernetes writes them: as text (`app=chat,track in (a,b),!old`) and as an object.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
Refuses (ValueError) text that the API server would not have written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_TERM = re.compile(
    r"\s*(?:(?P<absent>!)\s*(?P<gone>[\w./-]+)"
    r"|(?P<key>[\w./-]+)\s*(?:(?P<operator>==|!=|=|>|<)\s*(?P<value>[\w./-]*)"
    r"|\s(?P<set>in|notin)\s*\((?P<values>[^)]*)\))?)\s*(?:,|$)"
)
_IN, _NOT_IN, _EXISTS, _ABSENT, _ABOVE, _BELOW = "In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"
_WORDS = {"=": _IN, "==": _IN, "!=": _NOT_IN, "in": _IN, "notin": _NOT_IN, ">": _ABOVE, "<": _BELOW}
_SIGNS = {_IN: "in", _NOT_IN: "notin"}


@dataclass(frozen=True)
class Term:
    """One requirement; all of a selector's must hold."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels meets it; one without the key meets NotIn."""
        value = labels.get(self.key)
        if self.operator in {_ABOVE, _BELOW}:
            return self._compares(value)
        return {
            _IN: value in self.values,
            _NOT_IN: value not in self.values,
            _EXISTS: value is not None,
            _ABSENT: value is None,
        }[self.operator]

    def _compares(self, value: str | None) -> bool:
        try:
            number, bound = int(value or ""), int(self.values[0])
        except ValueError:
            return False
        return number > bound if self.operator == _ABOVE else number < bound

    def __str__(self) -> str:
        """As the API writes it."""
        if self.operator == _IN and len(self.values) == 1:
            return f"{self.key}={self.values[0]}"
        if self.operator in _SIGNS:
            return f"{self.key} {_SIGNS[self.operator]} ({','.join(self.values)})"
        if self.operator in {_ABOVE, _BELOW}:
            return f"{self.key}{'>' if self.operator == _ABOVE else '<'}{self.values[0]}"
        return f"{'!' if self.operator == _ABSENT else ''}{self.key}"


def parse(text: str) -> tuple[Term, ...]:
    """The terms of a selector in text; an empty one has none and selects everything.

    >>> [str(term) for term in parse("app=chat,track in (b,a),!old")]
    ['app=chat', 'track in (a,b)', '!old']
    """
    return tuple(_terms(text))


def _terms(text: str) -> Iterator[Term]:
    place = 0
    while place < len(text):
        found = _TERM.match(text, place)
        if found is None:
            raise ValueError(f"{text!r} is no label selector")
        place = found.end()
        if found["absent"]:
            yield Term(found["gone"], _ABSENT)
        elif found["set"]:
            values = sorted(value.strip() for value in found["values"].split(","))
            yield Term(found["key"], _WORDS[found["set"]], tuple(values))
        elif found["operator"]:
            yield Term(found["key"], _WORDS[found["operator"]], (found["value"],))
        else:
            yield Term(found["key"], _EXISTS)


def of(selector: Mapping[str, Any]) -> tuple[Term, ...]:
    """The terms of a LabelSelector object (`matchLabels`, `matchExpressions`), ordered by key."""
    equal = [Term(key, _IN, (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    others = [
        Term(e["key"], e["operator"], tuple(sorted(e.get("values") or ())))
        for e in selector.get("matchExpressions") or ()
    ]
    return tuple(sorted((*equal, *others), key=lambda term: term.key))


def matches(terms: Iterable[Term], labels: Mapping[str, str]) -> bool:
    """Whether all terms hold."""
    return all(term.holds(labels) for term in terms)


def text(terms: Sequence[Term]) -> str:
    """The selector as kubectl takes it."""
    return ",".join(str(term) for term in terms)
