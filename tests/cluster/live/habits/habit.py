"""One habit: what is typed, what the terminal shows then, and what the page says about it."""

from __future__ import annotations

from dataclasses import dataclass

INTERRUPT, END = "\x03", "\x04"


@dataclass(frozen=True)
class Habit:
    """`says` is a pattern of the output, `status` the exit status (None: it was interrupted).

    `keys` are pairs: when the first has been shown, the second is typed. `first` is done before, unseen.
    `tries`: repeated until it is so, since a metric or a controller takes its time.
    """

    typed: str
    says: str
    note: str = ""
    status: int | None = 0
    keys: tuple[tuple[str, str], ...] = ()
    first: str = ""
    tries: bool = False
    refused: bool = False

    @property
    def row(self) -> str:
        """As the page shows it."""
        typed = self.typed.replace("|", "\\|")
        here = "**refused**: " if self.refused else ""
        return f"| `{typed}` | {here}{self.note or 'works'} |"


def watching(typed: str, says: str, note: str = "") -> Habit:
    """A command that goes on until Ctrl-C."""
    return Habit(typed, says, note, status=None, keys=((says, INTERRUPT),))
