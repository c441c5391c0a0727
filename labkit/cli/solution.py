"""labkit solution, in an edition that was handed out: a checkout with solutions has another one."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.errors import BadInput

app = typer.Typer()


@app.command()
def solution(
    check: Annotated[str, typer.Argument(help="The exercise's check, such as 02.deployment.")],
) -> None:
    """Show the course's answer to an exercise, where the course's solutions are on this machine."""
    raise BadInput(
        f"The solution of {check} is not on this machine.",
        cause="This edition of the course was released without solutions.",
        fix="Ask your instructor.",
    )
