"""The channel between a turn's graph and whoever reads its events: in order, bounded, one writer and one reader.

LangGraph's own `stream_mode="custom"` puts every event into a queue without a bound; with a slow reader that is memory.
Here the writer waits instead, then the engine's socket fills, and the engine waits too.
"""

from __future__ import annotations

import asyncio

from app.ports import Delta
from contracts.chat import TurnEvent
from contracts.errors import SlowReaderError

Event = TurnEvent | Delta
"""A `Delta` is a `token` event."""


PATIENCE_S = 30.0


class EventPipe:
    """`patience_s`: so long a writer waits for a reader who takes nothing."""

    def __init__(self, limit: int = 256, *, patience_s: float = PATIENCE_S) -> None:
        self._limit = limit
        self._patience_s = patience_s
        self._events: list[Event] = []
        self._closed = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()

    async def put(self, event: Event) -> None:
        """Hand over one event; waits while `limit` of them lie unread. Raises SlowReaderError."""
        while len(self._events) >= self._limit:
            await self._taken()
        self._events.append(event)
        self._readable.set()

    async def _taken(self) -> None:
        self._writable.clear()
        waiting = asyncio.timeout(self._patience_s)
        try:
            async with waiting:
                await self._writable.wait()
        except TimeoutError:
            raise SlowReaderError("the answer was not read: it was cut off") from None

    async def take(self) -> list[Event]:
        """Everything that lies unread, at least one event; an empty list is the end."""
        while not self._events and not self._closed:
            self._readable.clear()
            await self._readable.wait()
        events, self._events = self._events, []
        self._writable.set()
        return events

    def close(self) -> None:
        """Nothing comes after what lies unread."""
        self._closed = True
        self._readable.set()
