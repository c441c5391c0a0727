"""labkit doctor: what the course needs of the cluster, and the path of the metric, hop by hop."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from labkit.doctor.finding import AFFECTED, BROKEN, OK, SIGNS, UNKNOWN, WARNING, Diagnosis
from labkit.errors import ProviderError
from localcluster import catalog
from localcluster.cli import doctor as machine
from localcluster.cli.cluster import Name, ProviderName
from localcluster.cli.console import out
from localcluster.provider import Provider

if TYPE_CHECKING:
    from course.existing.prerequisites import Need

app = typer.Typer()

STYLES: Mapping[str, str] = {
    OK: "green",
    BROKEN: "bold red",
    WARNING: "bold yellow",
    AFFECTED: "yellow",
    UNKNOWN: "yellow",
}


@app.command()
def doctor(
    name: Name = None,
    provider: ProviderName = "embedded",
    namespace: Annotated[str, typer.Option(help="The namespace of the HPA and its pods.")] = "llm-lab",
    hpa: Annotated[str, typer.Option(help="Which HPA, if there are several.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    apparmor: machine.AppArmor = False,
) -> None:
    """Show what this machine or cluster lacks, and where the path from /metrics to the HPA is broken.

    Before a lab exists: whether this machine can isolate containers, and how to allow it.
    Changes nothing. Exit 1 if something is missing or broken; each is named with its cause and fix, and so is
    what breaks nothing but could be better (exit 0).
    """
    # The Kubernetes client takes 0.4 s to import; the other commands must not pay for it.
    from course.existing import prerequisites, survey  # noqa: PLC0415
    from labkit import clients  # noqa: PLC0415
    from labkit.doctor.look import look  # noqa: PLC0415
    from labkit.doctor.pipeline import diagnose  # noqa: PLC0415

    if apparmor:
        return machine.profile()
    where = catalog.get(provider, name)
    _machine(where)
    kube = clients.kube(where, namespace=namespace)
    registry = where.registry()
    question = prerequisites.question(registry=registry.host if registry else "")
    needs = prerequisites.judge(survey.survey(kube, question, lambda: clients.prometheus(where)))
    stops = prerequisites.stops(needs)
    found = None if stops else diagnose(look(kube, lambda: clients.prometheus(where), hpa=hpa))
    if as_json:
        path = found.to_json() if found else None
        out.print_json(json.dumps({"needs": [need.to_json() for need in needs], "path": path}))
    else:
        show_needs(needs)
        if found:
            show_path(found)
    if any(need.missing for need in needs) or (found and found.broken):
        raise typer.Exit(1)
    return None


def _machine(where: Provider) -> None:
    """Where no lab runs yet: raise with what keeps this machine from having one, or say that nothing does."""
    try:
        where.kubeconfig()
    except ProviderError:
        if where.name == "embedded":
            machine.machine()
        raise


def show_needs(needs: Sequence[Need]) -> None:
    """What the course needs as a table, then each missing part with its fix."""
    table = _table("what the course needs", "NEED", "STATE", "NOTEBOOKS", "SEEN")
    for need in needs:
        state = _state(need.finding.state, "missing" if need.missing else "")
        table.add_row(need.name, state, need.notebooks, Text(need.finding.seen))
    out.print(table, soft_wrap=False)
    for need in needs:
        if need.missing:
            out.print(f"missing: {need.name} (needed by: {need.notebooks})", style="bold red", markup=False)
            _tell(("cause", need.finding.cause), ("fix", need.finding.fix))
    out.print()


def show_path(found: Diagnosis) -> None:
    """The hops as a table, then what to mend first in full."""
    table = _table(f"the path of the number, namespace {found.namespace}", "HOP", "STATE", "SEEN")
    for step in found.steps:
        table.add_row(step.hop, _state(step.state), Text(step.finding.seen))
    out.print(table, soft_wrap=False)
    out.print(found.summary, style=STYLES[found.first.state] if found.first else "bold", markup=False)
    _tell(*(found.first.told if found.first else ()))


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=heading != "SEEN")
    return table


def _state(state: str, word: str = "") -> Text:
    return Text(f"{SIGNS[state]} {word or state}", style=STYLES.get(state, "dim"))


def _tell(*parts: tuple[str, str]) -> None:
    for what, told in parts:
        out.print(f"  {what:<9} {told}", markup=False)
