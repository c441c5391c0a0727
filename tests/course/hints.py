"""What a learner reads after each known wrong answer: a page for each notebook.

Made from the mutants beside the checks: what was handed in (told as what differs from evidence that is
right), what the check observed, and its hint. Refuses to judge the words; a person does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

from labkit import checks
from labkit.evidence import plainly
from labkit.load.results import LoadResult
from tests.course import examples
from tests.course.mutants import Given

PAGES = Path(__file__).parents[2] / "tests" / "golden" / "hints"
NOTEBOOKS = tuple(sorted({name[:2] for name in checks.CHECKS}))
"""Those whose wrong turns were gone through one by one, and read."""
ENOUGH = 3  # wrong turns for each check
WIDTH = 150  # characters of what was handed in


def page(notebook: str) -> str:
    """All wrong turns of a notebook (`05`), with what the learner is told."""
    right = dict(reversed(examples.right(notebook)))
    turns: dict[str, list[Given]] = {}
    for name, given in examples.wrong(notebook):
        turns.setdefault(name, []).append(given)
    return "\n".join(line for name, wrong in turns.items() for line in _check(name, wrong, right[name]))


def _check(name: str, wrong: list[Given], right: Given) -> Iterator[str]:
    yield f"{name}: {checks.get(name).expected}"
    for given in wrong:
        verdict = checks.get(name).run(given)
        yield f"  ✘ {shorten(told(given, right), WIDTH, placeholder=' …')}"
        yield f"      observed: {shorten(verdict.observed, 2 * WIDTH, placeholder=' …')}"
        yield f"      hint:     {verdict.hint}"
    yield ""


def told(given: Given, right: Given) -> str:
    """What of this evidence differs from what is right."""
    found = [line for name, value in given.items() for line in _differs(name, value, right.get(name))]
    return "; ".join(found) or "as it should be, but for a figure"


def _differs(name: str, value: Any, right: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and isinstance(right, Mapping):
        for key in {**right, **value}:
            yield from _differs(f"{name}.{key}", value.get(key), right.get(key))
    elif isinstance(value, list) and isinstance(right, list) and len(value) == len(right):
        for i, (one, other) in enumerate(zip(value, right, strict=True)):
            yield from _differs(f"{name}.{i}", one, other)
    elif value is not right and (callable(value) or value != right):
        yield f"{name} = {_shown(value)}"


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, LoadResult):
        return f"{len(value.rows)} requests, {sum(value.failures().values())} failed"
    if callable(value):
        return _source(value)
    if hasattr(value, "__dataclass_fields__"):
        return f"another {type(value).__name__}"
    return plainly(value) if not isinstance(value, list | tuple | dict) else repr(value)


def _source(function: Callable[..., Any]) -> str:
    """A learner's function as it was written."""
    if inspect.isbuiltin(function):
        return function.__name__
    text = " ".join(inspect.getsource(function).split())
    return text[text.index("lambda") :] if "lambda" in text else text


if __name__ == "__main__":
    PAGES.mkdir(exist_ok=True)
    for number in NOTEBOOKS:
        (PAGES / f"{number}.txt").write_text(page(number))
