"""One notebook of one student: its kernel in a jail, its cells one after the other, the broker beside it.

A cell that raises does not end it; a cell that takes too long or a process that died does. What a cell prints
is discarded unread. The kernel's own account of the run is never trusted: the broker knows what it saw.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import zmq
import zmq.asyncio
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from labkit_grading.judging.bundle import Ran
from labkit_grading.judging.reasons import MOST, of_cell, reasons, retold
from labkit_grading.kernel.jail import Jail
from labkit_grading.submissions.remark import Remark
from labkit_grading.verbs.broker import Broker
from localcluster.background import Background, every
from localcluster.node.process import bounds

KERNEL = "student"
MESSAGE = 8 * 2**20  # bytes: a kernel that sends more at once is cut off
UNREAD = frozenset({"stream", "display_data", "execute_result", "update_display_data", "clear_output"})
MOST_MESSAGES, MOST_PRINTED = 10_000, 16 * 2**20
MOST_FILES, MOST_BYTES = 1000, 64 * 2**20  # in the folder of sockets
ANSWERS = "-hands"
"""How the id of a cell of ours ends: it asks for the answers of the one before it."""
MOST_ERRORS = 3  # how many cells that raised are listed in the report


@dataclass(frozen=True)
class Patience:
    """Time limits, in real seconds."""

    cell: float = 300.0
    notebook: float = 900.0
    student: float = 7200.0


class Client(NotebookClient):  # type: ignore[misc]
    """nbclient without the outputs: it only counts them, in messages and characters."""

    messages, printed = 0, 0

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Drop outputs; keep errors and the kernel's state."""
        kind = str(msg["msg_type"])
        if kind in UNREAD or kind.startswith("comm_"):
            self.messages += 1
            self.printed += len(str(msg["content"].get("text", "")))
            return None
        return super().process_message(msg, cell, cell_index)

    @property
    def flooded(self) -> bool:
        """Whether there was more output than any honest notebook produces."""
        return self.messages > MOST_MESSAGES or self.printed > MOST_PRINTED

    @contextlib.asynccontextmanager
    async def async_setup_kernel(self, **kwargs: Any) -> AsyncIterator[None]:
        """As in nbclient, except that a signal to the grader ends the grader, not the student's kernel."""
        await self.async_start_new_kernel(**kwargs)
        await self.async_start_new_kernel_client()
        yield


class Bounded(AsyncKernelClient):
    """A connection to a kernel that closes on a message too large for our memory."""

    def _context_default(self) -> zmq.asyncio.Context:
        context = super()._context_default()
        context.setsockopt(zmq.MAXMSGSIZE, MESSAGE)
        return context


