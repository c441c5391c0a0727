"""labkit up, down, status, logs, kubectl, ls: the cluster as a whole."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from labkit import _proc, toolchain
from labkit.cli.console import err, out, report
from labkit.errors import BadInput, LabError, ProviderError
from labkit.providers import catalog
from labkit.providers.base import Spec
from labkit.providers.embedded.layout import AGAIN_MIB, Layout, default_name, home
from labkit.providers.embedded.ports import COMPONENT
from labkit.providers.embedded.provider import Embedded
from labkit.providers.embedded.transcript import transcript

Name = Annotated[str | None, typer.Option("--name", "-n", help="Which lab; several run side by side.")]
ProviderName = Annotated[
    str, typer.Option("--provider", "-p", help="embedded, kind, or existing (any kubeconfig).")
]

app = typer.Typer()


@app.command()
def up(
    name: Name = None,
    provider: ProviderName = "embedded",
    clock: Annotated[
        float, typer.Option(help="Lab seconds in one real second; 1 compresses nothing.")
    ] = 15.0,
    gpu_nodes: Annotated[int, typer.Option(min=0, max=20, help="Simulated GPU nodes.")] = 3,
    gpus: Annotated[int, typer.Option(min=0, max=16, help="GPUs on each of them.")] = 4,
    cpu_nodes: Annotated[int, typer.Option(min=0, max=20, help="Nodes without a GPU.")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be started; start nothing.")
    ] = False,
    isolation: Annotated[
        str, typer.Option(help="bubblewrap, or none: no isolation, for your own code only.")
    ] = "bubblewrap",
    node_image: Annotated[str, typer.Option(help="kind: the image of its nodes; else kind's own.")] = "",
    node_patches: Annotated[
        Path | None, typer.Option(help="kind: kubeadm patches that this machine's nodes need.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="kind: leave the nodes of a start that failed.")
    ] = False,
) -> None:
    """Start a lab: a real control plane on 127.0.0.1, pods as processes. No Docker, no root, no GPU.

    With --provider kind: real kubelets in containers of Docker or Podman, GPUs still simulated.

    Safe to repeat: what runs already is left alone, what died is started again.
    """
    spec = Spec(
        name=name or default_name(),
        clock=clock,
        gpu_nodes=gpu_nodes,
        gpus_per_node=gpus,
        cpu_nodes=cpu_nodes,
        isolation=isolation,
        node_image=node_image,
        node_patches=str(node_patches.absolute()) if node_patches else "",
        keep=keep,
    )
    if isolation not in {"bubblewrap", "none"}:
        raise BadInput(f"There is no isolation called {isolation!r}.", fix="Use bubblewrap or none.")
    if dry_run:
        out.print(_dry_run(spec), markup=False)
        return
    where = catalog.get(provider, name)
    why = where.missing()
    if why:
        raise ProviderError(why)
    began = time.monotonic()
    kubeconfig = where.up(spec, report)
    err.print(f"[bold green]up[/] in {time.monotonic() - began:.1f} s", end=" ")
    err.print(f"(simulated: nodes, GPUs and their timing; CLOCK={clock:g})", markup=False)
    lab = (f" --provider {provider}" if provider != "embedded" else "") + (f" --name {name}" if name else "")
    err.print(f"  labkit status{lab}          what runs", markup=False)
    err.print(f"  labkit kubectl{lab} get nodes   kubectl for this lab", markup=False)
    err.print(f"  export KUBECONFIG={shlex.quote(str(kubeconfig))}", markup=False)


@app.command()
def down(name: Name = None, provider: ProviderName = "embedded") -> None:
    """Take a lab down: every process ends, every file but the logs goes. Safe to repeat."""
    began = time.monotonic()
    catalog.get(provider, name).down(report)
    err.print(f"[bold]down[/] in {time.monotonic() - began:.1f} s")


@app.command()
def status(
    name: Name = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show every process of a lab, where it listens and what it is for. Exit 1 if one does not work."""
    lab = Embedded(name)
    spec, ports = lab.layout.load()
    listens = {component: getattr(ports, field) for field, component in COMPONENT.items()}
    rows = []
    for component, proc, state in lab.states():
        row = {"component": component.name, "state": state, "pid": proc.pid if proc else None}
        rows.append(row | {"port": listens.get(component.name), "does": component.why})
    supervisor = _proc.Proc.load(lab.layout.record("supervisor"))
    lives = bool(supervisor and supervisor.alive())
    rows.append(
        {
            "component": "supervisor",
            "state": "ready" if lives else "dead",
            "pid": supervisor.pid if supervisor and lives else None,
            "port": None,
            "does": "starts again what dies (`labkit up` starts the supervisor again)",
        }
    )
    if as_json:
        out.print_json(json.dumps({"name": spec.name, "clock": spec.clock, "components": rows}))
    else:
        out.print(_status_table(f"lab {spec.name} · CLOCK={spec.clock:g} · {lab.layout.dir}", rows))
    if any(row["state"] != "ready" for row in rows):
        err.print(_what_helps(lab.layout), markup=False)
        raise typer.Exit(1)


