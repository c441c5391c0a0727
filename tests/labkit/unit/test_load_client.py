"""One request at a time: how each way to fail is told from the others, and what is counted."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from labkit.load.sse import Answer, Client, Target
from labkit.load.workload import Prompts
from tests.labkit.unit.load_target import FaultyServer, free_port


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with FaultyServer().running() as running:
        yield running


def ask(url: str, *, tokens: int = 5, client: Client | None = None) -> Answer:
    answer = Answer()
    body = Prompts("model", seed=0).body(1, tokens_in=7, tokens_out=tokens)
    asker = client or Client(Target(url))
    asker.ask(body, answer, seconds=10)
    return answer


def test_a_whole_answer_is_counted_event_by_event(server: FaultyServer) -> None:
    before = time.monotonic()
    answer = ask(server.url("whole"), tokens=5)
    assert (answer.outcome, answer.status, answer.tokens, answer.events) == ("ok", 200, 5, 5)
    assert (answer.pod, answer.version, answer.first_tokens) == ("pod-1", "v2", 1)
    assert answer.first is not None
    assert answer.last is not None
    assert before <= answer.first <= answer.last


def test_a_prompt_holds_exactly_the_tokens_asked_for(server: FaultyServer) -> None:
    ask(server.url("whole"))
    body = server.bodies[-1]
    assert isinstance(body["prompt"], list)
    assert len(body["prompt"]) == 7
    assert body["max_tokens"] == 5
    assert body["ignore_eos"] is True


def test_a_server_that_counts_nothing_is_counted_by_its_events(server: FaultyServer) -> None:
    assert ask(server.url("uncounted"), tokens=4).tokens == 4


@pytest.mark.parametrize(
    ("mode", "outcome"),
    [
        ("broken", "broken"),
        ("full", "http_503"),
        ("error", "error"),
        ("garbage", "protocol"),
        ("reset", "reset"),
        ("whole/nowhere", "http_404"),
    ],
)
def test_each_failure_has_its_kind(server: FaultyServer, mode: str, outcome: str) -> None:
    assert ask(server.url(mode)).outcome == outcome


def test_tokens_before_a_break_are_kept(server: FaultyServer) -> None:
    answer = ask(server.url("broken"), tokens=5)
    assert (answer.status, answer.tokens, answer.done) == (200, 5, False)


def test_nobody_listening_is_refused() -> None:
    assert ask(f"http://127.0.0.1:{free_port()}").outcome == "refused"


@pytest.mark.parametrize(("keepalive", "connections"), [(True, 1), (False, 3)])
def test_only_keepalive_keeps_the_connection(
    server: FaultyServer, *, keepalive: bool, connections: int
) -> None:
    server.connections.clear()
    client = Client(Target(server.url("whole"), keepalive=keepalive))
    assert [ask("", client=client).outcome for _ in range(3)] == ["ok"] * 3
    assert len(server.connections) == connections
    client.close()
