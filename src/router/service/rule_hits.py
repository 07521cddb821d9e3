"""Rule hits into the tenants' audit logs, behind the requests' backs: no request waits for the database, or fails
with it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial

from contracts.errors import AtriumError, NotFoundError
from contracts.tenant import TenantId
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from router.domain.caller import Caller
from router.domain.rule_hits import RuleHit, TenantHits, deed_of
from tenancy.ports import AuditLog

MAX_WAITING = 10_000
"""Hits of all tenants that are not written yet: some twenty megabytes. Of a tenant that finds no room the number is
kept."""
EVERY_S, PAUSE_S, DRAIN_S = 1.0, 5.0, 3.0
"""Between two rounds of writing; behind one that failed; and for the last one at the end."""

Key = tuple[TenantId, datetime]
"""A tenant, and when it was made: the hits of one that is gone are not another's of the same id."""

_logger = logging.getLogger("atrium.rule_hits")


class RuleHits:
    """One transaction a tenant and second at most. A batch whose commit was not heard of is written again: then its
    hits stand in the log twice, with the same request ids."""

    def __init__(
        self,
        audit: AuditLog,
        metrics: Metrics,
        *,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
        every_s: float = EVERY_S,
        pause_s: float = PAUSE_S,
        drain_s: float = DRAIN_S,
    ) -> None:
        self._audit = audit
        self._metrics = metrics
        self._now = now
        self._clock = clock
        self._every_s = every_s
        self._pause_s = pause_s
        self._drain_s = drain_s
        self._tenants: OrderedDict[Key, TenantHits] = OrderedDict()
        self._waiting = 0
        self._noted, self._closing = asyncio.Event(), asyncio.Event()
        self._failing = False

    def note(self, caller: Caller, hit: RuleHit) -> None:
        """Returns at once and never raises."""
        if self._closing.is_set():
            self._dropped("closed")
            return
        at, now = self._now(), self._clock()
        hits = self._tenants.setdefault((caller.tenant_id, caller.born), TenantHits(began=now))
        left_out = hits.take(partial(deed_of, caller, hit, at), now, at, full=self._waiting >= MAX_WAITING)
        if left_out is not None:
            self._dropped(left_out)
        else:
            self._waiting += 1
        self._noted.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """At the end what waits is written, for a bounded time; the rest is counted."""
        task = asyncio.create_task(self._run(), name="rule hits")
        try:
            yield
        finally:
            self._closing.set()
            self._noted.set()
            await asyncio.wait({task}, timeout=self._drain_s)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._give_up()

    async def _run(self) -> None:
        while not self._closing.is_set():
            await self._noted.wait()
            await self._rest(self._every_s)
            if not await self._write():
                await self._rest(self._pause_s)
            if not self._tenants:
                self._noted.clear()
        await self._write()

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    async def _write(self) -> bool:
        """A round over the tenants; False where the database does not answer, and the rest of the round waits."""
        for key in list(self._tenants):
            try:
                await self._write_one(key)
            except NotFoundError:
                self._forget(key, "tenant_gone")
            except AtriumError as error:
                self._tenants.move_to_end(key)  # should it be this tenant's chain alone, the others come first
                self._fail(error.code)
                return False
            except Exception as error:  # noqa: BLE001  the edge of a background task: what cannot be written holds up nothing
                self._fail(type(error).__name__)
                self._forget(key, "failed")
        return True

    async def _write_one(self, key: Key) -> None:
        hits = self._tenants[key]
        deeds = hits.due(self._clock(), self._now(), at_end=self._closing.is_set())
        if deeds:
            tenant_id, born = key
            await self._audit.append_all(tenant_id, deeds, born=born)
            self._waiting -= hits.written(deeds, self._clock(), self._now())
            self._works()
        if hits.is_over(self._clock()):
            del self._tenants[key]

    def _forget(self, key: Key, reason: str) -> None:
        hits = self._tenants.pop(key)
        self._waiting -= len(hits.waiting)
        self._dropped(reason, len(hits.waiting))

    def _give_up(self) -> None:
        for key in list(self._tenants):
            self._forget(key, "closed")

    def _works(self) -> None:
        if self._failing:
            self._failing = False
            log(_logger, logging.INFO, "rule hits are written again", hits=self._waiting)

    def _fail(self, reason: str) -> None:
        """Counted each time, told once until it works again."""
        self._metrics.count(names.HOUSEKEEPING_FAILURE, job="rule_hits", reason=reason)
        if not self._failing:
            self._failing = True
            log(_logger, logging.WARNING, "rule hits cannot be written, and wait", hits=self._waiting, reason=reason)

    def _dropped(self, reason: str, hits: int = 1) -> None:
        if hits:
            self._metrics.count(names.RULE_HIT_DROPPED, hits, reason=reason)
