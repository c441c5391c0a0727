"""Event streams are read by the standard, in whatever pieces they come."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from labkit.load.event_stream import EventStream
from labkit.load.sse import Answer, _ServerSaidError

BOM = b"\xef\xbb\xbf"

STREAMS = [
    # what is sent, and the data of its events
    (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
    (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
    (b"data: a\n\r\ndata: b\r\n\ndata: c\n\r", [b"a", b"b", b"c"]),
    (b"data:a\n\n", [b"a"]),
    (b"data:  a \n\n", [b" a "]),  # one blank is dropped, no more
    (b"data:\ta\n\n", [b"\ta"]),
    (b"event: message\nid: 7\nretry: 10\ndata: a\n\n", [b"a"]),
    (b"data: a\nevent: done\n\n", [b"a"]),
    (b"data: a\ndata: b\ndata:c\n\n", [b"a\nb\nc"]),
    (b"data: a\r\n: ping\r\ndata: b\r\n\r\n", [b"a\nb"]),
    (b": ping\n\n:\n\ndata: a\n\n", [b"a"]),
    (b"\n\n\ndata: a\n\n\n\n", [b"a"]),
    (b"dat: x\ndatas: x\nDATA: x\nnonsense\nfoo:bar\ndata: a\n\n", [b"a"]),
    (b" data: x\ndata: a\n\n", [b"a"]),  # a field's name begins in the first column
    (b"data\n\n", [b""]),
    (b"data\ndata\n\n", [b"\n"]),
    (b"data:\n\ndata: a\n\n", [b"", b"a"]),
    (b"event: ping\n\ndata: a\n\n", [b"a"]),  # an event without data is none
    (BOM + b"data: a\n\n", [b"a"]),
    (BOM + BOM + b"data: a\n\ndata: b\n\n", [b"b"]),  # only one is dropped
    (b"data: a\n\n" + BOM + b"data: b\n\n", [b"a"]),
    (b"data: a:b: c\n\n", [b"a:b: c"]),
    ("data: wörd €\n\n".encode(), ["wörd €".encode()]),
    (b"data: a\x0b\x0cb\xc2\x85c\xe2\x80\xa8d\n\n", [b"a\x0b\x0cb\xc2\x85c\xe2\x80\xa8d"]),  # no line ends
    (b"data: a\n\ndata: b\n", [b"a"]),  # the empty line is missing: no event
    (b"data: a\n\ndata: b", [b"a"]),
    (b"", []),
    (b"\xef\xbb", []),
]


def read(pieces: Sequence[bytes]) -> list[bytes]:
    stream = EventStream()
    return [data for piece in pieces for data in stream.feed(piece)]


@pytest.mark.parametrize(("sent", "wanted"), STREAMS)
def test_events_are_those_of_the_standard(sent: bytes, wanted: list[bytes]) -> None:
    assert read([sent]) == wanted
    assert read([bytes([one]) for one in sent]) == wanted
    for at in range(len(sent)):
        assert read([sent[:at], b"", sent[at:]]) == wanted


def test_an_event_is_there_as_soon_as_its_line_ends() -> None:
    stream = EventStream()
    assert list(stream.feed(b"data: a\r\r")) == [b"a"]
    assert list(stream.feed(b"\ndata: b\r\n\r")) == [b"b"]
    assert list(stream.feed(b"\n")) == []


@pytest.mark.parametrize("end", [b"data: [DONE]", b"data: [DONE]\n", b"data: [DONE]\r", b"data:[DONE] \r\n"])
def test_what_the_end_cut_off_can_be_asked_for(end: bytes) -> None:
    stream = EventStream()
    assert list(stream.feed(b"data: a\n\n" + end)) == [b"a"]
    assert stream.cut_off().strip() == b"[DONE]"


def text(words: str, tokens: int | None = None) -> dict[str, object]:
    usage = None if tokens is None else {"prompt_tokens": 8, "completion_tokens": tokens}
    return {"choices": [{"index": 0, "text": words}], "usage": usage}


CLOSING: dict[str, object] = {"choices": [], "usage": {"completion_tokens": 20}}
LAST_HOLDS_USAGE = [text("w"), text("w"), text("w"), text("w"), text("", 20)]


@pytest.mark.parametrize(
    ("events", "tokens", "first", "count", "counted"),
    [
        ([text("w w w w", 4 * n) for n in range(1, 6)], 20, 4, 5, True),  # continuous_usage_stats
        ([*(text("w w w w", 4 * n) for n in range(1, 6)), CLOSING], 20, 4, 5, True),
        ([*(text("w w w w") for _ in range(5)), CLOSING], 20, 4, 5, True),  # include_usage
        ([*([text("w w w w w")] * 3), text("w w w w w", 20)], 20, 5, 4, True),  # with the last words
        (LAST_HOLDS_USAGE, 20, 5, 4, True),
        ([text("", 0), *(text("w", n) for n in range(1, 4))], 3, 1, 3, True),
        ([text("", 1), text("wö", 2)], 2, 1, 2, True),  # a token that shows no text yet
        ([text("w w w w")] * 5, 5, 1, 5, False),  # nothing is told: events are what there is
        ([{**text("w"), "usage": {}}], 1, 1, 1, False),
        ([{**text("w"), "usage": {"prompt_tokens": 8}}], 1, 1, 1, False),
        ([{"choices": [{"text": "w"}], "error": None}], 1, 1, 1, False),
        ([{"type": "ping"}, text("w", 1)], 1, 1, 1, True),
    ],
)
def test_tokens_are_those_of_usage(
    events: list[dict[str, object]], tokens: int, first: int, count: int, *, counted: bool
) -> None:
    answer = Answer()
    for now, event in enumerate(events):
        answer.take(json.dumps(event).encode(), float(now))
    answer.take(b"", 0.0)
    answer.take(b" [DONE] ", 0.0)
    assert answer.done
    assert (answer.tokens, answer.first_tokens, answer.events) == (tokens, first, count)
    assert answer.counted == counted


@pytest.mark.parametrize(
    "payload",
    [
        b'{"error": {"message": "the engine died", "code": 500}}',
        b'{"error": "the engine died"}',
        b'{"object": "error", "message": "the engine died", "code": 500}',
    ],
)
def test_an_error_inside_the_stream_is_one(payload: bytes) -> None:
    with pytest.raises(_ServerSaidError, match="the engine died"):
        Answer().take(payload, 0.0)


@pytest.mark.parametrize("payload", [b"[1]", b"5", b'"text"', b"null", b"{", b"\xff", b'{"choices": [5]}'])
def test_nonsense_is_told_from_events(payload: bytes) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        Answer().take(payload, 0.0)
