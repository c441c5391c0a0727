"""Which of a student's files is which notebook, and which of several counts.

A notebook is recognised by its cells, since names change along the way, or else by its name. Of several, the
latest upload or retry counts, with a remark. Refuses to choose if nothing shows which is the latest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from labkit_grading.submissions.cells import Draft
from labkit_grading.submissions.matching import mark
from labkit_grading.submissions.text import plain

SHARE = 0.5
"""The least share of a notebook's code cells that a file must contain to be recognised as that notebook."""
_COPY = re.compile(r"(?i)\b(copy|kopie|copie|copia|cópia|kopia|kopi)\d*\b|副本|コピー|복사본")
_COUNT = re.compile(r"\((\d+)\)|[-_ ](?:copy|kopie|copie|copia)?(\d+)", re.IGNORECASE)
_VERSION = re.compile(r"(?i)version (\d+)")  # a folder of Teams


@dataclass(frozen=True)
class Candidate:
    """A readable notebook; `stem` is that of the released one, empty if it is not one of them."""

    path: PurePosixPath
    draft: Draft
    stem: str
    named: bool
    """Whether its name says the same."""
    rank: tuple[int, int, int]
    """Of uploads by the LMS, of versions, of retries by their suffix: the greatest is the latest."""
    copy: bool
    known: bool
    """Whether any cell is one of the course's."""


def candidates(
    drafts: Mapping[PurePosixPath, Draft], notebooks: Mapping[str, Any], order: Mapping[PurePosixPath, int]
) -> list[Candidate]:
    """Every readable notebook, identified."""
    return [_candidate(path, draft, notebooks, order.get(path, 0)) for path, draft in drafts.items()]


def _candidate(path: PurePosixPath, draft: Draft, notebooks: Mapping[str, Any], number: int) -> Candidate:
    name = stem_of(path.name)
    by_name = next((stem for stem in notebooks if rest(name, stem) is not None), "")
    shares = {stem: share(notebook, draft) for stem, notebook in notebooks.items()}
    best = max(shares, key=lambda stem: (shares[stem], stem == by_name), default="")
    by_cells = best if best and shares[best] >= SHARE else ""
    stem = by_cells or by_name
    left = rest(name, stem) or "" if stem else ""
    counts = [int(one or two) for one, two in _COUNT.findall(left)]
    versions = [int(found[1]) for part in path.parts if (found := _VERSION.fullmatch(part))]
    copy = bool(_COPY.search(left))  # it is not known whether it came earlier or later
    rank = (number, max(versions, default=0), 0 if copy else max(counts, default=0))
    return Candidate(path, draft, stem, by_name == stem, rank, copy, bool(stem) and shares[stem] > 0)


def stem_of(name: str) -> str:
    """A notebook's name without its suffix, and without what browsers and Notepad add to it."""
    return re.sub(r"(?i)\.ipynb(\.txt|\.json)?$", "", name)


def rest(name: str, stem: str) -> str | None:
    """What a file's name has in addition to the notebook's; None if it is a different name altogether."""
    at = _flat(name).find(_flat(stem))
    if at < 0 or _flat(name)[at + len(stem) :][:1].isalpha():
        return None
    return f"{name[:at]} {name[at + len(stem) :]}"


def _flat(name: str) -> str:
    return re.sub(r"[ _]", "-", name.casefold())


def share(released: Any, draft: Draft) -> float:
    """The share of the released code cells that a notebook has, by mark, by id, or by text."""
    cells = [cell for cell in released.cells if cell.cell_type == "code"]
    marks, ids = {c.mark for c in draft.cells} - {""}, {c.id for c in draft.cells} - {""}
    texts = {plain(c.source) for c in draft.cells}
    known = [c for c in cells if mark(c) in marks or str(c.id) in ids or plain(c.source) in texts]
    return len(known) / max(len(cells), 1)


def latest(found: Sequence[Candidate]) -> list[Candidate]:
    """The candidates for which no other one is known to be later."""
    most = max(one.rank for one in found)
    return [one for one in found if one.rank == most]
