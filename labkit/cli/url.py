"""labkit url: where a Service or a pod answers on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit import clients
from localcluster import catalog
from localcluster.cli.cluster import Name, ProviderName
from localcluster.cli.console import out

app = typer.Typer()


@app.command()
def url(
    target: Annotated[str, typer.Argument(help="service/NAME (svc/NAME, NAME), or pod/NAME")],
    name: Name = None,
    provider: ProviderName = "embedded",
    namespace: Annotated[str, typer.Option(help="The object's namespace.")] = "llm-lab",
    port: Annotated[int, typer.Option(help="The Service's port.")] = 80,
) -> None:
    """Print where a Service or a pod answers on this machine: curl $(labkit url svc/web)."""
    where = catalog.get(provider, name)
    out.print(clients.url(where, clients.kube(where, namespace=namespace), target, port=port), markup=False)
