"""localcluster status, logs, kubectl: inspect a running lab."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from localcluster import catalog, spawn
from localcluster.cli.cluster import Name, ProviderName
from localcluster.cli.console import err, out
from localcluster.errors import BadInput
from localcluster.layout import AGAIN_MIB, default_name, home
from localcluster.provider import Part, Provider
from localcluster.stored import plain
from localcluster.toolchain import ladder

app = typer.Typer()

_PROFILE = (
    "If Pod Security refused SYS_PTRACE: the namespace enforces `baseline`, and kubectl's own profile asks "
    "for more. `kubectl debug --profile=baseline …` works."
)


@app.command()
def status(
    name: Name = None,
    provider: ProviderName = "embedded",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show every part of a lab, where it listens and what it is for. Exit status 1: one does not work."""
    where = catalog.get(provider, name)
    spec, parts = where.spec(), where.parts()
    if as_json:
        components = [{"component": p.name, **plain(p)} for p in parts]
        out.print_json(json.dumps({"name": spec.name, "clock": spec.clock, "components": components}))
    else:
        out.print(_table(f"lab {spec.name} · {provider} · CLOCK={spec.clock:g}", parts))
        out.print(_registry_line(where, spec.name), markup=False, highlight=False)
    if any(part.state != "ready" for part in parts):
        err.print(_what_helps(provider), markup=False)
        raise typer.Exit(1)


@app.command()
def logs(
    component: Annotated[
        str | None, typer.Argument(help="kube-apiserver, node-agent, …; default: all")
    ] = None,
    name: Name = None,
    provider: ProviderName = "embedded",
    lines: Annotated[int, typer.Option("--tail", min=1, help="Number of lines from the end.")] = 40,
    into: Annotated[Path | None, typer.Option(help="Copy all logs to this folder instead.")] = None,
) -> None:
    """Show the end of the logs of the lab's own parts (of pods: kubectl logs)."""
    where = catalog.get(provider, name)
    if into:
        for path in where.logs(into):
            out.print(str(path), markup=False)
        return
    with tempfile.TemporaryDirectory(prefix="labkit-") as folder:
        known = {path.stem: path for path in where.logs(Path(folder))}
        if not known:
            where.kubeconfig()  # raises, with the fix, where there is no lab
        if component and component not in known:
            fix = f"Known: {', '.join(known) or 'none yet'}."
            raise BadInput(f"There is no log of {component!r}.", fix=fix)
        for stem in [component] if component else known:
            out.print(f"== {stem}", style="bold")
            text = known[stem].read_text(errors="replace")
            out.print("\n".join(text.splitlines()[-lines:]), markup=False)


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def kubectl() -> None:
    """Run kubectl against a lab, as in `kubectl get pods -w`.

    For another lab: kubectl --provider kind --name LAB … Everything else is passed to kubectl.
    """
    # As it was typed: the parser would take the `--` out of `exec POD -- COMMAND`.
    options, words = _ours(sys.argv[sys.argv.index("kubectl") + 1 :])
    provider = options.get("--provider", "embedded")
    where = catalog.get(provider, options.get("--name") or None)
    kubeconfig = where.kubeconfig()
    binary = ladder.ensure(["kubectl"])["kubectl"]
    env = {k: v for k, v in os.environ.items() if k.upper() not in {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}}
    status = spawn.attached([binary, *words], env=env | {"KUBECONFIG": str(kubeconfig)})
    if status and "debug" in words and not any(word.startswith("--profile") for word in words):
        err.print(_PROFILE, markup=False)
    if status and not _runs(where):  # then kubectl's own message is misleading
        err.print(
            f"Lab {where.spec().name!r} is not completely running. {_what_helps(provider)}", markup=False
        )
    raise typer.Exit(status)


def _ours(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """The options before kubectl's arguments that select the lab, and the rest."""
    found: dict[str, str] = {}
    while words and words[0].partition("=")[0] in {"--name", "--provider"}:
        key, equals, value = words[0].partition("=")
        found[key] = value if equals else "".join(words[1:2])
        words = words[1:] if equals else words[2:]
    return found, words


def _runs(where: Provider) -> bool:
    return all(part.state == "ready" for part in where.parts())


def _what_helps(provider: str) -> str:
    """What to do about a lab that is not completely running."""
    option = "" if provider == "embedded" else f" --provider {provider}"
    free = shutil.disk_usage(home()).free // 2**20
    if free < AGAIN_MIB:
        return f"Only {free} MiB are free under {home()}: free some space, then run "
        f"`localcluster up{option}` again."
    return (
        f"`localcluster up{option}` starts what is not running; "
        f"`localcluster logs{option} NAME` shows why a part ended."
    )


def _registry_line(where: Provider, name: str) -> str:
    """Where images go, and the command that logs in."""
    access = where.registry()
    if access is None:
        return "images: from the registries that the cluster's owner allows"
    if access.builder:
        return f"images: {access.host}; images are built and pushed with {access.builder}"
    option = "" if name == default_name() else f" --lab {name}"
    return f"images: {access.host}; log in once with `localcluster image login{option}` (no password needed)"


def _table(title: str, parts: list[Part]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("COMPONENT", "STATE", "PID", "PORT", "WHAT IT DOES"):
        table.add_column(heading, no_wrap=heading != "WHAT IT DOES")
    for part in parts:
        cells = (part.name, part.state, part.pid or "-", part.port or "-", part.does)
        table.add_row(*(str(c) for c in cells), style="" if part.state == "ready" else "bold red")
    if shutil.get_terminal_size().columns < 80:
        table.columns.pop()
    return table
