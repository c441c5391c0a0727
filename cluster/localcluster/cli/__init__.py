"""The command line: `localcluster --help`. The course's own, `labkit`, has the same commands and more."""

from __future__ import annotations

import typer

from localcluster.cli import cluster, status
from localcluster.cli.entry import add, run

GROUPS = {name: f"localcluster.cli.{name}" for name in ("toolchain", "node", "image", "gpu")}
"""Groups of commands, each with the module that is imported only for it."""

ALONE = {"doctor": "localcluster.cli.doctor", "fields": "localcluster.cli.fields"}
"""Commands, by the module that is imported for them only."""

COMMANDS = cluster.app.registered_commands + status.app.registered_commands

app = typer.Typer(
    name="localcluster",
    help=(
        "A real Kubernetes control plane on this machine, and pods as processes. No root, Docker or GPU.\n\n"
        "Start with localcluster up, try localcluster kubectl get nodes, and end with localcluster down.\n\n"
        "Commands use the cluster called `lab`, or the one named by --name or the variable LABKIT_LAB."
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.registered_commands += COMMANDS


def main() -> None:
    """Entry point."""
    run(app, lambda words: add(app, words, groups=GROUPS, alone=ALONE))