@dataclass
class Sitting:
    """Which notebook is run, for whom, with which parameters."""

    name: str
    notebook: Any
    broker: Broker
    edition: Path
    seat: Path
    parameters: dict[str, Any] = field(default_factory=dict)
    patience: Patience = Patience()
    _asks: dict[str, str] = field(default_factory=dict)
    """By our own cells: the student's cell before it."""

    def run(self) -> Ran:
        """Run it to its end, however it ends."""
        began = time.monotonic()
        ended = ""
        self.broker.parameters = self.parameters
        with tempfile.TemporaryDirectory(prefix="labkit-") as folder:
            close = self.broker.listen(Path(folder) / "broker.sock")
            try:
                self._execute(Jail(self.edition, self.seat, Path(folder)), began + self.patience.notebook)
            except DeadKernelError:
                ended = f"its process ended in cell {self.broker.cell or 'none: it never started'}"
                self._flag(ended)
            except CellTimeoutError:
                ended = f"cell {self.broker.cell} exceeded its time limit"
                self._flag(ended)
            finally:
                close()
        self._explain()
        return self._ran(ended, time.monotonic() - began)

    def _explain(self) -> None:
        """Say at each check what went wrong before it; what kept a check from being reached, only there."""
        seen = self.broker.seen
        seen.reasons = reasons(self.notebook, seen.raised)
        unreached = seen.reasons.keys() - {one.check for one in seen.observations}
        there = retold(self.notebook, seen.raised, unreached)
        seen.remarks = [one for one in seen.remarks if one.kind != "note" or one.what not in there]

    def _ran(self, ended: str, seconds: float) -> Ran:
        trouble = self.broker.seen.trouble
        return Ran(self.name, seconds, ended or trouble, ours=bool(trouble) and not ended)

    def _execute(self, jail: Jail, deadline: float) -> None:
        stored = jail.sockets / "notebook.ipynb"
        nbformat.write(self._asking(), stored)
        notebook = parameterize_notebook(load_notebook_node(str(stored)), self.parameters)
        manager = _manager(jail)
        client = Client(
            notebook,
            km=manager,
            allow_errors=True,
            startup_timeout=60,
            timeout_func=lambda _: max(1, int(min(self.patience.cell, deadline - time.monotonic()))),
            on_cell_start=partial(self._starts, deadline),
            on_cell_executed=self._ran_cell,
            on_cell_error=self._raised,
            store_widget_state=False,
        )
        try:
            with _guarded(manager, jail.sockets), _ended(manager, client):
                client.execute()
        finally:
            if client.flooded:
                told = f"{client.messages:,} messages, {client.printed / 2**20:,.0f} MiB of text"
                self._flag(f"flooded its output: {told}, discarded unread")

    def _asking(self) -> Any:
        """The notebook, with a cell of ours after each cell that answers something."""
        made = nbformat.v4.new_notebook(metadata=self.notebook.metadata, cells=[])
        for cell in self.notebook.cells:
            made.cells.append(cell)
            if cell.cell_type == "code" and (source := self.broker.answers.asks(str(cell.id))):
                made.cells.append(nbformat.v4.new_code_cell(source, id=f"{cell.id}"[:57] + ANSWERS))
                self._asks[made.cells[-1].id] = str(cell.id)
        return made

    def _ran_cell(self, cell: Any, execute_reply: Any, **_: Any) -> None:
        if asked := self._asks.get(str(cell.id)):
            self.broker.answers.take(asked, execute_reply["content"])

    def _flag(self, what: str) -> None:
        self.broker.seen.remarks.append(Remark("flagged", what, self.name))

    def _starts(self, deadline: float, cell: Any, **_: Any) -> None:
        if time.monotonic() > deadline:
            raise CellTimeoutError("the notebook exceeded its time limit")
        if str(cell.id) in self._asks:
            return  # still the cell before it
        marks = cell.metadata.get("nbgrader", {})
        name = str(marks.get("grade_id", "")) if marks.get("grade") else ""
        self.broker.cell, self.broker.check = str(cell.id), name.replace("-", ".", 1)

    def _raised(self, cell: Any, execute_reply: Any, **_: Any) -> None:
        content = execute_reply["content"]
        if content.get("ename") == "MemoryError":
            self._flag(f"cell {cell.id} exceeded the memory limit of a notebook")
        one = of_cell(str(cell.id), str(content.get("ename")), str(content.get("evalue")))
        if len(self.broker.seen.raised) < MOST:
            self.broker.seen.raised.append(one)
        told = [one for one in self.broker.seen.remarks if one.kind == "note"]
        if len(told) < MOST_ERRORS:
            self.broker.seen.remarks.append(Remark("note", one.what, self.name))


def _manager(jail: Jail) -> Any:
    """A manager whose kernels communicate over sockets in the jail's folder."""
    specs = jail.sockets / "kernels"
    (specs / KERNEL).mkdir(parents=True)
    argv = jail.argv(
        "python", "-m", "labkit_grading.kernel.inside", jail.sockets / "broker.sock", "{connection_file}"
    )
    spec = {"argv": argv, "display_name": KERNEL, "language": "python"}
    (specs / KERNEL / "kernel.json").write_text(json.dumps(spec))
    return AsyncKernelManager(
        kernel_name=KERNEL,
        client_factory=Bounded,
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(specs)], ensure_native_kernel=False),
        transport="ipc",
        ip=str(jail.sockets / "kernel"),
        connection_file=str(jail.sockets / "kernel.json"),
    )


@contextlib.contextmanager
def _ended(manager: Any, client: Any) -> Iterator[None]:
    """End the kernel, so that none is left behind."""
    from jupyter_core.utils import run_sync  # noqa: PLC0415 - a kernel's own dependency

    try:
        yield
    finally:
        if client.kc is not None:
            client.kc.stop_channels()
        if manager.has_kernel:
            run_sync(manager.shutdown_kernel)(now=True)


@contextlib.contextmanager
def _guarded(manager: Any, sockets: Path) -> Iterator[None]:
    """Twice a second, check the jail for too many processes or files, and end it if there are."""
    started = []

    def look() -> None:
        process = getattr(manager.provisioner, "process", None)
        if process is not None and process not in started:
            started.append(process)
        if process is not None and (bounds.too_many(process.pid) or too_much(sockets)):
            process.kill()

    try:
        with Background(every(0.5, look), name="guard"):
            yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def too_much(folder: Path) -> bool:
    """Whether the only folder that a jail shares with this disk has more in it than sockets need."""
    size = 0
    for number, path in enumerate(folder.rglob("*")):
        with contextlib.suppress(OSError):  # it was deleted meanwhile
            size += path.lstat().st_blocks * 512
        if number > MOST_FILES or size > MOST_BYTES:
            return True
    return False
