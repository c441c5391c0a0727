"""labkit gpu ls, fail, heal: the simulated GPUs, and what happens when one breaks."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli.cluster import Name, ProviderName
from labkit.cli.console import out
from labkit.gpu_faults import GpuFaults
from labkit.gpus import faults
from labkit.kube.client import Kube
from labkit.kube.objects import aligned
from labkit.providers import catalog

app = typer.Typer(
    name="gpu",
    help=(
        "See the simulated GPUs, let one fail, and heal it.\n\n"
        "A failed GPU is not allocatable any more; the container on it dies as CUDA makes it; its pod is "
        "deleted, so that its ReplicaSet makes another one on another GPU."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)

Node = Annotated[str, typer.Argument(help="Such as gpu-node-1.")]
Which = Annotated[str, typer.Argument(metavar="GPU", help="Its index on the node, or its UUID.")]


@app.command()
def ls(name: Name = None, provider: ProviderName = "embedded") -> None:
    """List every simulated GPU: where it is, how it is, and which pod holds it."""
    rows = [("NODE", "GPU", "UUID", "PRODUCT", "HEALTH", "POD")]
    for gpu in _faults(provider, name).ls():
        health, pod = gpu.failed or "healthy", gpu.pod or "-"
        rows.append((gpu.node, str(gpu.index), gpu.uuid, gpu.product, health, pod))
    out.print(aligned(rows), markup=False)


@app.command()
def fail(
    node: Node,
    gpu: Which,
    reason: Annotated[str, typer.Option(help="What the driver would say.")] = faults.DEFAULT_REASON,
    name: Name = None,
    provider: ProviderName = "embedded",
) -> None:
    """Let a GPU fail, as a driver would report it; it stays so until you heal it."""
    out.print(_faults(provider, name).fail(node, gpu, reason=reason), markup=False)


@app.command()
def heal(node: Node, gpu: Which, name: Name = None, provider: ProviderName = "embedded") -> None:
    """Make a failed GPU healthy again."""
    out.print(_faults(provider, name).heal(node, gpu), markup=False)


def _faults(provider: str, name: str | None) -> GpuFaults:
    lab = catalog.get(provider, name)
    return GpuFaults(Kube(lab.kubeconfig()), lab.spec().name)
