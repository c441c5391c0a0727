"""A line of the report about a submission: what was odd, and what became of it.

Refuses to repeat a stranger's text as it is: names are shown without control characters, and cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["refused", "flagged", "missing", "restored", "note"]
"""`refused`: not taken. `flagged`: a person should look. `restored`: the course's own stands there again."""
LONGEST = 120  # characters of a name that is shown
MOST = 400  # characters of a line


@dataclass(frozen=True)
class Remark:
    """One line; `file` is the place in the submission, empty where it is about all of it."""

    kind: Kind
    what: str
    file: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "what", printable(self.what)[:MOST])
        object.__setattr__(self, "file", shown(self.file))

    def __str__(self) -> str:
        return f"{self.kind}: {self.file + ': ' if self.file else ''}{self.what}"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Remark:
        """The inverse of `to_json`."""
        return cls(**data)


def shown(name: str) -> str:
    """A name as it can stand in a report or on a terminal: one line, nothing that hides or steers."""
    kept = printable(name).replace("\n", "\\x0a")
    return kept if len(kept) <= LONGEST else kept[: LONGEST - 1] + "…"


def printable(text: str) -> str:
    """Text without what hides, steers a terminal, or may not stand in XML."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)
