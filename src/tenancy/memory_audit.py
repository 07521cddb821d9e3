"""The audit log in memory: the same chain as in PostgreSQL, for tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from contracts.errors import NotFoundError
from contracts.tenant import TenantId
from tenancy.audit import AuditEvent, Deed, Head, link


class MemoryAuditLog:
    def __init__(self) -> None:
        self.chains: defaultdict[TenantId | None, list[AuditEvent]] = defaultdict(list)
        self.born_of: Callable[[TenantId], datetime | None] | None = None
        """When the tenant that has an id was made; None: nobody asks."""

    def require(self, tenant_id: TenantId | None, born: datetime | None) -> None:
        if born is not None and tenant_id is not None and self.born_of is not None and self.born_of(tenant_id) != born:
            raise NotFoundError("no such tenant")

    def write(self, tenant_id: TenantId | None, deed: Deed) -> AuditEvent:
        chain = self.chains[tenant_id]
        chain.append(link(tenant_id, self._head(tenant_id), deed, datetime.now(UTC)))
        return chain[-1]

    async def append(self, tenant_id: TenantId | None, deed: Deed, *, born: datetime | None = None) -> AuditEvent:
        self.require(tenant_id, born)
        return self.write(tenant_id, deed)

    async def append_all(
        self, tenant_id: TenantId | None, deeds: Sequence[Deed], *, born: datetime | None = None
    ) -> list[AuditEvent]:
        self.require(tenant_id, born)
        return [self.write(tenant_id, deed) for deed in deeds]

    async def page(
        self, tenant_id: TenantId | None, *, after: int, limit: int, born: datetime | None = None
    ) -> list[AuditEvent]:
        self.require(tenant_id, born)
        return [event for event in self.chains[tenant_id] if event.seq > after][:limit]

    async def recent(
        self, tenant_id: TenantId | None, *, before: int | None, limit: int, born: datetime | None = None
    ) -> list[AuditEvent]:
        self.require(tenant_id, born)
        found = [event for event in self.chains[tenant_id] if before is None or event.seq < before]
        return found[::-1][:limit]

    async def head(self, tenant_id: TenantId | None, *, born: datetime | None = None) -> Head:
        self.require(tenant_id, born)
        return self._head(tenant_id)

    def _head(self, tenant_id: TenantId | None) -> Head:
        chain = self.chains[tenant_id]
        return Head(chain[-1].seq, chain[-1].hash) if chain else Head()
