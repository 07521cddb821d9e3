"""A streamed answer that owns its work: however it ends, the work behind it is stopped and released."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from observability.record import record_of

HEARTBEAT_S = 15.0
HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}


def sse(event: str, data: object) -> bytes:
    """One server-sent event. JSON has no raw line break, so the data is one line."""
    return b"event: " + event.encode() + b"\ndata: " + orjson.dumps(data) + b"\n\n"


class EventStream(Response):
    """Sends `body` chunk by chunk, a comment line after 15 silent seconds, and watches for the client's leaving.

    `owned` is closed when the answer has ended, was broken off, or could not begin: it holds the turn.
    """

    def __init__(
        self,
        body: AsyncIterator[bytes],
        owned: AsyncExitStack,
        headers: Mapping[str, str],
        *,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        super().__init__(None, headers={**HEADERS, **headers})
        del self.headers["content-length"]
        self._body = body
        self._owned = owned
        self._heartbeat_s = heartbeat_s
        self._last_sent = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._owned:
            tasks = [
                asyncio.create_task(self._pump(send)),
                asyncio.create_task(self._disconnected(receive)),
                asyncio.create_task(self._beat(send)),
            ]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            record_of(scope).disconnected = tasks[0] not in done
            for task in done:
                task.result()

    async def _pump(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for chunk in self._body:
            self._last_sent = time.monotonic()
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _beat(self, send: Send) -> None:
        while True:
            silent = time.monotonic() - self._last_sent
            if silent >= self._heartbeat_s:
                self._last_sent = time.monotonic()
                await send({"type": "http.response.body", "body": b": keep-alive\n\n", "more_body": True})
            else:
                await asyncio.sleep(self._heartbeat_s - silent)

    @staticmethod
    async def _disconnected(receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
