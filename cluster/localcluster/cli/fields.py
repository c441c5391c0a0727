"""localcluster fields: what an embedded lab refuses."""

from __future__ import annotations

import typer
from rich.table import Table
from rich.text import Text

from localcluster.cli.console import out
from localcluster.refused_fields import refused_fields

app = typer.Typer()


@app.command()
def fields() -> None:
    """List the fields of the API that a lab refuses, wholly or in part, and what it says instead.

    Every other field of a pod, a Service or a NetworkPolicy does what it does on any cluster.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("FIELD", no_wrap=True)
    table.add_column("WHAT YOU SEE")
    for field, said in refused_fields():
        table.add_row(field, Text(said))
    out.print(table)
