"""The part of a submission that belongs to the assignment: a notebook for each released one, and exercises.

A file that was renamed or moved is found by its content, if that leaves no doubt. A submission is never
called empty if something in it could not be read: that is for a person.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from labkit.errors import BadInput
from labkit_grading.submissions.candidates import Candidate, candidates, latest, rest, stem_of
from labkit_grading.submissions.cells import Draft, read
from labkit_grading.submissions.entries import UNKNOWN_ARCHIVES, is_archive
from labkit_grading.submissions.exercises import Exercises, exercises
from labkit_grading.submissions.files import NOTEBOOKS
from labkit_grading.submissions.intake import Submission
from labkit_grading.submissions.released import Assignment
from labkit_grading.submissions.remark import PERSON, Remark, shown
from labkit_grading.submissions.renamed import is_named
from labkit_grading.submissions.restore import Restored, checks_of, checks_on, restore
from labkit_grading.submissions.unused import LISTINGS, unused

SAVED_AS = frozenset({"", ".txt", ".json", ".rtf", ".doc", ".docx", ".html", ".pdf"})
"""What a YAML file is saved as by mistake."""


@dataclass(frozen=True)
class HandedIn:
    """A clean submission: notebooks as they will run, exercise files that differ from the released ones.

    `unsure`: checks that a person must grade, and why. `unread`: notebooks from which nothing could be taken.
    """

    student: str
    folder: str
    notebooks: Mapping[str, Restored]
    exercises: Mapping[PurePosixPath, bytes]
    remarks: tuple[Remark, ...]
    unsure: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    answered: tuple[str, ...] | None = None
    """The checks that judge something of the student's own; None if that is not known."""

    @property
    def answers(self) -> int:
        """How much of it is the student's own: solution cells and exercise files."""
        return sum(one.answers for one in self.notebooks.values()) + len(self.exercises)

    @property
    def for_a_person(self) -> bool:
        """Whether something in it could not be taken, and so is not graded."""
        return any(remark.kind == PERSON for remark in self.remarks)


@dataclass
class _Sorting:
    """One submission while it is being sorted."""

    submission: Submission
    wanted: Assignment
    remarks: list[Remark] = field(default_factory=list)
    broken: dict[PurePosixPath, str] = field(default_factory=dict)
    """Notebooks that can't be read, and why."""
    unsure: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)

    def person(self, what: str, file: str = "") -> None:
        """Add a remark on which a person must act."""
        self.remarks.append(Remark(PERSON, what, file))

    def note(self, what: str, file: str = "", *, flagged: bool = False) -> None:
        """Add a remark for information."""
        self.remarks.append(Remark("flagged" if flagged else "note", what, file))


def clean(submission: Submission, wanted: Assignment) -> HandedIn:
    """Sort one submission; whatever is missing or can't be read stays as released."""
    made = _Sorting(submission, wanted, [*submission.remarks, *submission.files.remarks])
    drafts = dict(_drafts(made))
    found = candidates(drafts, wanted.notebooks, submission.files.order)
    notebooks = {stem: _notebook(made, stem, found) for stem in wanted.notebooks}
    files = {path: data for path, data in submission.files.taken.items() if not _is_notebook(path)}
    handed = exercises(files, wanted.exercises, order=submission.files.order)
    _shut_away(made, handed)
    _misnamed(made, handed)
    made.remarks += [*handed.remarks, *(r for one in notebooks.values() for r in one.remarks)]
    for one in notebooks.values():
        made.unsure.update(one.unsure)
    for place, why in handed.unsure.items():
        made.unsure.update(dict.fromkeys(_judging(place, wanted), why))
    used = {one.path for one in found if one.stem} | handed.used
    _left_over(made, found, used, any_file=bool(handed.taken or handed.unsure))
    return HandedIn(
        submission.student,
        submission.folder,
        notebooks,
        handed.taken,
        tuple(made.remarks),
        made.unsure,
        made.unread,
        _answered(notebooks.values(), handed, wanted),
    )


def _answered(notebooks: Iterable[Restored], handed: Exercises, wanted: Assignment) -> tuple[str, ...]:
    files = [check for place in handed.taken for check in _judging(place, wanted)]
    return tuple(dict.fromkeys([*(check for one in notebooks for check in one.answered), *files]))


def _is_notebook(path: PurePosixPath) -> bool:
    return path.name.lower().endswith(NOTEBOOKS)


def _drafts(made: _Sorting) -> Iterator[tuple[PurePosixPath, Draft]]:
    for path, data in made.submission.files.taken.items():
        if _is_notebook(path):
            try:
                yield path, read(data)
            except BadInput as error:
                made.broken[path] = error.what


def _shut_away(made: _Sorting, handed: Exercises) -> None:
    """Exercise files that were not found, but could be among the files that can't be read."""
    shut = [remark for remark in made.submission.files.remarks if remark.kind in {"refused", "flagged"}]
    for place in made.wanted.exercises:
        why = next((f"{r.file}: {r.what}" for r in shut if _may_be(place, r.file)), "")
        if why and place not in handed.seen and place not in handed.unsure:
            handed.unsure[place] = why
            if not made.unread:
                made.person(f"not found in what could be read: {why}", str(place))


def _misnamed(made: _Sorting, handed: Exercises) -> None:
    """An exercise that was saved as another kind of file (`hpa.txt`, `hpa.json`) is not one left out."""
    for name in map(PurePosixPath, made.submission.files.others):
        places = [p for p in made.wanted.exercises if is_named(f"{name.stem}.yaml", p.name)]
        if name.suffix.lower() in SAVED_AS and (left := [p for p in places if p not in handed.seen]):
            why = f"it may be {left[0].name} saved as another kind of file: hand it in as {left[0].name}"
            made.person(why, shown(str(name)))
            for place in left:
                handed.unsure.setdefault(place, f"{shown(name.name)}: {why}")


