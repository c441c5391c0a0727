"""Event streams at random: ours and httpx-sse read the same, and what is no token never counts as one."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Sequence
from itertools import pairwise

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labkit.load.event_stream import EventStream
from labkit.load.sse import Answer
from tests.oracles.environment import module

ENDS = st.sampled_from(["\n", "\r", "\r\n"])
# Characters that end a line for Python's own `splitlines`, but not in an event stream, are the point.
WORDS = st.text(st.sampled_from("ab :\t\x0b\x0c\x1c\x85\u2028€🙂\ufeff"), max_size=8)
DATA = st.builds("data:{}".format, WORDS)
SILENT = st.builds("{}{}".format, st.sampled_from([":", ": ", "foo:", "dat", "DATA: ", " data:"]), WORDS)
TYPED = st.sampled_from(["event: ping", "id: 7", "id", "retry: 10", "retry: soon", "event:"])
BLANK = st.just("")
BLANKS_MATTER = st.sampled_from(["data", "data:", "data: "])

Oracle = Callable[[Sequence[bytes]], list[str]]


def text_of(lines: Sequence[tuple[str, str]]) -> bytes:
    return "".join(line + end for line, end in lines).encode()


def streams(*lines: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """Lines in any order, some with an unfinished one at the end."""
    whole = st.lists(st.tuples(st.one_of(*lines), ENDS), max_size=30).map(text_of)
    return st.builds(lambda text, rest: text + rest.encode(), whole, st.one_of(BLANK, *lines))


@st.composite
def pieces(draw: st.DrawFn, text: bytes) -> list[bytes]:
    """The same bytes, cut anywhere: between CR and LF, within a character, within the byte order mark."""
    places = st.lists(st.integers(0, len(text)), max_size=8)
    cuts = sorted(set(draw(st.one_of(places, st.just(list(range(len(text))))))) | {0, len(text)})
    return [text[a:b] for a, b in pairwise(cuts)]


@pytest.fixture(scope="module")
def httpx_sse(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """The data of each event, as httpx-sse reads it. It knows no byte order mark, so it never gets one."""
    theirs = module("httpx_sse", "httpx-sse>=0.4.3,<0.5", folder=tmp_path_factory.mktemp("httpx-sse"))

    def ask(cut: Sequence[bytes]) -> list[str]:
        head = {"Content-Type": "text/event-stream; charset=utf-8"}
        response = httpx.Response(200, headers=head, content=iter(cut))
        return [event.data for event in theirs.EventSource(response).iter_sse()]

    return ask


def read(cut: Sequence[bytes]) -> list[str]:
    stream = EventStream()
    return [data.decode() for piece in cut for data in stream.feed(piece)]


together = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


@together
@given(st.data())
def test_events_are_those_of_httpx_sse(httpx_sse: Oracle, data: st.DataObject) -> None:
    text = data.draw(streams(DATA, DATA, BLANK, BLANK, SILENT, BLANKS_MATTER)).removeprefix(codecs.BOM_UTF8)
    cut = data.draw(pieces(text))
    assert read(cut) == httpx_sse(cut)
    marked = data.draw(pieces(codecs.BOM_UTF8 + text))
    assert read(marked) == httpx_sse(cut), "one byte order mark at the beginning is none of the text"


@together
@given(st.data())
def test_types_ids_and_retries_change_no_data(httpx_sse: Oracle, data: st.DataObject) -> None:
    cut = data.draw(pieces(data.draw(streams(DATA, DATA, BLANK, BLANK, SILENT, TYPED))))
    # httpx-sse also returns an event that has a type, an id or a retry, but no data; the standard doesn't.
    wanted = [found for found in httpx_sse(cut) if found]
    assert [found for found in read(cut) if found] == wanted


def sent(event: object) -> str:
    return f"data: {json.dumps(event)}\n\n"


NO_TOKENS = [
    ": ping\n\n",
    "event: ping\n\n",
    "retry: 1000\n\n",
    "data:\n\n",
    sent({"type": "ping"}),
    sent({"choices": []}),
    sent({"choices": [], "usage": None}),
    sent({"choices": [], "usage": {"prompt_tokens": 8}}),
    sent({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}),
    sent({"choices": [{"index": 0, "delta": {}}]}),
    sent({"choices": [{"index": 0, "text": ""}]}),
    sent({"choices": [{"index": 0, "text": None}], "usage": {}}),
    sent({"choices": [{"index": 0, "text": "", "finish_reason": "length"}], "usage": None}),
]
"""Events that tell of no token, in the forms that servers and the gateways before them send."""


def taken(text: bytes, cut: Sequence[bytes]) -> Answer:
    assert b"".join(cut) == text
    stream, answer = EventStream(), Answer()
    for now, piece in enumerate(cut):
        for payload in stream.feed(piece):
            answer.take(payload, float(now + 1))
    return answer


@settings(max_examples=300)
@given(st.data())
def test_what_is_no_token_is_never_counted(data: st.DataObject) -> None:
    tokens, counted = data.draw(st.integers(0, 6)), data.draw(st.booleans())
    told = [{"usage": {"completion_tokens": number + 1}} if counted else {} for number in range(tokens)]
    events = [sent({"choices": [{"index": 0, "text": "w "}], **usage}) for usage in told]
    for noise in data.draw(st.lists(st.sampled_from(NO_TOKENS), max_size=8)):
        events.insert(data.draw(st.integers(0, len(events))), noise)
    text = "".join([*events, "data: [DONE]\n\n"]).encode()
    answer = taken(text, data.draw(pieces(text)))
    assert answer.done
    assert (answer.tokens, answer.events) == (tokens, tokens)
    assert answer.first_tokens == min(tokens, 1)
    assert (answer.first is None) == (tokens == 0)
