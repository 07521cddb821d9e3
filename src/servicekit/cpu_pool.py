"""Work that computes for longer than an event loop may be held up: in a few threads of its own, a tenant at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from contracts.tenant import TenantId
from servicekit.tenant_slots import TenantSlots

R = TypeVar("R")

WAITING = 1_000
"""Pieces of one tenant's work: whoever calls bounds it more closely."""


class CpuPool:
    """The threads are not asyncio's own. Of each tenant one piece at a time is in them or in the queue before them, so
    that tenants take turns."""

    def __init__(self, name: str, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._slots = TenantSlots(1, waiting=WAITING)

    async def run(self, tenant_id: TenantId, work: Callable[[], R]) -> R:
        """What `work` returns or raises. Cancelled, it does not begin, or is waited for to its end: it must be short.

        Raises OverloadedError.
        """
        async with self._slots.held(tenant_id):
            running = self._threads.submit(work)
            ended = asyncio.wrap_future(running)
            try:
                return await asyncio.shield(ended)
            finally:
                if not running.done() and not running.cancel():
                    await asyncio.wait({ended})

    def close(self) -> None:
        """Does not wait for what still runs."""
        self._threads.shutdown(wait=False, cancel_futures=True)
