"""The student's source for each solution cell, wherever it ended up: split, copied, merged, retyped.

Nbgrader's own rules come first: of duplicate marks the last counts, and a cell that became Markdown is code
again. Beyond them, an answer is taken if only one place can be meant, with a remark for a person. An answer
is never called empty if it could be in a cell that can't be placed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from labkit_grading.submissions.cells import Cell
from labkit_grading.submissions.matching import Match, alike, binds, mark, without
from labkit_grading.submissions.remark import PERSON, Remark
from labkit_grading.submissions.text import CONFLICT, same

_IMPORTS = re.compile(r"^(?:import|from)\s.*?(?:\bas\s+(\w+)|\bimport\s+([\w, ]+))?$", re.MULTILINE)


@dataclass
class Answers:
    """Sources by position in the released notebook, and what a person must look at, likewise."""

    sources: dict[int, str] = field(default_factory=dict)
    unsure: dict[int, str] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)

    def flag(self, what: str) -> None:
        """Record that it was taken and that a person should look at it."""
        self.remarks.append(Remark("flagged", what))

    def doubt(self, place: int, name: str, why: str) -> None:
        """Record that it can't be graded automatically."""
        self.unsure[place] = why
        self.remarks.append(Remark(PERSON, f"{name}: {why}"))


def answers(found: Match, solutions: Sequence[int]) -> Answers:
    """What the student wrote for each solution cell; nothing for a deleted one."""
    made = Answers()
    for place in solutions:
        if place in found.partner:
            _partnered(found, place, made)
    for place in solutions:
        if place not in found.partner:
            _lost(found, place, set(solutions), made)
    for place, source in made.sources.items():
        if CONFLICT.search(source):
            made.doubt(place, _name(found, place), "the answer contains conflict markers (<<<<<<<, >>>>>>>)")
    _helpers(found, made)
    return made


def _name(found: Match, place: int) -> str:
    return mark(found.released[place]) or str(found.released[place].id)


def _partnered(found: Match, place: int, made: Answers) -> None:
    mine = found.handed[found.partner[place]]
    released, name = found.released[place], _name(found, place)
    source = mine.source
    if mine.kind != "code":
        made.flag(f"{name} was turned into {mine.kind}: it is treated as code, as in nbgrader")
    parts = [n for n, cell in enumerate(found.handed) if mine.mark and cell.mark == mine.mark]
    if len(parts) > 1:
        source = _doubled(found, parts, binds(released.source), name, made)
    for neighbour, there in _neighbours(found, place):
        if neighbour not in found.partner and (rest := without(source, there.source)) is not None:
            source = rest
            made.remarks.append(
                Remark("restored", f"{name} was merged with {there.id}, which is replaced by the course's")
            )
    if same(source, released.source):
        source = _below(found, place, source, name, made)
    made.sources[place] = source


def _doubled(found: Match, parts: Sequence[int], names: set[str], name: str, made: Answers) -> str:
    """The last of several cells with one mark; all of them, if they are pieces of one that was split."""
    sources = [found.handed[n].source for n in parts]
    adjacent = parts[-1] - parts[0] == len(parts) - 1
    bound = [binds(source) for source in sources]
    whole = set().union(*bound)
    apart = sum(map(len, bound)) == len(whole)
    if adjacent and apart and names and names <= whole:
        made.flag(f"{name} was split: its {len(parts)} parts are joined")
        return "\n\n".join(sources)
    if not all(same(source, sources[-1]) for source in sources):
        made.flag(f"{len(parts)} cells are marked as {name[:60]}: the last one counts, as in nbgrader")
    return sources[-1]


def _below(found: Match, place: int, source: str, name: str, made: Answers) -> str:
    """An untouched stub, and the answer in the student's own cells just below, which nbgrader runs, too."""
    start = found.partner[place] + 1
    taken: list[int] = []
    while start < len(found.handed) and start in found.left():
        taken.append(start)
        start += 1
    names = binds(source)
    if not names or not names & {n for t in taken for n in binds(found.handed[t].source)}:
        return source
    made.flag(f"{name} is unchanged, and answered in a new cell below: that one counts")
    return _take(found, place, taken)


