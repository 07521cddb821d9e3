"""Server-sent events, however the network cuts them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.sse import EventTooLongError, SseDecoder

STREAM = (
    'data: {"text": "Grüße 👋"}\n\n: a comment\nevent: x\nid: 7\ndata: one\r\ndata: two\r\n\r\ndata:[DONE]\n\n'.encode()
)
EVENTS = ['{"text": "Grüße 👋"}'.encode(), b"one\ntwo", b"[DONE]"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_the_events_are_the_same_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    decoder = SseDecoder(1000)
    places = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in pairwise(places)]
    assert [event for piece in pieces for event in decoder.feed(piece)] == EVENTS


def test_blank_lines_alone_are_no_events() -> None:
    assert SseDecoder(1000).feed(b"\n\n\n\n") == []


@pytest.mark.parametrize(
    "pieces",
    [
        [b"data: " + b"x" * 2000 + b"\n\n"],
        [b"data: ", b"x" * 600, b"x" * 600],
        [b"data: " + b"x" * 600 + b"\n", b"data: " + b"x" * 600 + b"\n"],
    ],
    ids=["whole", "a line without an end", "many lines"],
)
def test_an_event_over_the_limit_is_refused_as_soon_as_it_is_too_long(pieces: list[bytes]) -> None:
    decoder = SseDecoder(1000)
    *harmless, last = pieces
    for piece in harmless:
        decoder.feed(piece)
    with pytest.raises(EventTooLongError):
        decoder.feed(last)


def test_many_events_in_one_chunk_are_not_one_long_event() -> None:
    assert len(SseDecoder(1000).feed(b"data: x\n\n" * 10_000)) == 10_000
