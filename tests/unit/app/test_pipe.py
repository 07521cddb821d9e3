"""The channel between graph and response: ordered, bounded, and it ends."""

from __future__ import annotations

import asyncio

import pytest

from app.pipe import EventPipe
from contracts.errors import SlowReaderError


async def test_events_come_in_order_and_together_when_the_reader_was_away() -> None:
    pipe = EventPipe()
    for word in "abc":
        await pipe.put(word)
    assert await pipe.take() == ["a", "b", "c"]


async def test_the_reader_wakes_for_the_first_event() -> None:
    pipe = EventPipe()
    reading = asyncio.create_task(pipe.take())
    await asyncio.sleep(0)
    await pipe.put("a")
    assert await reading == ["a"]


async def test_a_full_pipe_makes_the_writer_wait_until_something_is_taken() -> None:
    pipe = EventPipe(limit=2)
    await pipe.put("a")
    await pipe.put("b")
    writing = asyncio.create_task(pipe.put("c"))
    await asyncio.sleep(0)
    assert not writing.done()
    assert await pipe.take() == ["a", "b"]
    await writing
    assert await pipe.take() == ["c"]


async def test_a_writer_does_not_wait_for_ever_for_a_reader_who_takes_nothing() -> None:
    pipe = EventPipe(limit=1, patience_s=0.02)
    await pipe.put("a")
    with pytest.raises(SlowReaderError):
        await pipe.put("b")
    pipe.close()
    assert await pipe.take() == ["a"]


async def test_what_was_put_before_the_end_is_still_read() -> None:
    pipe = EventPipe()
    await pipe.put("a")
    pipe.close()
    assert await pipe.take() == ["a"]
    assert await pipe.take() == []
    assert await pipe.take() == []


async def test_closing_wakes_a_waiting_reader() -> None:
    pipe = EventPipe()
    reading = asyncio.create_task(pipe.take())
    await asyncio.sleep(0)
    pipe.close()
    assert await reading == []
