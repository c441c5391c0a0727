"""Which exercise a file is by its contents, as notebooks are recognised by their cells: the objects in it.

Refuses to choose: all exercises that fit are returned. What can't be parsed, as its author made a mistake, is
compared as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

import yaml

from labkit.errors import BadInput
from labkit_grading.submissions.matching import alike
from labkit_grading.submissions.text import decoded

LARGEST = 64 * 2**10  # bytes: the course's largest has under 2 KB
ALIASES = 20  # nested aliases can fill any memory


def like(data: bytes, released: Mapping[PurePosixPath, bytes]) -> list[PurePosixPath]:
    """The exercises with the same objects in them; none if nothing is recognised."""
    mine, text = objects(data), _text(data)
    if mine:
        return [place for place, given in released.items() if objects(given) == mine]
    if mine is None and text:
        return [place for place, given in released.items() if alike(text, _text(given))]
    return []


def objects(data: bytes) -> frozenset[tuple[str, str]] | None:
    """Kind and name of each object in a file; None if it can't be parsed."""
    text = _text(data)
    try:
        if not text or sum(isinstance(one, yaml.AliasEvent) for one in yaml.parse(text)) > ALIASES:
            return None
        every = [one for one in yaml.safe_load_all(text) if isinstance(one, dict)]
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    names = [(str(one.get("kind", "")), _name(one)) for one in every]
    return frozenset((kind, name) for kind, name in names if kind)


def _name(one: Mapping[object, object]) -> str:
    metadata = one.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""


def _text(data: bytes) -> str:
    if len(data) > LARGEST:
        return ""
    try:
        return decoded(data)[0]
    except BadInput:
        return ""
