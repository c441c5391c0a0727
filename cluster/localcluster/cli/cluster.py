"""localcluster up, down, ls: start, stop and list labs."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from localcluster import catalog
from localcluster.cli.console import err, out, report
from localcluster.errors import BadInput, LabError
from localcluster.kind.settings import labs as kind_labs
from localcluster.layout import default_name, home
from localcluster.provider import Spec
from localcluster.refused_fields import refused_fields

Name = Annotated[
    str | None, typer.Option("--name", "-n", help="Name of the lab; several can run side by side.")
]
ProviderName = Annotated[str, typer.Option("--provider", "-p", help=f"One of: {', '.join(catalog.names())}.")]

MOST_GPUS = 16
NO_ISOLATION = (
    "no isolation. Pods of this lab run as ordinary processes of your user, can read your files and share "
    "this machine's network; run only your own code in it, and don't grade submissions in it."
)

app = typer.Typer()


@app.command()
def up(
    name: Name = None,
    provider: ProviderName = "embedded",
    clock: Annotated[float, typer.Option(help="Lab seconds per real second; 1 is real time.")] = 15.0,
    gpu_nodes: Annotated[int, typer.Option(min=0, max=20, help="Simulated GPU nodes.")] = 3,
    gpus: Annotated[
        str, typer.Option(help="GPUs per GPU node; `real` (kind): this machine's own GPUs.")
    ] = "4",
    cpu_nodes: Annotated[int, typer.Option(min=0, max=20, help="Nodes without a GPU.")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be started, but start nothing.")
    ] = False,
    isolation: Annotated[
        str, typer.Option(help="bubblewrap, or none: no isolation and no network of its own.")
    ] = "bubblewrap",
    node_image: Annotated[str, typer.Option(help="kind: node image to use instead of kind's own.")] = "",
    node_patches: Annotated[
        Path | None, typer.Option(help="kind: kubeadm patches that this machine's nodes need.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="kind: keep the nodes if the start fails.")] = False,
) -> None:
    """Start a lab: a real control plane and network, pods as processes. No Docker, no root, no GPU.

    With --provider kind: real kubelets in Docker or Podman containers, with simulated GPUs, or with this
    machine's own: --gpus real.

    Safe to repeat: what runs is left alone, what died is restarted.
    """
    spec = Spec(
        name=name or default_name(),
        clock=clock,
        gpu_nodes=gpu_nodes,
        **_gpus(gpus, provider),
        cpu_nodes=cpu_nodes,
        isolation=isolation,
        node_image=node_image,
        node_patches=str(node_patches.absolute()) if node_patches else "",
        keep=keep,
    )
    if isolation not in {"bubblewrap", "none"}:
        raise BadInput(f"{isolation!r} is not a kind of isolation.", fix="Use bubblewrap or none.")
    where = catalog.get(provider, name)
    if dry_run:
        out.print(where.transcript(spec), markup=False)
        return
    began = time.monotonic()
    kubeconfig = where.up(spec, report)
    err.print(f"[bold green]up[/] in {time.monotonic() - began:.1f} s", end=" ")
    err.print(f"({where.simulates}; CLOCK={clock:g})", markup=False)
    if spec.isolation == "none":
        err.print(f"[yellow]warning:[/] {NO_ISOLATION}")
    lab = (f" --provider {provider}" if provider != "embedded" else "") + (f" --name {name}" if name else "")
    err.print(f"  localcluster status{lab}          what runs", markup=False)
    err.print(f"  localcluster kubectl{lab} get nodes   kubectl for this lab", markup=False)
    if provider == "embedded":
        count = len(refused_fields())
        err.print(f"  localcluster fields          {count} fields of the API that are refused", markup=False)
    err.print(f"  export KUBECONFIG={shlex.quote(str(kubeconfig))}", markup=False)


def _gpus(asked: str, provider: str) -> dict[str, Any]:
    """How many GPUs a node has, or that they are real; raises `BadInput`."""
    if asked == "real" and provider == "kind":
        return {"gpus": "real"}
    if asked.isdigit() and int(asked) <= MOST_GPUS:
        return {"gpus_per_node": int(asked)}
    raise BadInput(
        f"--gpus {asked} is not valid for the provider {provider}.",
        fix=f"Use a number from 0 to {MOST_GPUS}; or real, with --provider kind on a machine "
        "with NVIDIA GPUs.",
    )


@app.command()
def down(name: Name = None, provider: ProviderName = "embedded") -> None:
    """Take a lab down: stop every process and delete every file except logs. Safe to repeat."""
    began = time.monotonic()
    catalog.get(provider, name).down(report)
    err.print(f"[bold]down[/] in {time.monotonic() - began:.1f} s")


@app.command("ls")
def list_labs() -> None:
    """List the labs of this user."""
    table = Table("LAB", "PROVIDER", "STATE", "CLOCK", box=None)
    for provider, lab in labs():
        where = catalog.get(provider, lab)
        try:
            state = "up" if all(part.state == "ready" for part in where.parts()) else "not running"
            row = (state, f"{where.spec().clock:g}")
        except LabError as error:  # one lab that can't be read must not hide the others
            err.print(error.what, markup=False)
            row = ("unreadable", "-")
        table.add_row(lab, provider, *row)
    out.print(table)
    if not table.row_count:
        err.print("No labs yet. Start one: localcluster up", markup=False)


def labs() -> list[tuple[str, str]]:
    """Provider and name of each lab that was started and not taken down."""
    embedded = (path.parent.name for path in sorted(home().glob("*/lab.json")))
    return [("embedded", n) for n in embedded if "." not in n] + [("kind", n) for n in kind_labs()]
