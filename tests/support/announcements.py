"""Announcements that the test delivers, or loses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from contracts.errors import DependencyDownError
from tenancy.live import Subject


class NoAnnouncements:
    """Nobody tells anything."""

    async def announce(self, subject: Subject) -> None:
        pass

    async def announced(self) -> AsyncIterator[Subject]:
        await asyncio.Event().wait()
        yield None


class HandAnnouncements:
    """`told` is what this replica said; `tell` is what another says; while `down`, neither works."""

    def __init__(self) -> None:
        self.told: list[Subject] = []
        self.down = False
        self.connections = 0
        self._inbox: asyncio.Queue[Subject | Exception] = asyncio.Queue()

    def tell(self, subject: Subject) -> None:
        self._inbox.put_nowait(subject)

    def break_connection(self, error: Exception | None = None) -> None:
        self._inbox.put_nowait(error or DependencyDownError("broken"))

    async def announce(self, subject: Subject) -> None:
        if self.down:
            raise DependencyDownError("down")
        self.told.append(subject)

    async def announced(self) -> AsyncIterator[Subject]:
        self.connections += 1
        while True:
            said = await self._inbox.get()
            if isinstance(said, Exception):
                raise said
            yield said
