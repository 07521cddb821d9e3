"""A streamed answer that owns its work: however it ends, the work behind it is stopped and released."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from contracts.errors import SlowReaderError
from observability.record import record_of

HEARTBEAT_S = 15.0
SLOW_READER_S = 30.0
LAST_WORD_S = 2.0
HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}
EVENT_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}
"""For the description of a route that may stream."""


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
    """Server-sent events, with a comment line after 15 silent seconds.

    Who reads nothing for `slow_reader_s` while there is more to send is cut off: the work behind the answer ends at
    once, and `cut` is the last that is sent, if the client begins to read again within two seconds."""

    def __init__(
        self,
        body: AsyncIterator[bytes],
        owned: AsyncExitStack,
        headers: Mapping[str, str],
        *,
        heartbeat_s: float = HEARTBEAT_S,
        slow_reader_s: float = SLOW_READER_S,
        cut: bytes = b"",
    ) -> None:
        super().__init__(body, owned, {**HEADERS, **headers})
        self._heartbeat_s = heartbeat_s
        self._slow_reader_s = slow_reader_s
        self._sending_since: float | None = None
        self._cut = cut
        self._last_sent = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except SlowReaderError as error:
            record = record_of(scope)
            record.error_code, record.disconnected = error.code, False
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORD_S):
                    await send({"type": "http.response.body", "body": self._cut})

    def _work(self, receive: Receive, send: Send) -> list[Coroutine[Any, Any, None]]:
        return [*super()._work(receive, send), self._beat(send), self._wait_for_slow_reader()]

    async def _send(self, send: Send, chunk: bytes) -> None:
        self._last_sent = time.monotonic()
        if self._sending_since is None:
            self._sending_since = self._last_sent
        await super()._send(send, chunk)
        self._sending_since = None

    async def _wait_for_slow_reader(self) -> None:
        """Raises SlowReaderError when a piece could not be sent for so long. To look now and then costs less than a
        timer a token."""
        while True:
            since = self._sending_since
            waited = time.monotonic() - since if since is not None else 0.0
            if waited >= self._slow_reader_s:
                raise SlowReaderError("the answer was not read: it was cut off")
            await asyncio.sleep(self._slow_reader_s - waited)

    async def _beat(self, send: Send) -> None:
        while True:
            silent = time.monotonic() - self._last_sent
            if silent >= self._heartbeat_s and self._sending_since is not None:
                await asyncio.sleep(self._heartbeat_s)  # the client does not read: there is no room for it
            elif silent >= self._heartbeat_s:
                await self._send(send, b": keep-alive\n\n")
            else:
                await asyncio.sleep(self._heartbeat_s - silent)
