"""labkit node stop, start, add, remove: the simulated machines of a lab that runs."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli.cluster import Name
from labkit.cli.console import err
from labkit.providers.base import NewNode
from labkit.providers.embedded import guests, nodes
from labkit.providers.embedded.layout import Layout, default_name

app = typer.Typer(
    name="node",
    help=(
        "Cut the power of a simulated machine, give it back, let machines join and leave.\n\n"
        "labkit kubectl get nodes lists them."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)

Machine = Annotated[str, typer.Argument(help="A node, as `labkit kubectl get nodes` lists them.")]


@app.command()
def stop(machine: Machine, name: Name = None) -> None:
    """Cut a machine's power: its containers end at once, and nobody tells the control plane.

    It notices after 50 real seconds without a heartbeat, whatever CLOCK says.
    """
    nodes.stop(_layout(name), machine)
    err.print(f"{machine} has no power any more", markup=False)


@app.command()
def start(machine: Machine, name: Name = None) -> None:
    """Give a machine its power back, and wait until it is Ready."""
    nodes.start(_layout(name), machine)
    err.print(f"{machine} is Ready", markup=False)


@app.command()
def add(
    machine: Annotated[str, typer.Argument(help="The new node's name.")],
    name: Name = None,
    gpus: Annotated[int, typer.Option(min=0, max=16, help="How many GPUs it has.")] = 0,
    product: Annotated[str, typer.Option(help="Their kind, as in cluster/gpu/gpus.toml.")] = "NVIDIA-L4",
) -> None:
    """Let one more machine join. It stays until `remove`, `lab.reset()` of a notebook, or `labkit down`."""
    guests.plug_in(_layout(name), NewNode(machine, gpus, product))
    err.print(f"{machine} joins within seconds", markup=False)


@app.command()
def remove(name: Name = None) -> None:
    """Take every machine that joined away again, with what runs on it."""
    gone = guests.plug_out(_layout(name))
    err.print(f"gone: {', '.join(gone) or 'none'}", markup=False)


def _layout(name: str | None) -> Layout:
    return Layout.of(name or default_name())
