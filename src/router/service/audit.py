"""Reading the audit log, and writing what no store of ours commits itself."""

from __future__ import annotations

from datetime import datetime

from contracts.tenant import TenantId
from tenancy.audit import AuditEvent, Deed, Head
from tenancy.ports import AuditLog


class AuditService:
    """`tenant_id` None: the platform's own chain."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    async def write(self, tenant_id: TenantId | None, deed: Deed, *, born: datetime | None = None) -> None:
        await self._log.append(tenant_id, deed, born=born)

    async def recent(
        self, tenant_id: TenantId | None, *, before: int | None, limit: int, born: datetime | None = None
    ) -> list[AuditEvent]:
        return await self._log.recent(tenant_id, before=before, limit=limit, born=born)

    async def page(
        self, tenant_id: TenantId | None, *, after: int, limit: int, born: datetime | None = None
    ) -> list[AuditEvent]:
        return await self._log.page(tenant_id, after=after, limit=limit, born=born)

    async def head(self, tenant_id: TenantId | None, *, born: datetime | None = None) -> Head:
        return await self._log.head(tenant_id, born=born)
