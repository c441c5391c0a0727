"""`python -m localcluster.node LAB_DIR`: the node agent of one lab, in the foreground.

Started and restarted by the lab's supervisor; logs to standard error. Refuses to start next to a running one.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import sys
from pathlib import Path

from localcluster.errors import LabError, ProviderError
from localcluster.node.agent import Agent
from localcluster.node.config import TAKEN_UP, AgentConfig


async def _run(config: AgentConfig) -> None:
    await Agent(config).run()


def main(arguments: list[str]) -> int:
    """Run until a signal stops it; returns the exit status."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m localcluster.node LAB_DIR\n")
        return 2
    lab_dir = Path(arguments[0]).resolve()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        config = AgentConfig.load(lab_dir / "node.json")
        with (lab_dir / "node.lock").open("w") as lock:
            _lock(lock.fileno(), lab_dir)
            config.save(lab_dir / TAKEN_UP)
            asyncio.run(_run(config))
    except LabError as error:
        logging.getLogger(__name__).error("%s", error)  # noqa: TRY400 - the sentence says it all
        return error.exit_code
    return 0


def _lock(handle: int, lab_dir: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ProviderError(
            f"Another node agent is running for {lab_dir}.",
            cause="Two agents would start every pod twice.",
            fix="Run `localcluster down`, then `localcluster up`.",
        ) from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
