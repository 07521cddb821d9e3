"""A streamed answer that owns its work: however it ends, the work behind it is stopped and released."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from observability.record import record_of

HEARTBEAT_S = 15.0
HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}


def sse(event: str, data: object) -> bytes:
    """One server-sent event. JSON has no raw line break, so the data is one line."""
    return b"event: " + event.encode() + b"\ndata: " + orjson.dumps(data) + b"\n\n"


class OwnedStream(Response):
    """Sends `body` chunk by chunk and watches for the client's leaving.

    `owned` is closed when the answer has ended, was broken off, or could not begin: it holds what `body` works with.
    """

    def __init__(self, body: AsyncIterator[bytes], owned: AsyncExitStack, headers: Mapping[str, str]) -> None:
        super().__init__(None, headers=headers)
        del self.headers["content-length"]
        self._body = body
        self._owned = owned

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._owned:
            tasks = [asyncio.create_task(work) for work in self._work(receive, send)]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            record_of(scope).disconnected = tasks[0] not in done
            for task in done:
                task.result()

    def _work(self, receive: Receive, send: Send) -> list[Coroutine[Any, Any, None]]:
        """What goes on at once; the first to end, ends the answer. The first of the list is the answer itself."""
        return [self._pump(send), self._disconnected(receive)]

    async def _pump(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for chunk in self._body:
            await self._send(send, chunk)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, chunk: bytes) -> None:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})

    @staticmethod
    async def _disconnected(receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


class EventStream(OwnedStream):
    """Server-sent events, with a comment line after 15 silent seconds."""

    def __init__(
        self,
        body: AsyncIterator[bytes],
        owned: AsyncExitStack,
        headers: Mapping[str, str],
        *,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        super().__init__(body, owned, {**HEADERS, **headers})
        self._heartbeat_s = heartbeat_s
        self._last_sent = time.monotonic()

    def _work(self, receive: Receive, send: Send) -> list[Coroutine[Any, Any, None]]:
        return [*super()._work(receive, send), self._beat(send)]

    async def _send(self, send: Send, chunk: bytes) -> None:
        self._last_sent = time.monotonic()
        await super()._send(send, chunk)

    async def _beat(self, send: Send) -> None:
        while True:
            silent = time.monotonic() - self._last_sent
            if silent >= self._heartbeat_s:
                await self._send(send, b": keep-alive\n\n")
            else:
                await asyncio.sleep(self._heartbeat_s - silent)
