"""localcluster gpu ls, fail, heal: the simulated GPUs, and what happens when one fails."""

from __future__ import annotations

from typing import Annotated

import typer

from localcluster import catalog
from localcluster.api.client import Api
from localcluster.api.objects import aligned
from localcluster.cli.cluster import Name, ProviderName
from localcluster.cli.console import out
from localcluster.gpus import faults
from localcluster.gpus.breaking import GpuFaults

app = typer.Typer(
    name="gpu",
    help=(
        "List the simulated GPUs, make one fail, and heal it.\n\n"
        "A failed GPU is no longer allocatable; the container on it dies, as with CUDA; its pod is "
        "deleted, so that its ReplicaSet makes another one on another GPU."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)

Node = Annotated[str, typer.Argument(help="Such as gpu-node-1.")]
Which = Annotated[str, typer.Argument(metavar="GPU", help="Its index on the node, or its UUID.")]


@app.command()
def ls(name: Name = None, provider: ProviderName = "embedded") -> None:
    """List every simulated GPU: its node, its health, and the pod that holds it."""
    rows = [("NODE", "GPU", "UUID", "PRODUCT", "HEALTH", "POD")]
    for gpu in _faults(provider, name).ls():
        health, pod = gpu.failed or "healthy", gpu.pod or "-"
        rows.append((gpu.node, str(gpu.index), gpu.uuid, gpu.product, health, pod))
    out.print(aligned(rows), markup=False)


@app.command()
def fail(
    node: Node,
    gpu: Which,
    reason: Annotated[str, typer.Option(help="The driver's message.")] = faults.DEFAULT_REASON,
    name: Name = None,
    provider: ProviderName = "embedded",
) -> None:
    """Make a GPU fail, as a driver would report it, until you heal it."""
    out.print(_faults(provider, name).fail(node, gpu, reason=reason), markup=False)


@app.command()
def heal(node: Node, gpu: Which, name: Name = None, provider: ProviderName = "embedded") -> None:
    """Make a failed GPU healthy again."""
    out.print(_faults(provider, name).heal(node, gpu), markup=False)


def _faults(provider: str, name: str | None) -> GpuFaults:
    lab = catalog.get(provider, name)
    return GpuFaults(Api(lab.kubeconfig()), lab.spec().name)
