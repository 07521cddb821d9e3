"""What a client may send before it has proved anything, to uvicorn on a real socket."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from servicekit import request_heads
from servicekit.request_heads import BoundedHeads


async def _said(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    app = Starlette(routes=[Route("/", _said, methods=["GET", "POST"])])
    config = uvicorn.Config(app, port=0, loop="uvloop", http=BoundedHeads, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 10
    while not server.started and time.monotonic() < until:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(10)


async def told(port: int, *pieces: bytes) -> bytes:
    """What comes back until the server closes, or says nothing for a second."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    with suppress(ConnectionError, TimeoutError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
    with suppress(ConnectionError, TimeoutError):
        while piece := await asyncio.wait_for(reader.read(65_536), 1):
            answer += piece
    writer.close()
    return answer


BEGIN = b"GET / HTTP/1.1\r\nhost: a\r\n"


@pytest.mark.parametrize(
    "more",
    [
        (b"x-a: ", *[b"a" * 40_000] * 100),
        tuple(b"x-%d: " % number + b"a" * 1_000 + b"\r\n" for number in range(4_000)),
    ],
    ids=["one endless header", "headers without end"],
)
async def test_a_head_that_is_too_large_is_the_end_of_the_connection(port: int, more: tuple[bytes]) -> None:
    """The 431 is lost where the client was still sending: what nobody reads any more resets the connection."""
    answer = await told(port, BEGIN, *more, b"\r\n\r\n")
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")


async def test_who_stops_to_listen_hears_that_the_head_is_too_large(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nx-a: ")
    answer = asyncio.ensure_future(reader.read(-1))
    until = time.monotonic() + 10
    while not answer.done() and time.monotonic() < until:
        with suppress(ConnectionError):
            writer.write(b"a" * 1_000)
            await writer.drain()
        await asyncio.wait({answer}, timeout=0.005)
    assert (await answer).startswith(b"HTTP/1.1 431 ")
    writer.close()


async def test_an_endless_header_keeps_nobody_else_waiting(port: int) -> None:
    flood = asyncio.ensure_future(told(port, BEGIN + b"x-a: ", *[b"a" * 65_536] * 1_000))
    async with httpx.AsyncClient() as client:
        began = time.monotonic()
        answer = await client.get(f"http://127.0.0.1:{port}/")
    await flood

    assert answer.status_code == 200
    assert time.monotonic() - began < 5


async def test_a_large_head_a_large_body_and_the_next_request_behind_it_are_all_answered(port: int) -> None:
    body = b"b" * 1_000_000
    post = b"POST / HTTP/1.1\r\nhost: a\r\nx-a: " + b"a" * 60_000 + b"\r\ncontent-length: 1000000\r\n\r\n"

    answer = await told(port, post + body + BEGIN, b"x-a: " + b"a" * 60_000 + b"\r\n\r\n")

    assert (answer.count(b"HTTP/1.1 200"), answer.count(b"1000000")) == (2, 1)


@pytest.mark.parametrize("sent", [b"", BEGIN, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" + BEGIN])
async def test_a_head_that_does_not_come_is_not_awaited_for_ever(
    port: int, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(request_heads, "HEAD_TIMEOUT_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)

    async with asyncio.timeout(10):
        answer = await reader.read(-1)

    assert answer.count(b"HTTP/1.1 200") == sent.count(b"\r\n\r\n")
    writer.close()


async def test_an_answer_that_takes_longer_than_a_head_may_is_not_cut(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_heads, "HEAD_TIMEOUT_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nconnection: close\r\n\r\na")
    await asyncio.sleep(0.5)
    writer.write(b"b")

    assert b"HTTP/1.1 200" in await reader.read(-1)
    writer.close()


async def test_no_websocket_is_opened(port: int) -> None:
    upgrade = b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
    key = b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

    assert (await told(port, BEGIN + upgrade + key)).startswith(b"HTTP/1.1 200")
