"""Ties the engine's virtual clock to the event loop: one timer, woken only when something is to be seen.

It wakes for the next first or last token, and about every `interval` real seconds while somebody reads a
stream, to hand over the tokens that came in between. Lab time is real time × clock.
"""

from __future__ import annotations

import asyncio
import math

from model_server.engine import Engine
from model_server.request import Request


class Stream:
    """A reader's side of one request: `progress()` returns as soon as there is something new."""

    def __init__(self, request: Request, *, whole: bool) -> None:
        self.request = request
        self.sent = 0
        self.whole = whole
        self.handed = 0.0
        self._ready = asyncio.Event()

    def wake(self) -> None:
        """Let the reader look."""
        self._ready.set()

    async def progress(self) -> tuple[int, int]:
        """Wait for new tokens (or the end); return the numbers of the first new one and of the one after."""
        await self._ready.wait()
        self._ready.clear()
        start, self.sent = self.sent, self.request.generated
        return start, self.sent


class Driver:
    """Runs one engine in real time."""

    def __init__(self, engine: Engine, *, clock: float, interval: float) -> None:
        self.engine = engine
        self._clock = clock
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf
        self._streams: dict[int, Stream] = {}

    def now(self) -> float:
        """Lab seconds since the engine started."""
        return (self._loop.time() - self._start) * self._clock

    def look(self) -> float:
        """Bring the engine up to the present (for whoever reads its numbers); return the lab time."""
        now = self.now()
        self.engine.advance(now)
        return now

    def submit(self, request: Request, *, whole: bool) -> Stream:
        """Queue a request; `whole`: its reader wants nothing before the end."""
        stream = Stream(request, whole=whole)
        self._streams[request.key] = stream
        self.engine.submit(request, self.now())
        self._schedule()
        return stream

    def abort(self, request: Request) -> None:
        """Drop a request whose reader has gone; nothing happens where it has ended already."""
        self._streams.pop(request.key, None)
        self.engine.abort(request, self.now())
        self._schedule()

    def stop(self) -> None:
        """Let go of the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        self._timer, self._due = None, math.inf
        self.engine.advance(self.now())
        self._hand_over()
        self._schedule()

    def _hand_over(self) -> None:
        """Wake readers: at once for a first or last token, else when their last event is long enough ago."""
        real = self._loop.time()
        for stream in list(self._streams.values()):
            request = stream.request
            if request.done:
                del self._streams[request.key]
                stream.wake()
            elif not stream.whole and self._due_for(stream, real):
                stream.handed = real
                stream.wake()

    def _due_for(self, stream: Stream, real: float) -> bool:
        """Whether a stream gets its tokens now; half an interval of slack keeps all streams on one beat."""
        if stream.request.generated <= stream.sent:
            return False
        return stream.sent == 0 or real - stream.handed >= self._interval / 2

    def _schedule(self) -> None:
        """Set the timer to the next moment that matters."""
        event = self.engine.next_event()
        if event is None:
            return
        due = self._start + event / self._clock
        if any(not s.whole and s.request.generated for s in self._streams.values()):
            beat = (math.floor(self._loop.time() / self._interval) + 1) * self._interval
            due = min(due, beat)
        if due < self._due or self._timer is None:
            if self._timer is not None:
                self._timer.cancel()
            self._due = due
            self._timer = self._loop.call_at(due, self._tick)
