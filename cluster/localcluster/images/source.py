"""A text file of a build (Dockerfile, .dockerignore): its lines, with their numbers.

Read as BuildKit reads it: UTF-8, a byte order mark at the beginning dropped, lines ended by LF or CRLF.
Refuses lines that would be read differently from how they look: UTF-16, NUL bytes, a lone CR, a mark inside,
and the four control characters that Python takes for white space, but Go does not.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import ImageError

_MARK = codecs.BOM_UTF8.decode()
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)  # UTF-32 LE begins as UTF-16 LE does
_SEPARATORS = re.compile("[\x1c-\x1f]")
_SAVE = "Save it as UTF-8 with LF or CRLF line endings."


@dataclass(frozen=True)
class Source:
    """A place in a file, for errors."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def refuse(self, what: str, *, fix: str, cause: str = "") -> ImageError:
        """The error for something at this place."""
        return ImageError(f"{self}: {what}", cause=cause, fix=fix)


def lines(file: Path) -> list[str]:
    """The lines without their ends; raises `OSError`, and `ImageError` for invalid text."""
    data = file.read_bytes()
    if data.startswith(_WIDE):
        raise Source(file, 1).refuse("This file is UTF-16 or UTF-32, not UTF-8.", cause=_cause(), fix=_SAVE)
    text = _decoded(file, data.removeprefix(codecs.BOM_UTF8))
    found = [line.rstrip("\r") for line in text.split("\n")]
    for number, line in enumerate(found, start=1):
        _check(line, Source(file, number))
    return found


def _decoded(file: Path, data: bytes) -> str:
    nul = data.find(b"\0")
    if nul >= 0:
        place = Source(file, data.count(b"\n", 0, nul) + 1)
        raise place.refuse("This file contains a NUL byte.", cause=_cause(), fix=_SAVE)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = Source(file, data.count(b"\n", 0, error.start) + 1)
        what = f"This line is not UTF-8 (byte 0x{data[error.start]:02x})."
        raise place.refuse(what, cause="The editor saved it in another encoding.", fix=_SAVE) from error


def _check(line: str, source: Source) -> None:
    if "\r" in line:
        cause = "The file has old Mac line endings, or was joined from several files."
        raise source.refuse(
            "This line contains a carriage return (CR) without a line feed.", cause=cause, fix=_SAVE
        )
    if found := _SEPARATORS.search(line):
        what = f"This line contains the control character U+{ord(found[0]):04X}."
        raise source.refuse(what, cause="It is invisible.", fix="Delete it.")
    if line.lstrip().startswith(_MARK):
        cause = "Files that began with one were joined. It is invisible, but counts as a character."
        fix = "Delete the line and type it again."
        raise source.refuse("This line begins with a byte order mark (U+FEFF).", cause=cause, fix=fix)


def _cause() -> str:
    return "Windows PowerShell 5 writes UTF-16 when output is redirected with >; some editors do when saving."
