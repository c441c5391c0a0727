"""Events about pods and nodes; repeated ones are counted, as in client-go.

They are sent in the background, in order; while the API server is unreachable, only the oldest are lost.
Floods about one pod are limited as in client-go (25 at once, then one in 5 minutes).
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from localcluster.api import STRATEGIC, Json
from localcluster.api.asynchronous import Api, ApiError
from localcluster.api.times import stamp
from localcluster.errors import Unreachable

_REMEMBERED = 4096
_QUEUED = 2000
_BURST = 25
_YIELD = 0.1  # real seconds: starting containers comes before reporting it
_REFILL_SECONDS = 300.0  # lab seconds for one more event


@dataclass(frozen=True)
class Event:
    """One event about an object."""

    about: Json  # an ObjectReference
    type: str  # Normal or Warning
    reason: str
    message: str
    at: int = field(default_factory=time.time_ns)  # when it happened; it is sent a moment later

    @property
    def key(self) -> tuple[str, ...]:
        """What makes two events the same."""
        about = self.about
        return about.get("uid", ""), about.get("fieldPath", ""), self.type, self.reason, self.message


@dataclass
class _Sent:
    name: str
    count: int


def pod_reference(pod: Json, container: str = "", *, init: bool = False) -> Json:
    """The reference that `kubectl describe pod` looks for; with the container as `fieldPath`."""
    meta = pod["metadata"]
    reference = {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
        "resourceVersion": meta.get("resourceVersion", ""),
    }
    if container:
        added = any(c["name"] == container for c in pod.get("spec", {}).get("ephemeralContainers", ()))
        kind = "initContainers" if init else "ephemeralContainers" if added else "containers"
        reference["fieldPath"] = f"spec.{kind}{{{container}}}"
    return reference


def node_reference(node: Json) -> Json:
    """The reference that `kubectl describe node` looks for."""
    meta = node["metadata"]
    return {"apiVersion": "v1", "kind": "Node", "name": meta["name"], "uid": meta["uid"]}


class Recorder:
    """Writes events in the name of one node's kubelet, or another component of it; `run` must run."""

    def __init__(self, api: Api, node: str, *, clock: float, component: str = "kubelet") -> None:
        self._api = api
        self._node = node
        self._component = component
        self._clock = clock
        self._queue: deque[Event] = deque(maxlen=_QUEUED)
        self._waiting = asyncio.Event()
        self._idle = asyncio.Event()
        self._sent: OrderedDict[tuple[str, ...], _Sent] = OrderedDict()
        self._tokens: OrderedDict[str, tuple[float, float]] = OrderedDict()  # uid -> (tokens, when)

    def normal(self, about: Json, reason: str, message: str) -> None:
        """Record an event of type Normal."""
        self._put(Event(about, "Normal", reason, message))

    def warning(self, about: Json, reason: str, message: str) -> None:
        """Record an event of type Warning."""
        self._put(Event(about, "Warning", reason, message))

    def _put(self, event: Event) -> None:
        self._queue.append(event)
        self._idle.clear()
        self._waiting.set()

    async def drained(self) -> None:
        """Return when everything so far has been sent."""
        if self._queue:
            await self._idle.wait()

    async def run(self) -> None:
        """Send events; never returns."""
        while True:
            await self._waiting.wait()
            await asyncio.sleep(_YIELD)
            while self._queue:
                if await self._deliver(self._queue[0]):
                    self._queue.popleft()
            self._waiting.clear()
            self._idle.set()

    async def _deliver(self, event: Event) -> bool:
        try:
            await self._send(event)
        except Unreachable:
            await asyncio.sleep(0.5)
            return False
        except ApiError:
            return True  # refused: the namespace is being deleted, or a quota on events
        return True

    async def _send(self, event: Event) -> None:
        known = self._sent.get(event.key)
        if not self._allowed(event.about.get("uid", "")):
            return
        if known is not None:
            await self._count_up(event, known)
            return
        body = self._body(event)
        await self._api.create(f"/api/v1/namespaces/{body['metadata']['namespace']}/events", body)
        self._remember(event, _Sent(body["metadata"]["name"], 1))

    async def _count_up(self, event: Event, known: _Sent) -> None:
        namespace = event.about.get("namespace") or "default"
        path = f"/api/v1/namespaces/{namespace}/events/{known.name}"
        patch = {"count": known.count + 1, "lastTimestamp": stamp(time.time())}
        try:
            await self._api.patch(path, patch, kind=STRATEGIC)
            known.count += 1
        except ApiError as error:
            if not error.gone:
                raise
            del self._sent[event.key]  # it has expired: start again
            await self._send(event)

    def _allowed(self, uid: str) -> bool:
        now = time.monotonic() * self._clock
        tokens, since = self._tokens.get(uid, (float(_BURST), now))
        tokens = min(_BURST, tokens + (now - since) / _REFILL_SECONDS)
        self._tokens[uid] = (tokens - 1 if tokens >= 1 else tokens, now)
        if len(self._tokens) > _REMEMBERED:
            self._tokens.popitem(last=False)
        return tokens >= 1

    def _remember(self, event: Event, sent: _Sent) -> None:
        self._sent[event.key] = sent
        if len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)

    def _body(self, event: Event) -> Json:
        namespace = event.about.get("namespace") or "default"
        at = stamp(event.at / 1e9)
        return {
            "apiVersion": "v1",
            "kind": "Event",
            # client-go names events this way, and the name has their time to the nanosecond.
            "metadata": {"name": f"{event.about['name']}.{event.at:x}", "namespace": namespace},
            "involvedObject": event.about,
            "reason": event.reason,
            "message": event.message[:1024],
            "type": event.type,
            "source": {"component": self._component, "host": self._node},
            "reportingComponent": self._component,
            "reportingInstance": self._node,
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        }
