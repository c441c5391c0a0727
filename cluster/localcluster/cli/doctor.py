"""localcluster doctor: what keeps this machine from running a cluster, and how to allow it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from localcluster.cli.console import out
from localcluster.embedded import isolation
from localcluster.provider import Spec
from localcluster.toolchain import namespaces
from localcluster.toolchain.locate import bwrap

app = typer.Typer()

AppArmor = Annotated[
    bool, typer.Option("--apparmor", help="Print the profile that lets bubblewrap build containers.")
]


@app.command()
def doctor(apparmor: AppArmor = False) -> None:
    """Say whether this machine can isolate containers, and how to allow it.

    Changes nothing. Exit 1 if it can't; the error has the cause and the fix.
    """
    if apparmor:
        profile()
    else:
        machine()


def profile() -> None:
    """Print the AppArmor profile for this machine's bubblewrap."""
    out.print(namespaces.profile(bwrap().resolve()), markup=False, end="")


def machine() -> None:
    """Try to isolate a container: raise with cause and fix where that fails, say so where it works."""
    with tempfile.TemporaryDirectory(prefix="labkit-") as folder:
        isolation.require(Spec(), Path(folder))
    out.print("this machine: user namespaces and overlays work, containers can be isolated")
