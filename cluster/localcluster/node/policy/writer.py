"""Keeps the rules in step with the API server: three watches in, the text for nft out when it changes.

`apply` gets the whole table at once, and raises `LabError` if it could not be replaced: then the rules before
it hold, Warning events on the NetworkPolicies say so, and it is tried again. A NetworkPolicy that can't be
read gets a Warning too, and denies everything to the pods that it selects.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from localcluster.api import Json
from localcluster.api.asynchronous import Api
from localcluster.api.events import Recorder
from localcluster.errors import LabError
from localcluster.node.policy.compile import ruleset
from localcluster.node.policy.pods import Pod, read
from localcluster.node.policy.state import Namespaces, Pods, Policies, State

NOT_READ, NOT_APPLIED = "PolicyNotRead", "PolicyNotApplied"
_GATHER_SECONDS = 0.005  # real time: a Deployment's pods change together
_RETRY_SECONDS, _RETRY_AT_MOST = 1.0, 30.0  # real time, doubled from one to the other

Apply = Callable[[str], Awaitable[None]]

log = logging.getLogger(__name__)


class PolicyWriter:
    """The policies of the whole cluster; `recorder` tells about them, and must run.

    `api` needs list and watch of networkpolicies, namespaces and pods. `peers` are programs of the lab that
    rules can mean as if they were pods, such as the cluster's DNS.
    """

    def __init__(self, api: Api, apply: Apply, recorder: Recorder, *, peers: Sequence[Pod] = ()) -> None:
        self._api = api
        self._apply = apply
        self._recorder = recorder
        self._peers = tuple(peers)
        self._state = State()
        self._changed = asyncio.Event()
        self._progress = asyncio.Condition()
        self._written = -1  # the state's version that is in force
        self._text = ""
        self._in_force: dict[str, Json] = {}  # the policies of that text: references by uid

    async def follow(self) -> None:
        """Keep the rules up to date; never returns."""
        async with asyncio.TaskGroup() as tasks:
            for table in (self._state.policies, self._state.namespaces, self._state.pods):
                tasks.create_task(self._watch(table))
            tasks.create_task(self._write())

    async def isolate(self, pod: Json, ip: str) -> None:
        """Return when the policies that select a pod hold for its address: before its containers start.

        The API server may be told of the address later. Waits for as long as the rules can't be replaced, and
        until the watch has shown the pod: cancel it if the pod is deleted meanwhile.
        """
        if read(pod) is None:
            return
        uid = pod["metadata"]["uid"]
        self._state.pods.announce(uid, ip)
        self._changed.set()
        async with self._progress:
            try:
                await self._progress.wait_for(lambda: self._state.knows(uid))
            except asyncio.CancelledError:
                self._state.pods.forget(uid)
                raise
            wanted = self._state.version
            if self._state.isolates(uid):
                await self._progress.wait_for(lambda: self._written >= wanted)

    async def _watch(self, table: Policies | Namespaces | Pods) -> None:
        async for event in self._api.watch(table.path):
            before = table.version
            table.take(event)
            if table.version != before:
                self._changed.set()
            for reference, fault in self._state.policies.new_faults():
                log.warning("NetworkPolicy %s/%s: %s", reference["namespace"], reference["name"], fault)
                self._recorder.warning(reference, NOT_READ, f"Denies everything to its pods: {fault}")

    async def _write(self) -> None:
        pause = _RETRY_SECONDS
        while True:
            try:
                await self._bring_up_to_date()
            except LabError as error:
                self._report(error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), pause)
                pause = min(2 * pause, _RETRY_AT_MOST)
            else:
                pause = _RETRY_SECONDS
                await self._changed.wait()
            await asyncio.sleep(_GATHER_SECONDS)

    async def _bring_up_to_date(self) -> None:
        self._changed.clear()
        await self._tell()
        state = self._state
        if not state.complete:  # half of the pods would make half of the rules
            return
        version, references = state.version, state.policies.references()
        pods = (*state.pods.with_address(), *self._peers)
        text = ruleset(state.policies.seen.values(), pods, state.labels())
        if text != self._text:
            await self._apply(text)
        self._text, self._in_force = text, references
        self._written = version
        await self._tell()

    async def _tell(self) -> None:
        async with self._progress:
            self._progress.notify_all()

    def _report(self, error: LabError) -> None:
        """Tell about all policies, those that should be gone too: the table is replaced as a whole."""
        self._text = ""  # who knows how far it came: the next text is applied even if it is that of before
        message = " ".join(str(error).split("\n"))
        log.error("The rules of NetworkPolicies could not be replaced: %s", message)
        for reference in (self._in_force | self._state.policies.references()).values():
            said = f"The rules for all NetworkPolicies stay as they were, and are tried again: {message}"
            self._recorder.warning(reference, NOT_APPLIED, said)
