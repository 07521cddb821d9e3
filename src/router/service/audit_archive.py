"""The nightly archive of the audit log: JSON Lines in the object store, one object for each stretch of the chain.

What is archived is read off the store itself, so nothing has to be remembered: an object `audit/<first>-<last>.jsonl`
holds the events from `first` to `last`. It is put only if it is not there yet; two routers that archive at once write
the same events, never half of them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import date, datetime

import orjson

from contracts.tenant import TenantId
from observability.logging import log
from stores.objects import Objects
from tenancy.ports import AuditLog, TenantState, TenantStore

AT_HOUR_UTC = 2
_PREFIX = "audit/"
_NAME = re.compile(r"audit/\d{12}-(\d{12})\.jsonl")
_EVENTS_AT_ONCE = 5_000
_TENANTS_AT_ONCE = 500

_logger = logging.getLogger("atrium.audit")


class AuditArchive:
    """`now` in UTC. Call `run_if_due` often: it works once a night."""

    def __init__(self, log_: AuditLog, tenants: TenantStore, objects: Objects, *, now: Callable[[], datetime]) -> None:
        self._log = log_
        self._tenants = tenants
        self._objects = objects
        self._now = now
        self._done_on: date | None = None

    async def run_if_due(self) -> None:
        today = self._now()
        if today.hour < AT_HOUR_UTC or self._done_on == today.date():
            return
        archived = await self.run()
        self._done_on = today.date()
        log(_logger, logging.INFO, "audit log archived", events=archived)

    async def run(self) -> int:
        """Archive what is new of every tenant; returns the number of events. Raises DependencyDownError."""
        archived, after = 0, ""
        while page := await self._tenants.list(after, _TENANTS_AT_ONCE):
            for tenant in page:
                archived += await self.archive(tenant.tenant_id)
            after = str(page[-1].tenant_id)
        return archived

    async def archive(self, tenant_id: TenantId) -> int:
        """Archive what is new of one tenant; nothing of one that is being deleted."""
        born = await self._born(tenant_id)
        if born is None:
            return 0
        last = await self._last_archived(tenant_id)
        archived = 0
        while events := await self._log.page(tenant_id, after=last, limit=_EVENTS_AT_ONCE):
            lines = b"".join(orjson.dumps(event.as_json()) + b"\n" for event in events)
            first, last = events[0].seq, events[-1].seq
            key = f"{_PREFIX}{first:012}-{last:012}.jsonl"
            put = await self._objects.put(tenant_id, key, lines, if_absent=True)
            if await self._born(tenant_id) != born:
                # Its objects may have been swept before this one was put. Asked afterwards: a deletion that is
                # marked later than the answer sweeps later too.
                if put:
                    await self._objects.delete(tenant_id, key)
                break
            archived += len(events)
        return archived

    async def _born(self, tenant_id: TenantId) -> datetime | None:
        """When the tenant was made, which tells it from another of the same id; None if it is gone, or going."""
        found = await self._tenants.read(tenant_id)
        if found is None or found.revision.state is TenantState.DELETING:
            return None
        return found.revision.born

    async def _last_archived(self, tenant_id: TenantId) -> int:
        names = [_NAME.fullmatch(key) for key in await self._objects.list(tenant_id, _PREFIX)]
        return max((int(name.group(1)) for name in names if name), default=0)
