"""`.dockerignore`: which files of the build context are excluded.

The rules are those of BuildKit's reader and matcher (https://github.com/moby/patternmatcher). They differ
from .gitignore's: a pattern is relative to the context's root, `#` begins a comment in the first column, and
`**` stands for any number of folders. A line that can't be understood is refused: ignoring it could put a
secret into an image.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from localcluster.images.source import Source, lines

_SPECIAL = re.compile(r"[*?\[\]\\]")
_ESCAPED = r"\\[ -/:-@\[-`{-~]"  # BuildKit's matcher takes `\d` for any digit, and refuses `\é`
_ITEM = rf"(?:{_ESCAPED}|[^\]\[\\*?-])"
_SET = re.compile(rf"\[(\^?)((?:{_ITEM}(?:-{_ITEM})?)+)\]")


@dataclass(frozen=True)
class Rule:
    """One line; `!` includes files again."""

    expression: re.Pattern[str]
    hides: bool


class IgnoreFile:
    """The rules of one file, in order."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = rules
        self._known: dict[PurePosixPath, tuple[bool, list[bool]]] = {}
        self.brings_back = not all(rule.hides for rule in rules)

    @classmethod
    def read(cls, file: Path) -> IgnoreFile:
        """Read it; a missing file excludes nothing."""
        return cls(list(_rules(file)) if file.is_file() else [])

    def hides(self, path: PurePosixPath) -> bool:
        """Whether a path (relative to the context) is excluded."""
        return self._matched(path)[0]

    def _matched(self, path: PurePosixPath) -> tuple[bool, list[bool]]:
        """Whether it is excluded, and which rules apply to it.

        What applies to a folder applies to its content. A rule that would change nothing is skipped, as in
        BuildKit: `!a` below `a/b` leaves `a/b` excluded.
        """
        if path not in self._known:
            above = path.parent
            inherited = self._matched(above)[1] if above.parts else [False] * len(self._rules)
            hidden, applied = False, []
            for rule, known in zip(self._rules, inherited, strict=True):
                applies = known or (rule.hides != hidden and bool(rule.expression.fullmatch(str(path))))
                hidden = rule.hides if applies else hidden
                applied.append(applies)
            self._known[path] = hidden, applied
        return self._known[path]


def _rules(file: Path) -> Iterator[Rule]:
    for number, line in enumerate(lines(file), start=1):
        text = line.strip()
        if not text or line.startswith("#"):
            continue
        source = Source(file, number)
        wanted = text.removeprefix("!").strip()
        hides, cleaned = not text.startswith("!"), _clean(wanted)
        if not wanted or (cleaned == "/" and not hides):
            raise source.refuse("`!` has no pattern.", fix="Write the pattern after it: !keep.txt")
        if hides and cleaned.startswith("!"):
            cause = "BuildKit drops what is in front of the !, and then includes these files again."
            fix = f"Write \\{cleaned} for a name that begins with !, or {cleaned} to include it again."
            raise source.refuse(f"`{text}` is not a valid pattern.", cause=cause, fix=fix)
        yield Rule(_compiled(cleaned, source), hides=hides)


def _clean(text: str) -> str:
    """The pattern relative to the context: `/a`, `./a`, `a/` and `b/../a` all mean `a`."""
    cleaned = posixpath.normpath(text)
    return "/" + cleaned.lstrip("/") if cleaned.strip("/") == "" else cleaned.lstrip("/")


def _compiled(pattern: str, source: Source) -> re.Pattern[str]:
    try:
        return re.compile(expression(pattern), re.DOTALL)
    except (ValueError, re.error) as error:
        raise source.refuse(
            f"`{pattern}` is not a valid pattern: {error}.",
            cause="`[` opens a set of characters, `\\` makes the next special character literal.",
            fix="Write a set as [a-z_.], and a backslash only before a special character.",
        ) from error


def expression(pattern: str) -> str:
    """A pattern as a regular expression for a whole path; raises `ValueError` if it is not valid.

    `*`, `?` and `[a-z]` stay in one folder, `**` does not.
    """
    if pattern.startswith("**") and not _SPECIAL.search(pattern, 2) and pattern[2:3] != "/":
        return f".*{re.escape(pattern[2:])}"
    out, at = "", 0
    while at < len(pattern):
        part, at = _part(pattern, at)
        out += part
    return out


def _part(pattern: str, at: int) -> tuple[str, int]:
    """The part at a position, as a regular expression, and where the next part begins."""
    char = pattern[at]
    if pattern.startswith("**", at):
        after = at + 2 + pattern.startswith("/", at + 2)
        return (".*" if after >= len(pattern) else "(?:.*/)?"), after
    if char == "[":
        return _set(pattern, at)
    if char == "\\":
        if not re.match(_ESCAPED, pattern[at:]):
            raise ValueError("a backslash that is not before a special character")
        return re.escape(pattern[at + 1]), at + 2
    return {"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char)), at + 1


def _set(pattern: str, at: int) -> tuple[str, int]:
    found = _SET.match(pattern, at)
    if not found:
        raise ValueError("a [ that does not begin a set such as [a-z_.]")
    body = re.sub(r"\\(.)|(.)", lambda one: "-" if one[2] == "-" else re.escape(one[1] or one[2]), found[2])
    return f"[{found[1]}{body}]", found.end()
