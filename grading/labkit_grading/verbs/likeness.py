"""Whether a recording came from where the course's own cells have it made. Pure.

What the course's cells leave to the lab or to the student may be anything: an address, a pod's name, an
answer. All else is as in the cells: verbs, their cells and their number there, and what they were asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from labkit_grading.verbs.provenance import UNKNOWN, Made
from labkit_grading.verbs.unknown import Unknown

PLAIN = frozenset({"clock", "gateway", "pods", "url"})
"""Verbs whose result is plain data, which a student's process hands back as its own."""


def calls_of(value: Any) -> Iterator[Made]:
    """The calls that a value came from, and those that they were made on and with."""
    if isinstance(value, Unknown):
        value = value.made
    if isinstance(value, Made):
        yield value
        for part in (value.on, *value.args, *value.words.values()):
            yield from calls_of(part)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from calls_of(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from calls_of(part)


def differs(wanted: Any, given: Any) -> str:
    """What is not as the course's cells have it, in words; empty if all is."""
    if isinstance(wanted, Unknown):
        made = wanted.made
        if made is None or ((made.verb in PLAIN or not wanted.whole) and not any(calls_of(given))):
            return ""
        wanted = made
    if isinstance(wanted, Made):
        return _other_call(wanted, given)
    if isinstance(wanted, Mapping) and isinstance(given, Mapping):
        return _first(wanted, given) if set(wanted) == set(given) else "it has other parts"
    if isinstance(wanted, list | tuple) and isinstance(given, list | tuple):
        pairs = zip(wanted, given, strict=False)
        return "it has another number of parts" * (len(wanted) != len(given)) or next(
            filter(None, (differs(one, other) for one, other in pairs)), ""
        )
    return "" if _same(wanted, given) else "it is another value"


def _first(wanted: Mapping[Any, Any], given: Mapping[Any, Any]) -> str:
    return next(filter(None, (differs(one, given[key]) for key, one in wanted.items())), "")


def _same(wanted: Any, given: Any) -> bool:
    if isinstance(wanted, Path):
        wanted = str(wanted)
    if isinstance(wanted, str) and isinstance(given, str) and UNKNOWN in wanted:
        return bool(re.fullmatch(".*".join(map(re.escape, wanted.split(UNKNOWN))), given, re.DOTALL))
    return bool(wanted == given)


def _other_call(wanted: Made, given: Any) -> str:
    """Whether a value came from another call than the course's."""
    if isinstance(given, list | tuple) and given:  # it gave several
        return next(filter(None, (_other_call(wanted, one) for one in given)), "")
    if not isinstance(given, Made):
        return f"it is not what {wanted.verb} gave in cell {wanted.cell}"
    if (given.verb, given.cell, given.number) != (wanted.verb, wanted.cell, wanted.number):
        which = f"{given.verb} gave in cell {given.cell}"
        return f"it is what {which}, not what {wanted.verb} gave in cell {wanted.cell}"
    asked = (wanted.args, wanted.words), (given.args, given.words)
    if differs(*asked):
        return f"in cell {given.cell}, {given.verb} was asked for something else than the course asks for"
    if wanted.on is None or given.on is None:
        return "" if wanted.on is given.on else f"{given.verb} of something else"
    return differs(wanted.on, given.on) or _changed(wanted, given)


def _changed(wanted: Made, given: Made) -> str:
    """What was done to what a call was made on, before it: a load that was ended, a moment marked."""
    if wanted.before == given.before:
        return ""
    other = [one for one in given.before if one not in wanted.before] or [(given.verb, given.cell)]
    return f"before it, {other[0][0]} was called in cell {other[0][1]}, where the course's cells have it not"