@app.command()
def logs(
    component: Annotated[
        str | None, typer.Argument(help="kube-apiserver, node-agent, …; all if left out")
    ] = None,
    name: Name = None,
    lines: Annotated[int, typer.Option("--tail", min=1, help="Lines from the end.")] = 40,
    into: Annotated[Path | None, typer.Option(help="Copy all logs into this folder instead.")] = None,
) -> None:
    """Show the end of the logs of the lab's own parts (of pods: labkit kubectl logs)."""
    lab = Embedded(name)
    if into:
        for path in lab.logs(into):
            out.print(str(path), markup=False)
        return
    known = sorted(path.stem for path in lab.layout.logs.glob("*.log"))
    if not known:
        lab.layout.load()  # raises, with the fix, where there is no lab
    if component and component not in known:
        raise BadInput(f"There is no log of {component!r}.", fix=f"Known: {', '.join(known) or 'none yet'}.")
    for stem in [component] if component else known:
        out.print(f"== {stem}", style="bold")
        text = lab.layout.log(stem).read_text(errors="replace")
        out.print("\n".join(text.splitlines()[-lines:]), markup=False)


@app.command("ls")
def list_labs() -> None:
    """List the labs of this user."""
    table = Table("LAB", "STATE", "CLOCK", "FOLDER", box=None)
    for folder in (path.parent for path in sorted(home().glob("*/lab.json"))):
        try:
            lab = Embedded(folder.name)
            row = ("up" if lab.running() else "not running", f"{lab.spec().clock:g}")
        except LabError as error:  # one lab that can't be read must not hide the others
            err.print(error.what, markup=False)
            row = ("unreadable", "-")
        table.add_row(folder.name, *row, str(folder))
    out.print(table)
    if not table.row_count:
        err.print("No labs yet. Start one: labkit up", markup=False)


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def kubectl() -> None:
    """Run kubectl against a lab: labkit kubectl get pods -w.

    Another lab than the default one: labkit kubectl --name LAB get pods. All else is kubectl's own.
    """
    # As it was typed: the parser would take the `--` out of `exec POD -- COMMAND`.
    words = sys.argv[sys.argv.index("kubectl") + 1 :]
    name = default_name()
    if words[:1] == ["--name"]:
        name, words = (words[1] if len(words) > 1 else ""), words[2:]
    elif words and words[0].startswith("--name="):
        name, words = words[0].removeprefix("--name="), words[1:]
    lab = Embedded(name or default_name())
    layout = lab.layout
    layout.load()
    binary = toolchain.ensure(["kubectl"])["kubectl"]
    env = {k: v for k, v in os.environ.items() if k.upper() not in {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}}
    env["KUBECONFIG"] = str(layout.kubeconfig)
    status = _proc.attached([binary, *words], env=env)
    if status and not lab.running():  # then kubectl's own words lead astray
        err.print(f"Not all of lab {layout.dir.name!r} runs. {_what_helps(layout)}", markup=False)
    raise typer.Exit(status)


def _what_helps(layout: Layout) -> str:
    """What to do about a lab of which not all works."""
    free = shutil.disk_usage(layout.dir).free // 2**20
    if free < AGAIN_MIB:
        return f"Only {free} MiB are free under {layout.dir}: free some space, then run `labkit up` again."
    return "`labkit up` starts again what does not run; `labkit logs NAME` shows why a part ended."


def _dry_run(spec: Spec) -> str:
    lab = Embedded(spec.name)
    names = [*COMPONENT.values(), "etcd", "kubectl"]
    binaries = {binary: Path("/BIN") / binary for binary in names}
    symbolic = type("SymbolicPorts", (), {field: f"${field.upper()}_PORT" for field in COMPONENT})()
    components = lab.components(spec, symbolic, binaries)
    return transcript(lab.layout, spec, components, "/BIN")


def _status_table(title: str, rows: list[dict[str, object]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("COMPONENT", "STATE", "PID", "PORT", "WHAT IT DOES"):
        table.add_column(heading, no_wrap=heading != "WHAT IT DOES")
    for row in rows:
        style = "" if row["state"] == "ready" else "bold red"
        cells = (row["component"], row["state"], row["pid"] or "-", row["port"] or "-", row["does"])
        table.add_row(*(str(c) for c in cells), style=style)
    if shutil.get_terminal_size().columns < 80:
        table.columns.pop()
    return table
