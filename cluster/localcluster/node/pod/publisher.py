"""Writes a pod's status when it has changed, several changes at once where they come together.

If the API server refuses a status, there is one event, and retries are as rare as a kubelet's: the same patch
would be refused again. It blocks nothing else, in particular not the pod's deletion.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from enum import Enum

from localcluster.api import STRATEGIC, Json
from localcluster.api.asynchronous import Api, ApiError
from localcluster.errors import Unreachable
from localcluster.node.pod.pods import RunningPod

Source = Callable[[], tuple[Json, dict[str, str]]]  # status and annotations, as of now
Warn = Callable[[str, str], None]  # reason and message of a Warning event about the pod

_TOGETHER = 0.02  # real seconds; a start takes many small steps, and each status costs an API call
_AGAIN = 0.3  # real seconds, where the API server did not answer or is busy
_AGAIN_REFUSED = 10.0  # real seconds, unless the status changes: the kubelet's period for all statuses
_CAUSE = 700  # characters: an event holds 1024, and a refusal may show a whole pod
_MERGED = ("hostIPs", "podIPs")  # lists that a strategic merge patch adds to
_PASSING = {408, 429}  # 4xx that say: later

log = logging.getLogger(__name__)


class Written(Enum):
    """What became of a status."""

    DONE = "done"
    LATER = "later"  # there was no answer
    REFUSED = "refused"


class Publisher:
    """The status of one pod on its way to the API server."""

    def __init__(self, api: Api, view: RunningPod, warn: Warn) -> None:
        self._api = api
        self._view = view
        self._warn = warn
        self._asked = asyncio.Event()
        self._writing = asyncio.Lock()
        self._said: set[str] = set()  # refusals that were reported
        self.known: Json | None = None  # what the API server was sent last

    def ask(self) -> None:
        """Note that something may have changed."""
        self._asked.set()

    async def run(self, source: Source) -> None:
        """Write whenever it changes; never returns."""
        while True:
            await self._asked.wait()
            await asyncio.sleep(_TOGETHER)
            self._asked.clear()
            written = await self._write(source)
            if written is Written.REFUSED:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._asked.wait(), _AGAIN_REFUSED)
            if written is not Written.DONE:
                self._asked.set()
                await asyncio.sleep(_AGAIN)

    async def flush(self, source: Source) -> None:
        """Write now, until the API server has answered: what it refuses is not repeated."""
        while await self._write(source) is Written.LATER:  # noqa: ASYNC110 - the API server has no callbacks
            await asyncio.sleep(_AGAIN)

    async def _write(self, source: Source) -> Written:
        async with self._writing:
            try:
                status, annotations = source()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told
                self._tell("AgentError", f"The node agent failed on this pod's status: {error!r}", error)
                return Written.REFUSED
            if status == self.known:
                return Written.DONE
            meta = {"uid": self._view.uid, "annotations": annotations}
            path = f"/api/v1/namespaces/{self._view.namespace}/pods/{self._view.name}/status"
            try:
                await self._api.patch(path, {"metadata": meta, "status": _whole(status)}, kind=STRATEGIC)
            except Unreachable:
                return Written.LATER
            except ApiError as error:
                if not error.gone and not error.conflict:  # 409: another pod of the same name
                    return self._refused(error)
            self.known = status
            self._view.status = status
            return Written.DONE

    def _refused(self, error: ApiError) -> Written:
        if error.code >= 500 or error.code in _PASSING:
            return Written.LATER
        self._tell(
            "FailedStatusUpdate",
            "The API server refuses this pod's status, so `kubectl get` shows an old one. "
            f"Cause: {error.message[:_CAUSE].rstrip('.')}. Fix: delete the pod, which still works.",
        )
        return Written.REFUSED

    def _tell(self, reason: str, message: str, error: Exception | None = None) -> None:
        """Once."""
        if message not in self._said:
            self._said.add(message)
            log.error("pod %s/%s: %s", self._view.namespace, self._view.name, message, exc_info=error)
            self._warn(reason, message)


def _whole(status: Json) -> Json:
    """The patch for a status: the API server would add addresses to those of an earlier life of the pod."""
    lists = {key: [{"$patch": "replace"}, *status[key]] for key in _MERGED if key in status}
    return status | lists
