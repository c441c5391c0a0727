"""What becomes of a pod's status, whatever the API server answers: here one that answers what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from localcluster.node.pod.pods import RunningPod
from localcluster.node.pod.publisher import Publisher
from tests.cluster.unit.node_world import Server, answering

DONE = (200, 404, 409)
REFUSED = (400, 403, 413, 422)
LATER = (408, 429, 500, 503, 0)  # 0: hangs up


@dataclass
class Published:
    """A publisher of one pod at that server."""

    publisher: Publisher
    server: Server
    status: dict[str, Any] = field(default_factory=lambda: {"phase": "Running"})
    warned: list[str] = field(default_factory=list)

    def source(self) -> tuple[Any, dict[str, str]]:
        return dict(self.status), {}

    async def until_sent(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.server.sent) < count:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def publishing(*answers: int) -> AsyncIterator[Published]:
    warned = list[str]()
    async with answering(*answers) as (server, api):
        view = RunningPod("uid", "ns", "web", "node", Path("/nowhere"))
        publisher = Publisher(api, view, lambda reason, message: warned.append(f"{reason}: {message}"))
        yield Published(publisher, server, warned=warned)


def at(*answers: int, do: Callable[[Published], Awaitable[None]]) -> None:
    async def scenario() -> None:
        async with publishing(*answers) as published:
            await do(published)

    asyncio.run(scenario())


@settings(max_examples=12)
@given(st.lists(st.sampled_from(LATER), max_size=2), st.sampled_from(DONE + REFUSED))
def test_a_last_status_is_sent_until_there_is_an_answer(later: Sequence[int], answer: int) -> None:
    async def flush(published: Published) -> None:
        async with asyncio.timeout(20):
            await published.publisher.flush(published.source)
        assert len(published.server.sent) == len(later) + 1
        assert len(published.warned) == (answer in REFUSED)

    at(*later, answer, do=flush)


def test_a_refused_status_is_sent_again_only_when_it_has_changed() -> None:
    async def run(published: Published) -> None:
        running = asyncio.create_task(published.publisher.run(published.source))
        for count, phase in enumerate(("Pending", "Running", "Failed"), start=1):
            published.status["phase"] = phase
            published.publisher.ask()
            await published.until_sent(count)
        assert [status["phase"] for status in published.server.sent] == ["Pending", "Running", "Failed"]
        assert len(published.warned) == 1  # the same refusal each time
        assert published.warned[0].startswith("FailedStatusUpdate: The API server refuses this pod's status")
        running.cancel()

    at(422, do=run)


def test_a_status_that_the_agent_fails_to_make_is_made_again_when_asked() -> None:
    async def run(published: Published) -> None:
        failing = [KeyError("reason")]

        def source() -> tuple[Any, dict[str, str]]:
            if failing:
                raise failing.pop()
            return published.source()

        running = asyncio.create_task(published.publisher.run(source))
        published.publisher.ask()
        async with asyncio.timeout(20):
            while not published.warned:
                await asyncio.sleep(0.01)
        published.publisher.ask()
        await published.until_sent(1)
        assert published.warned == [
            "AgentError: The node agent failed on this pod's status: KeyError('reason')"
        ]
        running.cancel()

    at(200, do=run)


def test_addresses_replace_those_of_an_earlier_life() -> None:
    async def flush(published: Published) -> None:
        published.status |= {"podIPs": [{"ip": "10.244.1.2"}], "hostIPs": [{"ip": "172.18.0.2"}]}
        await published.publisher.flush(published.source)
        assert published.server.sent[0] == {
            "phase": "Running",
            "podIPs": [{"$patch": "replace"}, {"ip": "10.244.1.2"}],
            "hostIPs": [{"$patch": "replace"}, {"ip": "172.18.0.2"}],
        }

    at(200, do=flush)