def _lost(found: Match, place: int, solutions: set[int], made: Answers) -> None:
    released, name = found.released[place], _name(found, place)
    around, inside = found.gap(place)
    others = [n for n in around if n not in solutions]
    inside = [
        n for n in inside if not any(alike(found.handed[n].source, found.released[o].source) for o in others)
    ]
    mates = [n for n in around if n in solutions]
    names = binds(released.source)
    fitting = [n for n in inside if names and names <= binds(found.handed[n].source)]
    fits = fitting or not names or _together(found, inside, names) or _one_that_fits(found, place, inside)
    if len(mates) == 1 and inside and fits:
        made.sources[place] = _take(found, place, inside if len(fitting) != 1 else fitting)
        made.flag(f"{name} has lost its metadata: taken from a cell at its place")
    elif len(mates) > 1 and len(mates) == len(inside) and _in_order(found, mates, inside):
        made.sources[place] = _take(found, place, [inside[mates.index(place)]])
        made.flag(f"{name} has lost its metadata: taken from a cell at its place, by their order")
    elif (merged := _merged(found, place)) is not None:
        made.sources[place] = merged
        made.flag(f"{name} was merged into another cell: separated again")
    elif holder := _holder(found, names, made):
        made.doubt(place, name, f"its cell is missing, and its answer seems to be in {holder}")
    elif found.left():
        made.doubt(place, name, "its cell is missing, and its answer may be in a cell that can't be matched")
    else:
        made.remarks.append(Remark("missing", f"{name} is missing: it counts as not answered"))


def _one_that_fits(found: Match, place: int, inside: Sequence[int]) -> bool:
    """Whether the only cell there is an edit of the stub, even if it does not bind all its names."""
    released = str(found.released[place].source)
    sources = [found.handed[n].source for n in inside]
    return len(sources) == 1 and (bool(binds(sources[0]) & binds(released)) or alike(sources[0], released))


def _holder(found: Match, names: set[str], made: Answers) -> str:
    """Another answer that swallowed this one, or a text cell that contains it; empty if neither."""
    for place, source in made.sources.items():
        if names and names <= binds(source) - binds(str(found.released[place].source)):
            return _name(found, place)
    used = found.used
    texts = [c.source for n, c in enumerate(found.handed) if n not in used and c.kind != "code"]
    return "a cell of text" if names and any(names <= binds(text) for text in texts) else ""


def _together(found: Match, places: Sequence[int], names: set[str]) -> bool:
    return names <= set().union(*(binds(found.handed[n].source) for n in places))


def _in_order(found: Match, mates: Sequence[int], inside: Sequence[int]) -> bool:
    return all(
        binds(found.released[here].source) <= binds(found.handed[there].source)
        for here, there in zip(mates, inside, strict=True)
    )


def _take(found: Match, place: int, places: Sequence[int]) -> str:
    """Take all of these cells, in order, as the student's answer."""
    found.partner.setdefault(place, places[-1])
    found.absorbed.update(places)
    return "\n\n".join(found.handed[n].source for n in places)


def _merged(found: Match, place: int) -> str | None:
    """What a neighbour contains besides the course's own text, if it swallowed this cell."""
    for neighbour, there in _neighbours(found, place):
        if neighbour in found.partner:
            rest = without(found.handed[found.partner[neighbour]].source, there.source)
            if rest and (binds(found.released[place].source) <= binds(rest)):
                return rest
    return None


def _neighbours(found: Match, place: int) -> Iterator[tuple[int, Cell]]:
    """The released code cell just before, and those after it up to the next answer."""
    code = [n for n, cell in enumerate(found.released) if cell.cell_type == "code"]
    here = code.index(place)
    for n in [*code[max(0, here - 1) : here], *code[here + 1 : here + 4]]:
        cell = found.released[n]
        if cell.metadata.get("nbgrader", {}).get("solution"):
            if n > place:
                return
            continue
        yield n, Cell(str(cell.id), mark(cell), str(cell.source))


def _helpers(found: Match, made: Answers) -> None:
    """An answer that depends on one of the student's own cells, which is not run."""
    given = set().union(*(_defines(str(c.source)) for c in found.released if c.cell_type == "code"))
    for place, source in list(made.sources.items()):
        own = {name for n in found.left() for name in _defines(found.handed[n].source)} - given
        missing = sorted(name for name in own - _defines(source) if re.search(rf"\b{name}\b", source))
        if missing and place not in made.unsure:
            told = ", ".join(missing[:5])
            made.doubt(
                place,
                _name(found, place),
                f"it needs {told} from a cell that the student added, which is not run",
            )


def _defines(source: str) -> set[str]:
    found = _IMPORTS.findall(source)
    imported = {word.strip() for alias, several in found for word in (alias, *several.split(","))}
    plain = re.findall(r"^import\s+(\w+)\s*$", source, re.MULTILINE)
    return {*binds(source), *plain, *imported} - {""}
