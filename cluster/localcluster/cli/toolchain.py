"""localcluster toolchain …: the programs of the control plane on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from localcluster.cli.console import columns, err, out
from localcluster.errors import BadInput, ToolchainError
from localcluster.toolchain import bundle as bundles
from localcluster.toolchain import locate, progress
from localcluster.toolchain.cache import Cache, Entry
from localcluster.toolchain.ladder import Ladder, ensure
from localcluster.toolchain.versions import cache_root, pins
from localcluster.toolchain.wheels import wheels

REQUIREMENTS = Path("cluster/images/model-server/requirements.txt")

app = typer.Typer(
    name="toolchain",
    no_args_is_help=True,
    rich_markup_mode=None,
    help=(
        "The programs of the control plane: list them, install them, and copy them to other machines.\n\n"
        "Each is taken from the first of these places that has it: the folder LABKIT_BIN_DIR; "
        "this environment, conda's and PATH (the pinned version only); the cache; a download checked against "
        "the publisher's SHA-256; a build from the pinned Go modules (10 minutes on 2 cores, only once).\n\n"
        "Without a network: run toolchain bundle lab.tar.zst on a machine that has one, copy the file, "
        "then run toolchain install lab.tar.zst."
    ),
)

Names = Annotated[list[str] | None, typer.Argument(help="Only these programs (names as in `ls`).")]
All = Annotated[bool, typer.Option("--all", help="Include the optional programs.")]


@app.command()
def fetch(
    names: Names = None,
    everything: All = False,
    source: Annotated[
        Path | None, typer.Option("--from", help="Install this bundle first, then fetch what is missing.")
    ] = None,
) -> None:
    """Find, download or build the programs. Safe to repeat, to interrupt, and to run in parallel.

    Those that `ls` calls optional are skipped, unless you name them or use --all.
    """
    if source is not None:
        install(source)
    if everything:
        names = [*pins().wanted(optional=True), "kubectl"]
    for name, path in ensure(names or None).items():
        out.print(f"{name}\t{path}", markup=False)


@app.command()
def build(names: Names = None, everything: All = False) -> None:
    """Build from the pinned Go modules, without downloads or programs on PATH; cached ones stay.

    Needs about 9 GB of disk while it works; half a gigabyte of it stays if it downloaded the compiler. If
    interrupted, it continues where it stopped.
    """
    ladder = Ladder(use_installed=False, use_downloads=False)
    for name, path in ladder.ensure(names or ladder.pins.wanted(optional=everything)).items():
        out.print(f"{name}\t{path}", markup=False)


@app.command("ls")
def list_programs(
    full: Annotated[bool, typer.Option("--verify", help="Check the SHA-256 of every cached file.")] = False,
) -> None:
    """List the pinned programs, where each one is, and where it came from. Fetches nothing."""
    ladder = Ladder()
    rows = [("PROGRAM", "VERSION", "ORIGIN", "PATH")]
    broken = False
    for program in ladder.pins.programs.values():
        path = ladder.look([program.name]).get(program.name)
        entry = ladder.cached(program, full=full)
        broken |= ladder.cache.find(program.key()) is not None and entry is None
        in_cache = entry is not None and path == entry.folder / program.name
        origin = entry.about.get("origin", "") if entry and in_cache else "installed" if path else ""
        absent = f"missing (optional: {program.optional})" if program.optional else "missing"
        absent = absent if program.here else f"not for this system, only for {', '.join(program.platforms)}"
        rows.append((program.name, program.version, origin, str(path or absent)))
    kubernetes = ladder.pins.releases["kubernetes"]
    rows.append(("kubectl", kubernetes, "installed, roughly that version", str(locate.kubectl(kubernetes))))
    columns(rows)
    if broken:
        raise ToolchainError("The cache is damaged.", fix="Run `localcluster toolchain fetch` to repair it.")


@app.command()
def which(name: Annotated[str, typer.Argument(help="Name of a program (see `ls`).")]) -> None:
    """Print the path of one installed program: "$(… toolchain which etcd)" --version."""
    ladder = Ladder()
    if name == "kubectl":
        path: Path | None = locate.kubectl(ladder.pins.releases["kubernetes"])
    else:
        path = ladder.look([name]).get(name)
    if path is None:
        raise ToolchainError(
            f"{name} is not installed yet.", fix=f"Run `localcluster toolchain fetch {name}`."
        )
    print(path)  # noqa: T201 - for $( ): no colour, no folding


@app.command()
def prune() -> None:
    """Remove the programs of other versions of the course from the cache.

    First take down labs that use them: their processes keep running, but can't be restarted.
    """
    ladder = Ladder()
    needed = {program.key() for program in ladder.pins.programs.values()}
    with ladder.cache.writing(ladder.progress):
        for entry in ladder.cache.entries():
            if entry.key not in needed:
                ladder.cache.remove(entry)
                out.print(f"removed {entry.key}", markup=False)


@app.command()
def bundle(
    file: Annotated[Path, typer.Argument(help="File to write; must end in .tar.zst or .tar.gz.")],
    everything: All = False,
) -> None:
    """Pack the cached programs (and the packages for image builds) into one file for a whole class.

    For machines of the same system and the same version of the course. Prints the file's SHA-256: give it to
    the class separately from the file.
    """
    tell = progress.on()
    ladder = Ladder(progress=tell, use_installed=False)
    ladder.ensure(ladder.pins.wanted(optional=everything))
    entries = [entry for p in ladder.pins.programs.values() if (entry := ladder.cached(p))]
    digest = bundles.pack(file, [*entries, *_wheels(tell)], tell)
    out.print(f"{digest}  {file}", markup=False)


@app.command()
def install(
    file: Annotated[Path, typer.Argument(help="A bundle made by `toolchain bundle`.")],
    sha256: Annotated[
        str, typer.Option("--sha256", help="The checksum that `bundle` printed; any other file is refused.")
    ] = "",
) -> None:
    """Install a bundle's programs into the cache. Every file is checked first: all are installed, or none."""
    if sha256 and len(sha256) != 64:
        raise BadInput("--sha256 takes 64 hexadecimal digits.")
    needed = [program.key() for program in pins().programs.values()]
    added = bundles.install(file, cache_root(), needed, progress.on(), sha256=sha256)
    for key in added:
        out.print(key, markup=False)
        if "-cpython-" in key and f"-{sys.implementation.cache_tag}-" not in key:
            err.print(
                f"{key}: packages for another Python version; image builds with yours will need a network."
            )
    if not added:
        err.print("Everything was already in the cache.")


def _wheels(tell: progress.Progress) -> list[Entry]:
    """The cached packages for image builds, with those of the course's own image in its checkout."""
    if REQUIREMENTS.is_file():
        wheels(REQUIREMENTS, progress=tell)
    return Cache(cache_root() / "wheels").entries()
