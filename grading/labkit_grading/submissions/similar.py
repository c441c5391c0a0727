"""Answers and exercise files that few students of a class share: a person decides what that means.

Compared are Python cells without comments, layout and the names that a student chose, and YAML files without
comments. Short answers say nothing, and neither does what many have. Nothing leaves this machine.
"""

from __future__ import annotations

import io
import keyword
import tokenize
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from labkit_grading.submissions.handed_in import HandedIn
from labkit_grading.submissions.matching import mark
from labkit_grading.submissions.released import Assignment
from labkit_grading.submissions.restore import is_solution
from labkit_grading.submissions.text import decoded, plain, same

SHORTEST = 12
"""Words and signs: what is shorter is written alike by chance."""
FEW, SHARE = 3, 0.1
"""An answer is rare if at most this many students have it, or this share of the class."""
_LAYOUT = frozenset({tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENCODING, tokenize.ENDMARKER})


@dataclass(frozen=True)
class Shared:
    """One answer that several students have; `same`: to the letter, with comments and layout."""

    piece: str
    students: tuple[str, ...]
    same: bool

    def __str__(self) -> str:
        how = "the same to the letter" if self.same else "the same but for names, comments and layout"
        return f"{self.piece}: {', '.join(self.students)}: {how}"


def shared(every: Sequence[HandedIn], wanted: Assignment) -> list[Shared]:
    """What few students share, the longest lists of the same students together."""
    alike: dict[tuple[str, tuple[str, ...]], dict[str, str]] = defaultdict(dict)
    for one in every:
        for piece, source in pieces(one, wanted):
            if len(words := _words(piece, source)) >= SHORTEST:
                alike[piece, words][one.student] = plain(source)
    most = max(FEW, int(SHARE * len(every)))
    found = [
        Shared(piece, tuple(sorted(who)), len(set(who.values())) == 1)
        for (piece, _), who in alike.items()
        if 1 < len(who) <= most
    ]
    return sorted(found, key=lambda one: (one.students, one.piece))


def pieces(handed: HandedIn, wanted: Assignment) -> Iterator[tuple[str, str]]:
    """A student's own answers and files, by the names of their cells and paths."""
    for stem, one in handed.notebooks.items():
        for cell, released in zip(one.notebook.cells, wanted.notebooks[stem].cells, strict=True):
            if is_solution(released) and not same(cell.source, released.source):
                yield mark(released) or str(released.id), cell.source
    for path, data in handed.exercises.items():
        yield str(path), decoded(data)[0]


def _words(piece: str, source: str) -> tuple[str, ...]:
    if piece.endswith((".yaml", ".yml")):
        lines = (line.partition(" #")[0].split() for line in source.splitlines())
        return tuple(word for line in lines if line and not line[0].startswith("#") for word in line)
    try:
        return tuple(_tokens(source))
    except (tokenize.TokenError, SyntaxError):
        return tuple(source.split())


def _tokens(source: str) -> Iterator[str]:
    """The tokens of Python; names that the student assigns are numbered in their order."""
    tokens = [
        one for one in tokenize.generate_tokens(io.StringIO(source).readline) if one.type not in _LAYOUT
    ]
    numbers = _numbered(tokens)
    for one in tokens:
        if one.type in {tokenize.INDENT, tokenize.DEDENT}:
            yield tokenize.tok_name[one.type]
        else:
            yield f"#{numbers[one.string]}" if one.string in numbers else one.string


def _numbered(tokens: Sequence[tokenize.TokenInfo]) -> dict[str, int]:
    """Names that are assigned, defined, or bound by a loop."""
    found: dict[str, int] = {}
    for before, one, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        name = one.type == tokenize.NAME and not keyword.iskeyword(one.string)
        bound = (after is not None and after.string in {"=", ":="}) or (
            before is not None and before.string in {"def", "for", "as"}
        )
        if name and bound:
            found.setdefault(one.string, len(found))
    return found
