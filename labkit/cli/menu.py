"""`labkit --help`: the commands in groups, each with a whole sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typer.core import TyperGroup

PARTS: Mapping[str, Sequence[str]] = {
    "The course": ("jupyter", "solution", "notebooks", "checks"),
    "Your lab": ("up", "status", "doctor", "why", "kubectl", "url", "logs", "fields", "ls", "down"),
    "Your images": ("image",),
    "Nodes, GPUs and load": ("node", "gpu", "load"),
    "For instructors and authors": (
        "release",
        "collect",
        "grade",
        "regrade",
        "compare",
        "similar",
        "validate",
        "study",
    ),
    "The programs of the control plane": ("toolchain",),
}
LONGEST = 200  # letters of a sentence: click would cut it off at the end of its line


class Menu(TyperGroup):
    """The group of all commands."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The commands that are there, part by part."""
        for part, names in PARTS.items():
            there = [(name, self.get_command(ctx, name)) for name in names]
            rows = [(name, command.get_short_help_str(LONGEST)) for name, command in there if command]
            if rows:
                with formatter.section(part):
                    formatter.write_dl(rows)
