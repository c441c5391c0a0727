"""Runs notebooks through papermill, each in a kernel of its own; on several labs, several at once.

Kernels talk over Unix sockets in a folder unique to the run: kernels on TCP race for ports. One notebook that
fails never keeps the next from running. Nothing is judged here: verdicts are in the executed notebook.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.queues import SimpleQueue
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
    CellTimeoutError: f"a cell ran for {CELL_TIMEOUT} s, longer than any should; check what it waits for",
    DeadKernelError: "the notebook's kernel died: a cell ended it, or the machine ran out of memory",
}
KERNEL = "python3"  # jupyter's name for the interpreter that runs us

Progress = Callable[[str, int, int], None]
"""Takes the notebook's name, how many code cells are done, and how many there are."""


def quiet(_name: str, _done: int, _of: int) -> None:
    """A `Progress` for callers that want no output."""


@dataclass(frozen=True)
class Plan:
    """What to run, with which parameters, and where the results go.

    A kernel works in the folder of its notebook, as JupyterLab's kernels do.
    """

    notebooks: tuple[Path, ...]
    out: Path
    parameters: dict[str, Any] = field(default_factory=dict)
    labs: tuple[str, ...] = ()
    """Labs to run on, one notebook at a time on each; none: the lab that `LABKIT_LAB` names."""


def run(plan: Plan, progress: Progress = quiet) -> list[Record]:
    """Run all of them; executed notebooks, pages and plots are then under `plan.out`."""
    plan.out.mkdir(parents=True, exist_ok=True)
    if plan.labs:
        return _side_by_side(plan, progress)
    return [_run_or_again(path, plan, progress) for path in plan.notebooks]


def _side_by_side(plan: Plan, progress: Progress) -> list[Record]:
    """A process for each lab takes the next notebook when it is done with one; `progress` is copied."""
    start = multiprocessing.get_context("spawn")
    labs = start.SimpleQueue()
    for lab in plan.labs:
        labs.put(lab)
    with ProcessPoolExecutor(len(plan.labs), start, _work_on, (labs,)) as workers:
        return list(workers.map(partial(_run_or_again, plan=plan, progress=progress), plan.notebooks))


def _work_on(labs: SimpleQueue[str]) -> None:
    """Set up a new process: its lab, for every kernel that it starts."""
    os.environ["LABKIT_LAB"] = labs.get()


def _run_or_again(path: Path, plan: Plan, progress: Progress) -> Record:
    """Run it again if nothing was wrong but something was inconclusive: the machine was too busy."""
    first = run_one(path, plan, progress)
    if first.error or first.count("failed") or not first.count("inconclusive"):
        return first
    return run_one(path, plan, progress)


def run_one(path: Path, plan: Plan, progress: Progress = quiet) -> Record:
    """Run one notebook and read its record; the record includes what it raised."""
    target = plan.out / path.name
    target.unlink(missing_ok=True)
    began = time.monotonic()
    ended = ""
    try:
        # A cell's error is in the executed notebook, where `record.of` finds it.
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
    """The notebook itself, or a copy without solutions if exercises are asked for."""
    if plan.parameters.get("ANSWERS") != "exercises":
        return path
    copy = folder / path.name
    nbformat.write(for_learners(read(path)), copy)
    return copy


def _execute(path: Path, target: Path, plan: Plan, on_cell: Callable[..., None]) -> None:
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="labkit-") as sockets:
        # papermill 2.7 warns about its own future changes; they don't concern our notebooks.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"papermill\..*")
        papermill.execute_notebook(
            str(_as_asked(path, plan, Path(sockets))),
            str(target),
            parameters=plan.parameters,
            kernel_name=KERNEL,
            language="python",
            progress_bar=False,
            cwd=str(path.parent.resolve()),
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