def _may_be(place: PurePosixPath, file: str) -> bool:
    name = re.split(r"[\\/\u2215]", file)[-1]
    packed = not name or is_archive(name) or name.lower().endswith(UNKNOWN_ARCHIVES)
    return packed or is_named(name, place.name)


def _judging(place: PurePosixPath, wanted: Assignment) -> list[str]:
    """The checks that judge an exercise file."""
    number, file = place.parts[1][:2], "/".join(place.parts[3:])
    return [c for stem, one in wanted.notebooks.items() if stem[:2] == number for c in checks_on(one, file)]


def _notebook(made: _Sorting, stem: str, every: Sequence[Candidate]) -> Restored:
    released, name = made.wanted.notebooks[stem], f"{stem}.ipynb"
    found = [one for one in every if one.stem == stem]
    broken = {p: why for p, why in made.broken.items() if rest(stem_of(p.name), stem) is not None}
    if not found:
        return _absent(made, stem, broken, every)
    for path, why in broken.items():
        made.note(f"can't be read, another one counts: {why}", str(path), flagged=True)
    chosen, restored = _chosen(made, stem, found)
    if not chosen.named:
        made.note(f"taken as {name}, by its cells", str(chosen.path))
    for note in chosen.draft.notes:
        made.note(note, str(chosen.path))
    if not chosen.known:
        why = "none of its cells is the course's: retyped, or another notebook"
        return _unread(made, stem, {chosen.path: why})
    return restored or restore(released, chosen.draft.cells, name=name)


def _chosen(made: _Sorting, stem: str, found: Sequence[Candidate]) -> tuple[Candidate, Restored | None]:
    """The latest of several or, if that is not known, the one that was worked in."""
    last = latest(found)
    if len(found) == 1:
        return last[0], None
    name, released = f"{stem}.ipynb", made.wanted.notebooks[stem]
    tried = {one.path: restore(released, one.draft.cells, name=name) for one in found}
    sources = {one.path: [cell.source for cell in tried[one.path].notebook.cells] for one in found}
    worked = [one for one in last if tried[one.path].answers] or last
    worked = [one for one in worked if not one.copy] or worked
    chosen = next((one for one in worked if one.path.parent.name == "notebooks"), worked[0])
    left = ", ".join(shown(str(one.path)) for one in found if one is not chosen)
    if all(sources[one.path] == sources[chosen.path] for one in found):
        made.note(f"handed in {len(found)} times with the same answers", name)
    elif len(last) == 1:
        made.note(f"there is more than one: the latest, {chosen.path}, counts, not {left}", name)
    elif len(worked) == 1 or chosen.path.parent.name == "notebooks":
        made.note(f"there is more than one: {chosen.path} counts, not {left}", name, flagged=True)
    else:
        why = f"there is more than one, and it is unclear which is the latest: {chosen.path}, {left}"
        made.person(why, name)
        made.unsure.update(dict.fromkeys(checks_of(released), why))
    return chosen, tried[chosen.path]


def _absent(
    made: _Sorting, stem: str, broken: Mapping[PurePosixPath, str], every: Sequence[Candidate]
) -> Restored:
    """Report a missing file: it was not handed in, or it could not be read."""
    unnamed = {p: why for p, why in made.broken.items() if not re.search(r"\d\d-[a-z]", p.name)}
    strange = {
        one.path: "neither its cells nor its name are the course's"
        for one in every
        if not one.stem and not re.search(r"\d\d-[a-z]", one.path.name)
    }
    files = made.submission.files
    if suspects := {**broken, **unnamed, **strange}:
        return _unread(made, stem, suspects)
    if not files.whole:
        return _unread(made, stem, {PurePosixPath(f"{stem}.ipynb"): "not found in what could be read"})
    made.remarks.append(Remark("missing", "not handed in: it counts as unchanged", f"{stem}.ipynb"))
    return Restored(made.wanted.notebooks[stem], 0, ())


def _unread(made: _Sorting, stem: str, suspects: Mapping[PurePosixPath, str]) -> Restored:
    """Keep it as released and don't run it: a person has to grade it."""
    released = made.wanted.notebooks[stem]
    for path, why in suspects.items():
        line = Remark(PERSON, f"{why}; {stem} is not graded", str(path))
        if line not in made.remarks:
            made.remarks.append(line)
    why = "; ".join(f"{shown(str(path))}: {why}" for path, why in list(suspects.items())[:3])
    made.unread[stem] = why
    return Restored(released, 0, (), dict.fromkeys(checks_of(released), why))


def _left_over(
    made: _Sorting, found: Sequence[Candidate], used: Collection[PurePosixPath], *, any_file: bool
) -> None:
    """What was not used, and whether that is all there is: no notebook or exercise is no empty submission."""
    others = [name for name in made.submission.files.others if PurePosixPath(name).name not in LISTINGS]
    if not others or found or made.broken or any_file or made.unread:
        made.remarks += unused(made.submission.files, used, made.remarks)
        return
    made.remarks = [remark for remark in made.remarks if remark.kind != "missing"]
    told = ", ".join(shown(name) for name in others[:3])
    why = f"no notebook (.ipynb) was handed in, but {told}"
    for stem, released in made.wanted.notebooks.items():
        made.unread[stem] = why
        made.unsure.update(dict.fromkeys(checks_of(released), why))
    made.person(why)
