"""Several transfers of blobs at once, and their progress.

After the first failure the others stop by themselves between two chunks: a transfer that is cancelled from
outside would leave its TLS connection half-closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from localcluster.errors import LabError

_AT_ONCE = 3  # as many as containerd and Docker have


@dataclass(frozen=True)
class Progress:
    """How far one blob is, in bytes; `status` is Docker's word for it."""

    digest: str
    status: str
    done: int
    total: int


class Transfers:
    """The transfers of one pull or push; `tell` gets the progress of each."""

    def __init__(self, tell: Callable[[Progress], object]) -> None:
        self.tell = tell
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._failed: LabError | None = None

    async def run(self, jobs: Iterable[Callable[[], Awaitable[object]]]) -> None:
        """Run all of them; raises the first failure."""
        await asyncio.gather(*(self._one(job) for job in jobs))
        self.check()

    def check(self) -> None:
        """To be called between two chunks: raises if another transfer has failed."""
        if self._failed:
            raise self._failed

    async def _one(self, job: Callable[[], Awaitable[object]]) -> None:
        async with self._gate:
            if self._failed:
                return
            try:
                await job()
            except LabError as error:
                self._failed = self._failed or error
