"""localcluster node stop, start, add, remove: the simulated machines of a lab that runs."""

from __future__ import annotations

from typing import Annotated

import typer

from localcluster.cli.cluster import Name
from localcluster.cli.console import err
from localcluster.embedded import added_nodes, nodes
from localcluster.layout import Layout, default_name
from localcluster.provider import NewNode

app = typer.Typer(
    name="node",
    help=("Turn simulated machines off and on; add and remove them.\n\n`kubectl get nodes` lists them."),
    no_args_is_help=True,
    rich_markup_mode=None,
)

Machine = Annotated[str, typer.Argument(help="Name of a node (`kubectl get nodes`).")]


@app.command()
def stop(machine: Machine, name: Name = None) -> None:
    """Turn a machine off: its containers end at once.

    The control plane only notices after 50 real seconds without a heartbeat, whatever CLOCK is.
    """
    nodes.stop(_layout(name), machine)
    err.print(f"{machine} is off", markup=False)


@app.command()
def start(machine: Machine, name: Name = None) -> None:
    """Turn a machine on, and wait until it is Ready."""
    nodes.start(_layout(name), machine)
    err.print(f"{machine} is Ready", markup=False)


@app.command()
def add(
    machine: Annotated[str, typer.Argument(help="The new node's name.")],
    name: Name = None,
    gpus: Annotated[int, typer.Option(min=0, max=16, help="Number of GPUs.")] = 0,
    product: Annotated[
        str, typer.Option(help="GPU model, as in cluster/localcluster/data/gpu/gpus.toml.")
    ] = "NVIDIA-L4",
) -> None:
    """Add a machine. It stays until `remove`, `lab.reset()` in a notebook, or `down`."""
    added_nodes.plug_in(_layout(name), NewNode(machine, gpus, product))
    err.print(f"{machine} joins within seconds", markup=False)


@app.command()
def remove(name: Name = None) -> None:
    """Remove every machine that was added, with what runs on it."""
    gone = added_nodes.plug_out(_layout(name))
    err.print(f"removed: {', '.join(gone) or 'none'}", markup=False)


def _layout(name: str | None) -> Layout:
    return Layout.of(name or default_name())
