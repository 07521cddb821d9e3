"""Deleting a tenant everywhere, as a job that can be taken up again where it stopped, with a receipt at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from contracts.errors import AtriumError, UpstreamError
from contracts.tenant import TenantId
from observability.logging import log
from router.domain.policy import Policy
from servicekit.tokens import utc_now
from tenancy.audit import Actor
from tenancy.feed import ChangeFeed
from tenancy.live import LiveTenants
from tenancy.ports import Deletion, DeletionStore

SETTLE_S = 1.0
"""From the mark to the sweep: after it no router admits a request of the tenant any more."""
ROWS_AT_ONCE = 2_000
SWEEPS = 3
AT_ONCE = 3
"""Each keeps a connection to the database while it works; the others wait for their turn."""

_logger = logging.getLogger("atrium.deletion")


class TenantTraces(Protocol):
    """A place outside the database where a tenant leaves something. Both methods may be repeated."""

    name: str

    async def remove(self, tenant_id: TenantId) -> int:
        """Remove all of it; returns how many things there were."""
        ...

    async def count(self, tenant_id: TenantId) -> int:
        """How many are left."""
        ...


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was removed and what is left, by store. `left` must be all zeros."""

    tenant_id: TenantId
    started_at: datetime
    finished_at: datetime
    removed: Mapping[str, int]
    left: Mapping[str, int]


class DeletionService:
    def __init__(
        self,
        store: DeletionStore,
        traces: tuple[TenantTraces, ...],
        live: LiveTenants[Policy],
        feed: ChangeFeed,
        *,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._store = store
        self._traces = traces
        self._live = live
        self._feed = feed
        self._settle_s = settle_s
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def delete(self, tenant_id: TenantId, *, by: Actor) -> Receipt:
        """From the first line on the tenant is not found any more; what fails later is taken up again by the next
        call, or by `resume`. Raises NotFoundError, DependencyDownError, UpstreamError."""
        job = await self._store.begin(tenant_id, by=by)
        self._live.forget(tenant_id)
        await self._feed.announce(tenant_id)
        return await self._work_off(job, by)

    async def resume(self) -> None:
        """Finish what was begun and not finished. A job that still cannot be finished stays for the next time."""
        for job in await self._store.unfinished():
            try:
                await self._work_off(job, Actor("router", "service", request_id=job.request_id))
            except AtriumError as error:
                log(
                    _logger,
                    logging.WARNING,
                    "a tenant's deletion cannot be finished yet",
                    tenant_id=str(job.tenant_id),
                    reason=error.message,
                )

    async def _work_off(self, job: Deletion, by: Actor) -> Receipt:
        tenant_id = job.tenant_id
        await asyncio.sleep(self._settle_s)  # from now, not from the mark: clocks may differ
        async with self._turn, self._store.held(job) as ours:
            if ours:
                return await self._remove(job, by)
        left = {trace.name: 0 for trace in self._traces}  # another router has finished it, which it does at 0 only
        return Receipt(tenant_id, job.started_at, utc_now(), job.removed, {**left, "postgres": 0})

    async def _remove(self, job: Deletion, by: Actor) -> Receipt:
        tenant_id = job.tenant_id
        while await self._store.purge(tenant_id, ROWS_AT_ONCE):
            pass
        left = {trace.name: await self._sweep(tenant_id, trace) for trace in self._traces}
        done = await self._store.finish(tenant_id, by=by, proof=left)
        self._live.forget(tenant_id)
        await self._feed.announce(tenant_id)
        return Receipt(tenant_id, job.started_at, utc_now(), (done or job).removed, {**left, "postgres": 0})

    async def _sweep(self, tenant_id: TenantId, trace: TenantTraces) -> int:
        """What is left, which is 0: a request that was under way may have left something behind the first sweep."""
        for _ in range(SWEEPS):
            removed = await trace.remove(tenant_id)
            await self._store.note(tenant_id, {trace.name: removed})
            left = await trace.count(tenant_id)
            if left == 0:
                return 0
        raise UpstreamError(f"{trace.name} of the tenant come back while they are removed", details={"left": left})
