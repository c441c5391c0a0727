"""Runs notebooks through papermill, one after the other, each in a kernel of its own.

Kernels talk over Unix sockets in a folder unique to the run: kernels on TCP race for ports. One notebook that
fails never keeps the next from running. Refuses to judge: verdicts stand in the executed notebook.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from labkit.notebooks import record
from labkit.notebooks.answers import for_learners
from labkit.notebooks.pages import write_page
from labkit.notebooks.record import Record
from labkit.notebooks.strip import read

CELL_TIMEOUT = 900  # real seconds: longer than any cell of the course takes at CLOCK=15
WHY_IT_ENDED = {
    CellTimeoutError: f"a cell ran for {CELL_TIMEOUT} s, longer than any should; look for what it waits for",
    DeadKernelError: "the notebook's own process ended: a cell ended it, or the machine had no memory left",
}
KERNEL = "python3"  # jupyter's name for the interpreter that runs us

Progress = Callable[[str, int, int], None]
"""Takes the notebook's name, how many code cells are done, and how many there are."""


def quiet(_name: str, _done: int, _of: int) -> None:
    """A `Progress` for callers that want none."""


@dataclass(frozen=True)
class Plan:
    """What to run, with which parameters, and where the results go."""

    notebooks: tuple[Path, ...]
    out: Path
    root: Path
    """The course's folder, in which kernels work, so that `manifests/…` means the same everywhere."""
    parameters: dict[str, Any] = field(default_factory=dict)


def run(plan: Plan, progress: Progress = quiet) -> list[Record]:
    """Run all of them; executed notebooks, pages and plots lie under `plan.out` afterwards."""
    plan.out.mkdir(parents=True, exist_ok=True)
    return [_run_or_again(path, plan, progress) for path in plan.notebooks]


def _run_or_again(path: Path, plan: Plan, progress: Progress) -> Record:
    """Once more where nothing was wrong but something could not be judged: the machine was too busy."""
    first = run_one(path, plan, progress)
    if first.error or first.count("failed") or not first.count("inconclusive"):
        return first
    return run_one(path, plan, progress)


def run_one(path: Path, plan: Plan, progress: Progress = quiet) -> Record:
    """Run one notebook and read its record; what it raised stands in the record."""
    target = plan.out / path.name
    target.unlink(missing_ok=True)
    began = time.monotonic()
    ended = ""
    try:
        # An error of a cell stands in the executed notebook, where `record.of` finds it.
        with contextlib.suppress(PapermillExecutionError):
            _execute(path, target, plan, _counter(path, progress))
    except (DeadKernelError, CellTimeoutError) as error:
        ended = f"{type(error).__name__}: {WHY_IT_ENDED[type(error)]}"
    found = record.of(target, seconds=time.monotonic() - began)
    if ended:
        found = replace(found, error=ended)
    record.save_plots(target, plan.out / "plots")
    write_page(target)
    return found


def _as_asked(path: Path, plan: Plan, folder: Path) -> Path:
    """The notebook itself, or a copy without solutions where exercises are asked for."""
    if plan.parameters.get("ANSWERS") != "exercises":
        return path
    copy = folder / path.name
    nbformat.write(for_learners(read(path)), copy)
    return copy


def _execute(path: Path, target: Path, plan: Plan, on_cell: Callable[..., None]) -> None:
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="labkit-") as sockets:
        # papermill 2.7 names its own future changes; they are not about our notebooks.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"papermill\..*")
        papermill.execute_notebook(
            str(_as_asked(path, plan, Path(sockets))),
            str(target),
            parameters=plan.parameters,
            kernel_name=KERNEL,
            language="python",
            progress_bar=False,
            cwd=str(plan.root),
            execution_timeout=CELL_TIMEOUT,
            config=Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}}),
            on_cell_executed=on_cell,
        )


def _counter(path: Path, progress: Progress) -> Callable[..., None]:
    total = 1 + sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in read(path).cells)
    done = 0

    def count(**_: Any) -> None:
        nonlocal done
        done += 1
        progress(path.stem, done, total)

    return count
