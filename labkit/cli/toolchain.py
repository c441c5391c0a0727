"""labkit toolchain …: the programs of the control plane on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from labkit import toolchain
from labkit.cli.console import columns, err, out
from labkit.errors import BadInput, ToolchainError
from labkit.toolchain import bundle as bundles
from labkit.toolchain import locate, progress
from labkit.toolchain.cache import Cache, Entry
from labkit.toolchain.versions import CLUSTER

app = typer.Typer(
    name="toolchain",
    no_args_is_help=True,
    rich_markup_mode=None,
    help=(
        "The programs of the control plane: which there are, where they come from, how to carry them on.\n\n"
        "Each is looked for on a ladder, and the first rung that has it wins: the folder LABKIT_BIN_DIR; "
        "this environment, conda's and PATH (the pinned version only); the cache; a download checked against "
        "the publisher's SHA-256; a build from the pinned Go modules (10 minutes on 2 cores, only once).\n\n"
        "No network? On a machine that has one: labkit toolchain bundle lab.tar.zst. Carry the file over, "
        "then: labkit toolchain install lab.tar.zst."
    ),
)

Names = Annotated[list[str] | None, typer.Argument(help="Some programs only, as `ls` names them.")]
All = Annotated[bool, typer.Option("--all", help="The optional programs, too.")]


@app.command()
def fetch(
    names: Names = None,
    everything: All = False,
    source: Annotated[
        Path | None, typer.Option("--from", help="Install this bundle first; then only what is missing.")
    ] = None,
) -> None:
    """Make the programs ready: found, downloaded or built. Safe to repeat, to break off, and to run twice.

    Those that `ls` calls optional are left out, unless you name them or say --all.
    """
    if source is not None:
        install(source)
    if everything:
        names = [*toolchain.pins().wanted(optional=True), "kubectl"]
    for name, path in toolchain.ensure(names or None).items():
        out.print(f"{name}\t{path}", markup=False)


@app.command()
def build(names: Names = None, everything: All = False) -> None:
    """Build from the pinned Go modules, without asking for downloads or looking at PATH; cached ones stay.

    Needs about 9 GB of disk while it works, of which half a gigabyte stays where labkit fetched the
    compiler. Broken off, it goes on where it stopped.
    """
    ladder = toolchain.Ladder(use_installed=False, use_downloads=False)
    for name, path in ladder.ensure(names or ladder.pins.wanted(optional=everything)).items():
        out.print(f"{name}\t{path}", markup=False)


@app.command("ls")
def list_programs(
    full: Annotated[bool, typer.Option("--verify", help="Check the SHA-256 of every cached file.")] = False,
) -> None:
    """List the pinned programs, where each one is, and where it came from. Fetches nothing."""
    ladder = toolchain.Ladder()
    rows = [("PROGRAM", "VERSION", "ORIGIN", "PATH")]
    broken = False
    for program in ladder.pins.programs.values():
        path = ladder.look([program.name]).get(program.name)
        entry = ladder.cached(program, full=full)
        broken |= ladder.cache.find(program.key()) is not None and entry is None
        in_cache = entry is not None and path == entry.folder / program.name
        origin = entry.about.get("origin", "") if entry and in_cache else "installed" if path else ""
        absent = f"missing (optional: {program.optional})" if program.optional else "missing"
        rows.append((program.name, program.version, origin, str(path or absent)))
    kubernetes = ladder.pins.releases["kubernetes"]
    rows.append(("kubectl", kubernetes, "installed, of about that version", str(locate.kubectl(kubernetes))))
    columns(rows)
    if broken:
        raise ToolchainError("The cache is damaged.", fix="Run `labkit toolchain fetch`: it mends it.")


@app.command()
def which(name: Annotated[str, typer.Argument(help="A program, as `ls` names it.")]) -> None:
    """Print the path of one program that is here already: "$(labkit toolchain which etcd)" --version."""
    ladder = toolchain.Ladder()
    if name == "kubectl":
        path: Path | None = locate.kubectl(ladder.pins.releases["kubernetes"])
    else:
        path = ladder.look([name]).get(name)
    if path is None:
        raise ToolchainError(f"{name} is not here yet.", fix=f"Run `labkit toolchain fetch {name}`.")
    print(path)  # noqa: T201 - for $( ): no colour, no folding


@app.command()
def prune() -> None:
    """Remove what other versions of the course left in the cache.

    Take down the labs that still run from it first: their processes go on, but can't be restarted.
    """
    ladder = toolchain.Ladder()
    needed = {program.key() for program in ladder.pins.programs.values()}
    with ladder.cache.writing(ladder.progress):
        for entry in ladder.cache.entries():
            if entry.key not in needed:
                ladder.cache.remove(entry)
                out.print(f"removed {entry.key}", markup=False)


@app.command()
def bundle(
    file: Annotated[Path, typer.Argument(help="Where to: a name that ends in .tar.zst or .tar.gz.")],
    everything: All = False,
) -> None:
    """Pack the cached programs (and the packages for image builds) into one file for a whole class.

    For machines of the same system and the same version of the course. Prints the file's SHA-256: give it to
    the class by another way than the file.
    """
    tell = progress.on()
    ladder = toolchain.Ladder(progress=tell, use_installed=False)
    ladder.ensure(ladder.pins.wanted(optional=everything))
    entries = [entry for p in ladder.pins.programs.values() if (entry := ladder.cached(p))]
    digest = bundles.pack(file, [*entries, *_wheels(tell)], tell)
    out.print(f"{digest}  {file}", markup=False)


@app.command()
def install(
    file: Annotated[Path, typer.Argument(help="A bundle that `labkit toolchain bundle` made.")],
    sha256: Annotated[
        str, typer.Option("--sha256", help="What `bundle` printed; refuses any other file.")
    ] = "",
) -> None:
    """Put a bundle's programs into the cache. Every file is checked first: all of it goes in, or nothing."""
    if sha256 and len(sha256) != 64:
        raise BadInput("--sha256 takes 64 hexadecimal digits.")
    needed = [program.key() for program in toolchain.pins().programs.values()]
    added = bundles.install(file, toolchain.cache_root(), needed, progress.on(), sha256=sha256)
    for key in added:
        out.print(key, markup=False)
        if "-cpython-" in key and f"-{sys.implementation.cache_tag}-" not in key:
            err.print(f"{key}: packages for another Python; image builds with yours will need a network.")
    if not added:
        err.print("All of it was in the cache already.")


def _wheels(tell: progress.Progress) -> list[Entry]:
    """The cached packages for image builds, first of all those of the course's own image."""
    requirements = CLUSTER / "images" / "model-server" / "requirements.txt"
    if requirements.is_file():
        toolchain.wheels(requirements, progress=tell)
    return Cache(toolchain.cache_root() / "wheels").entries()
