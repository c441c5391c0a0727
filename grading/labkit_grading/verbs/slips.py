"""Honest mistakes in what a student asks for: refused and explained as everything else, but not flagged.

A person should look at what reaches for more than the course gives. A misspelt kind, a path that does not
exist and YAML that can't be parsed reach for nothing, since no server would take them.
"""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from labkit.errors import BadInput

ALIKE = 0.8
"""Similarity from which a word is a misspelling of another."""


class Slip(BadInput):
    """An honest mistake: nothing was done, and nobody needs to look."""


def misspelt(word: str, known: Collection[str]) -> str:
    """The known word that was probably meant; empty if there is none."""
    lower = {one.casefold(): one for one in known}
    near = get_close_matches(word.casefold(), lower, n=1, cutoff=ALIKE)
    return lower[near[0]] if near else ""
