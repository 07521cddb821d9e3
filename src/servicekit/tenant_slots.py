"""How much of one tenant's work goes on at once in this process, so that no tenant takes the place of all others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from contracts.errors import OverloadedError
from contracts.tenant import TenantId


@dataclass(slots=True)
class _Slots:
    free: asyncio.Semaphore
    waiting: int = 0
    held: int = 0


class TenantSlots:
    """`at_once` pieces of each tenant's work at the same time; up to `waiting` more wait, first come, first served."""

    def __init__(self, at_once: int, *, waiting: int) -> None:
        self._at_once = at_once
        self._waiting = waiting
        self._tenants: dict[TenantId, _Slots] = {}

    @asynccontextmanager
    async def held(self, tenant_id: TenantId, *, within_s: float | None = None) -> AsyncIterator[None]:
        """Raises OverloadedError when too many wait already, TimeoutError when none was free `within_s` seconds."""
        slots = self._tenants.setdefault(tenant_id, _Slots(asyncio.Semaphore(self._at_once)))
        if slots.free.locked() and slots.waiting >= self._waiting:
            raise OverloadedError("too much of this tenant's work waits already")
        try:
            slots.waiting += 1
            try:
                async with asyncio.timeout(within_s):
                    await slots.free.acquire()
            finally:
                slots.waiting -= 1
            slots.held += 1
            try:
                yield
            finally:
                slots.held -= 1
                slots.free.release()
        finally:
            if not slots.held and not slots.waiting and self._tenants.get(tenant_id) is slots:
                del self._tenants[tenant_id]
