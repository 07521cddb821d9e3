"""One streamed answer of one engine, read as it comes."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Self

import aiohttp

from app.adapters.completion import ChunkReader
from app.adapters.sse import EventTooLongError, SseDecoder
from app.ports import Delta
from contracts.errors import UpstreamError
from servicekit.client import next_chunk

MAX_EVENT_BYTES = 1024 * 1024
DRAIN_S = 0.05


class EngineAnswer:
    """Raises UpstreamError where it breaks off, or is none."""

    def __init__(self, response: aiohttp.ClientResponse, prompt_chars: int) -> None:
        self.response = response
        self._reader = ChunkReader(prompt_chars)
        self._decoder = SseDecoder(MAX_EVENT_BYTES)
        self._events: deque[bytes] = deque()

    @property
    def counted_by_engine(self) -> bool:
        return self._reader.counted_by_engine

    def __aiter__(self) -> Self:
        # An iterator and not a generator: one that is left half-way needs no closing of its own.
        return self

    async def __anext__(self) -> Delta:
        while not self._events:
            await self._read_on()
        event = self._events.popleft()
        if event == b"[DONE]":
            raise StopAsyncIteration
        return self._reader.read(event)

    async def drain(self) -> None:
        """Read the end of the body, which follows `[DONE]` at once, so that the connection can be used again."""
        try:
            async with asyncio.timeout(DRAIN_S):
                while await self.response.content.readany():
                    pass
        except (TimeoutError, aiohttp.ClientError, OSError):
            pass  # then it is closed: the answer is complete, and nobody is to wait for this

    def close(self) -> None:
        """An answer read to its end has given its connection back already; any other is cut here."""
        self.response.close()

    async def _read_on(self) -> None:
        """Wait for more. Events stay as they came until their turn: one that is no completion spoils none before it."""
        try:
            chunk = await next_chunk(self.response.content)
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamError("the engine broke off") from error
        if not chunk:
            if not self._reader.finished:
                raise UpstreamError("the engine broke off")
            chunk = b"data: [DONE]\n\n"  # an engine may end with the body alone
        try:
            self._events.extend(self._decoder.feed(chunk))
        except EventTooLongError as error:
            raise UpstreamError("the engine sent an event that is no token") from error
