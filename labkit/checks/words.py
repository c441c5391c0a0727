"""Which of several things an answer in words names: one of them, or none. Naming them all is no answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def one_of(answer: Any, names: Mapping[str, Sequence[str]]) -> str:
    """The thing that an answer names, whatever its case, blanks and hyphens; empty for none or several.

    Each thing has words that mean it. A longer word hides those in it: `prometheus-adapter` is an adapter.
    """
    said, found = letters(answer) if isinstance(answer, str) else "", set()
    words = sorted(((letters(word), thing) for thing, all_ in names.items() for word in all_), key=_shortness)
    for word, thing in words:
        if word in said:
            found.add(thing)
            said = said.replace(word, " ")
    return found.pop() if len(found) == 1 else ""


def letters(answer: str) -> str:
    """Only the letters of an answer, in lower case."""
    return "".join(letter for letter in answer.lower() if letter.isalpha())


def _shortness(word: tuple[str, str]) -> int:
    return -len(word[0])
