"""Writes a pod's status when it has changed, several changes at once where they come together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from labkit.apiserver.api import STRATEGIC, Api, ApiError
from labkit.errors import Unreachable
from labkit.node.pod.pods import RunningPod

Json = dict[str, Any]
Source = Callable[[], tuple[Json, dict[str, str]]]  # status and annotations, as of now

_TOGETHER = 0.02  # real seconds; a start takes many small steps, and each status costs an API call


class Publisher:
    """The status of one pod on its way to the API server."""

    def __init__(self, api: Api, view: RunningPod) -> None:
        self._api = api
        self._view = view
        self._asked = asyncio.Event()
        self._writing = asyncio.Lock()
        self.known: Json | None = None  # what the API server was told last

    def ask(self) -> None:
        """Something may have changed."""
        self._asked.set()

    async def run(self, source: Source) -> None:
        """Write for ever."""
        while True:
            await self._asked.wait()
            await asyncio.sleep(_TOGETHER)
            self._asked.clear()
            if not await self._write(source):
                self._asked.set()
                await asyncio.sleep(0.3)

    async def flush(self, source: Source) -> None:
        """Write now, until the API server has answered."""
        while not await self._write(source):  # noqa: ASYNC110 - the API server calls nobody back
            await asyncio.sleep(0.3)

    async def _write(self, source: Source) -> bool:
        async with self._writing:
            status, annotations = source()
            if status == self.known:
                return True
            meta = {"uid": self._view.uid, "annotations": annotations}
            path = f"/api/v1/namespaces/{self._view.namespace}/pods/{self._view.name}/status"
            try:
                await self._api.patch(path, {"metadata": meta, "status": status}, kind=STRATEGIC)
            except Unreachable:
                return False
            except ApiError as error:
                if error.code not in {404, 409}:  # gone, or another pod of the same name
                    return False
            self.known = status
            self._view.status = status
            return True
