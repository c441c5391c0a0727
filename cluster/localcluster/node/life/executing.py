"""Commands inside a running container: exec probes and lifecycle hooks.

Only the part of the output that a message needs is kept. A command that exceeds its timeout is killed with
all its children.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Sequence

from localcluster import spawn
from localcluster.node.life.joining import joining
from localcluster.node.pod.pods import RunningContainer
from localcluster.node.process import processes

_REAPED_WITHIN = 5.0  # real seconds
_MOST_BYTES = 10 * 1024  # of the output are kept, as the kubelet does


async def execute(container: RunningContainer, command: Sequence[str], seconds: float) -> tuple[int, str]:
    """Run to the end; returns exit code and both outputs. Raises TimeoutError."""
    try:
        with joining(container, command) as how:
            merged = asyncio.subprocess.STDOUT
            child = await spawn.start(how.argv, env=how.env, stderr=merged, pass_fds=how.pass_fds)
    except ProcessLookupError as error:
        return 1, str(error)
    try:
        async with asyncio.timeout(seconds):
            output = await _said(child)
            await child.wait()
    except (TimeoutError, asyncio.CancelledError):
        await end(child, reaped=container.isolated)
        raise
    return child.returncode or 0, output.decode(errors="replace")


async def end(child: asyncio.subprocess.Process, *, reaped: bool) -> None:
    """Kill a command with all its children; `reaped` if enter.py is its parent and cleans up."""
    if reaped:
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            child.send_signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REAPED_WITHIN):
                await child.wait()
    if child.returncode is None:  # else the pid may be another's
        for pid in processes.tree(child.pid):
            processes.send(pid, signal.SIGKILL)
    await child.wait()


async def _said(child: asyncio.subprocess.Process) -> bytes:
    """The beginning of the output; the rest is read too, or the command would block."""
    assert child.stdout is not None
    kept = b""
    while block := await child.stdout.read(_MOST_BYTES):
        kept = (kept + block)[:_MOST_BYTES]
    return kept
