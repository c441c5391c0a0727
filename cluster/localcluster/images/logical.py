"""The logical lines of a Dockerfile: directives are read, comments removed, continued lines joined.

As in BuildKit, the white space at the beginning of a continuing line stays: it separates two words if the
backslash directly follows the first. Comments and empty lines inside are dropped.
Source: https://github.com/moby/buildkit/blob/master/frontend/dockerfile/parser/parser.go
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from localcluster.images.source import Source

_DIRECTIVE = re.compile(r"#\s*([a-z][a-z0-9]*)\s*=\s*(.+?)\s*", re.IGNORECASE)
_FRONTEND = re.compile(r"(docker\.io/)?docker/dockerfile(-upstream)?([:@].*)?")


@dataclass(frozen=True)
class Logical:
    """One instruction on one line, without white space around it, and the character that escapes in it."""

    text: str
    source: Source
    escape: str


@dataclass
class _Directives:
    """The directives in the comments at the top: `# syntax=`, `# escape=`, `# check=`."""

    seen: dict[str, str] = field(default_factory=dict)
    done: bool = False

    @property
    def escape(self) -> str:
        return self.seen.get("escape", "\\")

    @property
    def continued(self) -> re.Pattern[str]:
        """The end of a continued line: an unescaped escape character, and blanks."""
        one = re.escape(self.escape)
        return re.compile(rf"(?<!{one}){one}[ \t]*$")

    def look(self, line: str, source: Source) -> None:
        """Read a directive; the first other line ends them."""
        found = None if self.done else _DIRECTIVE.fullmatch(line)
        name = found[1].lower() if found else ""
        self.done = self.done or name not in {"syntax", "escape", "check"}
        if self.done or not found:
            return
        if name in self.seen:
            raise source.refuse(f"The directive {name} appears twice.", fix="Keep one of them.")
        self.seen[name] = found[2]
        if name == "escape" and found[2] not in {"\\", "`"}:
            raise source.refuse(
                f"escape={found[2]} is not valid.", fix="Use \\ or ` as the escape character."
            )
        if name == "syntax" and not _FRONTEND.fullmatch(found[2]):
            fix = "Use the standard Dockerfile syntax (docker/dockerfile), or build with docker."
            raise source.refuse(f"The lab's builder does not support the syntax {found[2]}.", fix=fix)


def logical(file: Path, lines: Sequence[str], say: Callable[[str], object]) -> Iterator[Logical]:
    """Each instruction with the number of the line where it starts; `say` gets notes on probable mistakes."""
    directives, rest = _Directives(), iter(enumerate(lines, start=1))
    for number, raw in rest:
        line, source = raw.lstrip(), Source(file, number)
        directives.look(line, source)
        if not line or line.startswith("#"):
            continue
        whole = _joined(line, rest, directives.continued)
        if whole.gaps:
            say(
                f"note: {source}: an empty line inside this instruction; a future version of "
                "Docker will refuse it"
            )
        if not whole.text.strip():
            fix = "Delete the line, or write the instruction after it."
            raise source.refuse("This line continues, but no instruction follows.", fix=fix)
        yield Logical(whole.text.strip(), source, directives.escape)


@dataclass(frozen=True)
class _Whole:
    text: str
    gaps: bool


def _joined(first: str, rest: Iterator[tuple[int, str]], continued: re.Pattern[str]) -> _Whole:
    text, gaps, line = "", False, first
    while continued.search(line):
        text += continued.sub("", line)
        for _, line in rest:
            if line.lstrip().startswith("#"):
                continue
            if line.strip():
                break
            gaps = True
        else:
            return _Whole(text, gaps)
    return _Whole(text + line, gaps)
