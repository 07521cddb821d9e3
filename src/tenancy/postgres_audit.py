"""The audit log in PostgreSQL. The service role may add to it and read it: it can change and delete nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import NotFoundError
from contracts.tenant import TenantId
from stores.patience import bounded
from stores.postgres import CALL_S, Database
from tenancy.audit import AuditEvent, Deed, Head, link_all

_COLUMNS = (
    "seq, at, actor, role, address, request_id, action, resource, before_hash, after_hash, details, prev_hash, hash"
)
_OPEN = text("INSERT INTO audit_heads (tenant_id, seq, hash) VALUES (:tenant, :seq, :hash) ON CONFLICT DO NOTHING")
_HOLD_TENANT = text("SELECT FROM tenants WHERE tenant_id = :tenant AND state <> 'deleting' FOR KEY SHARE")
_LOCK = text("SELECT seq, hash FROM audit_heads WHERE tenant_id IS NOT DISTINCT FROM :tenant FOR UPDATE")
_HEAD = text("SELECT seq, hash FROM audit_heads WHERE tenant_id IS NOT DISTINCT FROM :tenant")
_ADVANCE = text("UPDATE audit_heads SET seq = :seq, hash = :hash WHERE tenant_id IS NOT DISTINCT FROM :tenant")
_APPEND = text(
    f"INSERT INTO audit_events (tenant_id, {_COLUMNS}) VALUES (:tenant, :seq, :at, :actor, :role, :address,"
    " :request_id, :action, :resource, :before_hash, :after_hash, :details, :prev_hash, :hash)"
)
# A chain has no gaps, so a page is a stretch of numbers: the index finds it however long the chain is. Where somebody
# has made a gap the pages end there, and the head says that they should not.
_PAGE = text(
    f"SELECT {_COLUMNS} FROM audit_events WHERE tenant_id IS NOT DISTINCT FROM :tenant AND seq > :after"
    " AND seq <= :after + :limit ORDER BY seq"
)
_RECENT = text(
    f"SELECT {_COLUMNS} FROM audit_events WHERE tenant_id IS NOT DISTINCT FROM :tenant AND seq < :before"
    " AND seq >= :before - :limit ORDER BY seq DESC"
)


async def append_event(connection: AsyncConnection, tenant_id: TenantId | None, deed: Deed) -> AuditEvent:
    """Add a deed to its chain within the transaction that does it: both are committed, or neither.

    Raises NotFoundError for a tenant that does not exist or is being deleted.
    """
    return (await append_events(connection, tenant_id, [deed]))[0]


async def append_events(
    connection: AsyncConnection, tenant_id: TenantId | None, deeds: Sequence[Deed]
) -> list[AuditEvent]:
    """The same for several deeds, at least one: the chain is held once, however many they are."""
    tenant = tenant_text(tenant_id)
    # The tenant before its chain, as whoever deletes it locks them: in the other order two could wait for each other.
    if tenant_id is not None and (await connection.execute(_HOLD_TENANT, {"tenant": tenant})).one_or_none() is None:
        raise NotFoundError("no such tenant")
    await connection.execute(_OPEN, {"tenant": tenant, "seq": Head().seq, "hash": Head().hash})
    row = (await connection.execute(_LOCK, {"tenant": tenant})).one()
    events = link_all(tenant_id, Head(row.seq, row.hash), deeds, datetime.now(UTC))
    await connection.execute(_APPEND, [{"tenant": tenant, **_values(event)} for event in events])
    await connection.execute(_ADVANCE, {"tenant": tenant, "seq": events[-1].seq, "hash": events[-1].hash})
    return events


class PostgresAuditLog:
    def __init__(self, database: Database) -> None:
        self._database = database

    @bounded(CALL_S, "postgres")
    async def append(self, tenant_id: TenantId | None, deed: Deed, *, born: datetime | None = None) -> AuditEvent:
        async with self._database.scope(tenant_id, born=born) as connection:
            return await append_event(connection, tenant_id, deed)

    @bounded(CALL_S, "postgres")
    async def append_all(
        self, tenant_id: TenantId | None, deeds: Sequence[Deed], *, born: datetime | None = None
    ) -> list[AuditEvent]:
        async with self._database.scope(tenant_id, born=born) as connection:
            return await append_events(connection, tenant_id, deeds)

    @bounded(CALL_S, "postgres")
    async def page(
        self, tenant_id: TenantId | None, *, after: int, limit: int, born: datetime | None = None
    ) -> list[AuditEvent]:
        async with self._database.scope(tenant_id, born=born) as connection:
            found = await connection.execute(_PAGE, {"tenant": tenant_text(tenant_id), "after": after, "limit": limit})
            return [_event(tenant_id, row) for row in found]

    @bounded(CALL_S, "postgres")
    async def recent(
        self, tenant_id: TenantId | None, *, before: int | None, limit: int, born: datetime | None = None
    ) -> list[AuditEvent]:
        named = {"tenant": tenant_text(tenant_id)}
        async with self._database.scope(tenant_id, born=born) as connection:
            head = (await connection.execute(_HEAD, named)).one_or_none()
            above_all = head.seq + 1 if head else 1
            values = {**named, "before": above_all if before is None else min(before, above_all), "limit": limit}
            return [_event(tenant_id, row) for row in await connection.execute(_RECENT, values)]

    @bounded(CALL_S, "postgres")
    async def head(self, tenant_id: TenantId | None, *, born: datetime | None = None) -> Head:
        async with self._database.scope(tenant_id, born=born) as connection:
            row = (await connection.execute(_HEAD, {"tenant": tenant_text(tenant_id)})).one_or_none()
        return Head(row.seq, row.hash) if row else Head()


def tenant_text(tenant_id: TenantId | None) -> str | None:
    """As a statement's `:tenant`; null for the platform."""
    return str(tenant_id) if tenant_id is not None else None


def _values(event: AuditEvent) -> dict[str, Any]:
    return {name: getattr(event, name) for name in _COLUMNS.split(", ")}


def _event(tenant_id: TenantId | None, row: Row[Any]) -> AuditEvent:
    return AuditEvent(tenant_id=tenant_id, **row._mapping)
