"""The files of one submission: read within limits, archives in it opened, originals kept unchanged.

What is not taken becomes a remark; nothing raises. Never reads more than `Limits` allow, whatever a header
says, and limits how deeply archives can be nested.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from labkit_grading.submissions.entries import (
    BROKEN,
    UNKNOWN_ARCHIVES,
    Entry,
    is_archive,
    opened,
    reason,
    stem,
)
from labkit_grading.submissions.entries import of_folder as listed
from labkit_grading.submissions.originals import Originals
from labkit_grading.submissions.remark import Remark, shown
from labkit_grading.submissions.renamed import is_yaml

NOTEBOOKS = (".ipynb", ".ipynb.txt", ".ipynb.json", ".ipynb.download")
"""With the suffixes that browsers and Notepad add to names that they don't know.

Nothing but these and YAML is opened."""
RESULTS = frozenset(
    {"feedback.html", "grades.csv", "grades.json", "junit.xml", "results.json", "rubric.toml"}
)
"""What grading creates: never part of an assignment."""
DEPTH = 3
"""How deep archives can be nested: a zip in a zip in a student's zip."""


@dataclass(frozen=True)
class Limits:
    """Limits for one submission, in bytes. An executed notebook with all its plots has 2 to 3 MiB."""

    file: int = 16 * 2**20
    total: int = 64 * 2**20
    files: int = 2000
    archive: int = 256 * 2**20


LIMITS = Limits()


@dataclass
class Files:
    """The files that were taken, by path in the submission, and remarks on the others."""

    limits: Limits = LIMITS
    kept: Originals = field(default_factory=Originals)
    taken: dict[PurePosixPath, bytes] = field(default_factory=dict)
    order: dict[PurePosixPath, int] = field(default_factory=dict)
    """Where the LMS counts uploads: the number of the one that brought a file."""
    remarks: list[Remark] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    """Files of kinds that no assignment asks for."""
    left_behind: dict[str, int] = field(default_factory=dict)
    """What systems and editors left behind, by the name that says so: how many files."""
    seen: int = 0
    unpacked: int = 0

    def refuse(self, name: str, why: str) -> None:
        """Record that a file was not taken, and why."""
        self.remarks.append(Remark("refused", why, shown(name)))

    def flag(self, name: str, why: str) -> None:
        """Record that a file was not taken and that a person should look at it."""
        self.remarks.append(Remark("flagged", why, shown(name)))

    @property
    def whole(self) -> bool:
        """Whether all that was handed in could be read."""
        return not any(remark.kind in {"refused", "flagged"} for remark in self.remarks)

    def add(self, entry: Entry, *, depth: int = 0, number: int = 0) -> bool:
        """Take one file; False if there are too many, so that the rest need not be tried."""
        if entry.ignored and not entry.folder:
            self.left_behind[entry.ignored] = self.left_behind.get(entry.ignored, 0) + 1
        if entry.ignored or entry.folder:
            return True
        self.seen += 1
        if self.seen > self.limits.files:
            self.refuse("", f"more than {self.limits.files} files: the rest was ignored")
            return False
        name = str(entry.path)
        if entry.why:
            self.remarks.append(Remark(entry.kind, entry.why, name))
        elif is_archive(entry.path.name):
            below = entry.path.with_name(stem(entry.path.name) or "archive")
            return self.unfold(entry, below, depth=depth, number=number)
        elif entry.path.name.lower().endswith(NOTEBOOKS) or is_yaml(entry.path.name):
            self._take(entry, depth, number)
        else:
            self._leave(entry, depth)
        return True

    def put_by(self, entry: Entry) -> None:
        """Keep the original of something that no longer counts."""
        if not entry.why and not entry.ignored and not entry.folder:
            self._keep(entry)

    def _take(self, entry: Entry, depth: int, number: int) -> None:
        left = self.limits.total - sum(map(len, self.taken.values()))
        data = self._read(entry, min(self.limits.file, left))
        if data is None:
            return
        if not depth:
            self.kept.keep(entry.path, data)
        path = entry.path
        while path in self.taken:  # a name can occur twice in one archive, or in two archives
            path = path.with_name(f"again {path.name}")
        self.taken[path] = data
        if number:
            self.order[path] = number

    def _read(self, entry: Entry, most: int) -> bytes | None:
        """Read all of it, or nothing and give the reason; `size` is only what the header says."""
        name = str(entry.path)
        try:
            data = entry.read(most + 1) if entry.size <= most else b""
        except BROKEN as error:
            self.refuse(name, f"can't be read: {reason(error)}")
            return None
        if entry.size > most or len(data) > most:
            big = entry.size > most
            told = f"says {entry.size / 2**20:,.0f} MiB" if big else "is larger than its header says"
            self.refuse(name, f"too large: it {told}, {most / 2**20:.0f} MiB are read at most")
            return None
        return data

    def _leave(self, entry: Entry, depth: int) -> None:
        name = entry.path.name
        if name.lower() in RESULTS or entry.path.suffix == ".evidence":
            self.flag(str(entry.path), "named like a result of grading: ignored")
        if name.lower().endswith(UNKNOWN_ARCHIVES):
            self.refuse(str(entry.path), f"{entry.path.suffix} can't be opened here: hand in a zip file")
        self.others.append(str(entry.path))
        if not depth:
            self._keep(entry)

    def _keep(self, entry: Entry) -> None:
        """Keep the original, even of a file that is not read."""
        if not self.kept.folder:
            return
        try:
            if entry.size <= self.kept.left:
                self.kept.keep(entry.path, entry.read(self.kept.left + 1))
            else:
                raise ValueError(f"{entry.size / 2**20:,.0f} MiB")
        except BROKEN as error:
            self.remarks.append(
                Remark("note", f"not copied to the originals: {reason(error)}", str(entry.path))
            )

    def unfold(self, entry: Entry, below: PurePosixPath, *, depth: int = 0, number: int = 0) -> bool:
        """Take the contents of an archive, as if they were in the folder `below`."""
        name = str(entry.path)
        data = self._read(entry, self.limits.archive - self.unpacked)
        if data is None:
            return True
        if not depth:
            self.kept.keep(entry.path, data)
        if depth == DEPTH:
            self.refuse(
                name,
                f"archives in archives are only opened {DEPTH} levels deep: hand in the files themselves",
            )
            return True
        self.unpacked += len(data)
        try:
            with opened(io.BytesIO(data), name, self.limits.archive - self.unpacked) as entries:
                here = (moved(one, below / one.path) for one in entries)
                return all(self.add(one, depth=depth + 1, number=number) for one in here)
        except BROKEN as error:
            self.refuse(name, f"not a readable archive: {reason(error)}")
        return True


def moved(entry: Entry, path: PurePosixPath) -> Entry:
    """The same file under another name."""
    return replace(entry, path=path)


def of_entries(entries: Iterable[Entry], limits: Limits = LIMITS) -> Files:
    """The files of a submission."""
    found = Files(limits)
    all(found.add(entry) for entry in entries)
    return found


def of_folder(folder: Path, limits: Limits = LIMITS) -> Files:
    """The files below a folder."""
    return of_entries(listed(folder), limits)
