"""What every command line of ours does: UTF-8, errors in one shape, Ctrl-C without a traceback."""

from __future__ import annotations

import locale
import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Annotated

import typer

from localcluster.cli.console import Terminal, err, fail, out, refused_by_the_system
from localcluster.errors import LabError
from localcluster.toolchain.versions import kubernetes

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

NONE: Mapping[str, str] = {}


def add(
    app: typer.Typer, words: list[str], *, groups: Mapping[str, str], alone: Mapping[str, str] = NONE
) -> None:
    """Add the group or command (`alone`) on the command line, or all of them if there is none of ours.

    Each is a module that is imported only if needed: the imports of `image` take more than a tenth of the
    time of `up`.
    """
    if words[:1] == ["--version"]:
        return
    first = next((word for word in words if not word.startswith("-")), "")
    commands = {(c.name or (c.callback.__name__ if c.callback else "")) for c in app.registered_commands}
    ours = {**alone, **groups}
    for name in (first,) if first in ours else () if first in commands else ours:
        added = import_module(ours[name]).app
        if name in groups:
            app.add_typer(added)
        else:
            app.registered_commands += added.registered_commands


def speak_utf8() -> None:
    """Restart in UTF-8 if the locale is different: manifests and messages are UTF-8 everywhere."""
    if locale.getpreferredencoding(do_setlocale=False).lower().replace("-", "") != "utf8":
        words = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, words, {**os.environ, "PYTHONUTF8": "1"})  # noqa: S606 - ourselves


def run(app: typer.Typer, complete: Callable[[list[str]], None]) -> None:
    """Run the command on the command line, and exit with its status; `complete` adds the needed commands."""
    speak_utf8()
    Terminal.program = app.info.name or Terminal.program
    app.callback()(_options)
    complete(sys.argv[1:])
    try:
        app()  # ends the process itself, with the status that the command chose
    except LabError as error:
        sys.exit(fail(error))
    except OSError as error:
        sys.exit(fail(refused_by_the_system(error)))
    except SystemExit as leave:
        if leave.code == INTERRUPTED:
            err.print("interrupted")
        raise


def _tell_version(wanted: bool) -> None:
    if wanted:
        program = Terminal.program
        out.print(f"{program} {version(program)} (Kubernetes {kubernetes()})", markup=False, highlight=False)
        raise typer.Exit


_VERSION = typer.Option("--version", is_eager=True, callback=_tell_version, help="Show the version and exit.")


def _options(_version: Annotated[bool, _VERSION] = False) -> None:
    pass
