"""The error for an unknown name, such as that of a series: it suggests the closest name and lists them all.

Never guesses for the caller: a misspelt name is an error, not an empty result.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from labkit.errors import BadInput


def unknown(kind: str, name: str, known: Iterable[str], *, holds: Iterable[str]) -> BadInput:
    """The error: `kind` is what was named, `holds` are the names that exist."""
    names = list(dict.fromkeys(known))
    close = difflib.get_close_matches(str(name), names, n=1)
    meant = f"Did you mean {close[0]!r}? " if close else ""
    here = ", ".join(dict.fromkeys(holds)) or "none"
    return BadInput(
        f"There is no {kind} called {name!r}.",
        cause=f"Recorded here: {here}.",
        fix=f"{meant}Names: {', '.join(names)}.",
    )
