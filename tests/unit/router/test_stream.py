"""The streamed response: heartbeats while nothing comes, and its work released however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import AsyncExitStack
from typing import Any

import pytest

from observability.record import RequestRecord, attach_record, record_of
from router.api.stream import EventStream


def scope() -> MutableMapping[str, Any]:
    made: MutableMapping[str, Any] = {"type": "http"}
    attach_record(made, RequestRecord("r", "POST", "/chat"))
    return made


async def never() -> Any:
    await asyncio.Event().wait()


async def test_a_comment_is_sent_while_nothing_comes_and_the_work_is_released_at_the_end() -> None:
    sent: list[bytes] = []
    heard, released = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        await heard.wait()
        yield b"event: done\n\n"

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message.get("body", b""))
        if sent[-1].startswith(b":"):
            heard.set()

    stack = AsyncExitStack()
    stack.callback(released.set)
    async with asyncio.timeout(5):
        await EventStream(body(), stack, {}, heartbeat_s=0.01)(scope(), never, send)
    assert sent[-2:] == [b"event: done\n\n", b""]
    assert b": keep-alive\n\n" in sent
    assert released.is_set()


@pytest.mark.parametrize("where", ["waiting", "sending"])
async def test_a_client_that_leaves_ends_the_body_and_releases_the_work(where: str) -> None:
    begun, closed, released = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        try:
            if where == "sending":
                yield b"x"
            begun.set()
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def receive() -> MutableMapping[str, Any]:
        await begun.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message.get("body"):
            begun.set()
            await asyncio.Event().wait()  # a client that does not read

    stack = AsyncExitStack()
    stack.callback(released.set)
    chunks = body()
    async with asyncio.timeout(5):
        await EventStream(chunks, stack, {})(scope(), receive, send)
    assert released.is_set()
    await chunks.aclose()  # what was suspended at a `yield` is closed by its owner, as the service does
    assert closed.is_set()


async def test_a_client_that_reads_nothing_is_cut_off_its_work_released_and_the_reason_kept() -> None:
    released, sent = asyncio.Event(), []

    async def body() -> AsyncIterator[bytes]:
        yield b"x"

    async def send(message: MutableMapping[str, Any]) -> None:
        if message.get("body") == b"x":
            await asyncio.Event().wait()  # the sockets are full
        sent.append(message.get("body", b""))

    stack = AsyncExitStack()
    stack.callback(released.set)
    asked = scope()
    async with asyncio.timeout(5):
        stream = EventStream(body(), stack, {}, slow_reader_s=0.02, heartbeat_s=0.01, cut=b"event: error")
        await stream(asked, never, send)
    assert released.is_set()
    assert sent == [b"", b"event: error"]
    assert (record_of(asked).error_code, record_of(asked).disconnected) == ("slow_reader", False)
