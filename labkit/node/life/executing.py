"""Commands inside a running container: exec probes and lifecycle hooks.

Output is kept only as far as a message needs it. What is still running after its timeout is killed with all
its children.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

from labkit import _proc
from labkit.node.life.joining import joining
from labkit.node.pod.pods import RunningContainer
from labkit.node.process import processes

_MOST_BYTES = 10 * 1024  # of the output are kept, as the kubelet does


async def execute(container: RunningContainer, command: Sequence[str], seconds: float) -> tuple[int, str]:
    """Run to the end; exit code and both outputs. Raises TimeoutError."""
    try:
        with joining(container, command) as how:
            merged = asyncio.subprocess.STDOUT
            child = await _proc.start(how.argv, env=how.env, stderr=merged, pass_fds=how.pass_fds)
    except ProcessLookupError as error:
        return 1, str(error)
    try:
        async with asyncio.timeout(seconds):
            output = await _said(child)
            await child.wait()
    except (TimeoutError, asyncio.CancelledError):
        for pid in processes.tree(child.pid):
            processes.send(pid, signal.SIGKILL)
        await child.wait()
        raise
    return child.returncode or 0, output.decode(errors="replace")


async def _said(child: asyncio.subprocess.Process) -> bytes:
    """The beginning of the output; the rest is read as well, or the command would wait for us."""
    assert child.stdout is not None
    kept = b""
    while block := await child.stdout.read(_MOST_BYTES):
        kept = (kept + block)[:_MOST_BYTES]
    return kept
