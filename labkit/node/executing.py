"""Commands inside a running container: exec probes and lifecycle hooks.

Output is kept only as far as a message needs it. What is still running after its timeout is killed with all
its children.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

from labkit import _proc
from labkit.node import processes
from labkit.node.pods import RunningContainer, exec_argv


async def execute(container: RunningContainer, command: Sequence[str], seconds: float) -> tuple[int, str]:
    """Run to the end; exit code and both outputs. Raises TimeoutError."""
    try:
        argv = await exec_argv(container, command)
    except ProcessLookupError as error:
        return 1, str(error)
    child = await _proc.start(argv, env=container.env, stderr=asyncio.subprocess.STDOUT)
    try:
        async with asyncio.timeout(seconds):
            output, _ = await child.communicate()
    except (TimeoutError, asyncio.CancelledError):
        for pid in processes.tree(child.pid):
            processes.send(pid, signal.SIGKILL)
        await child.wait()
        raise
    return child.returncode or 0, output.decode(errors="replace")
