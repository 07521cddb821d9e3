"""The database's part of deleting a tenant: a job that is opened, worked off in bounded steps, and closed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import ConflictError, NotFoundError
from contracts.tenant import TenantId
from stores.patience import bounded
from stores.postgres import CALL_S, STATEMENT_TIMEOUT_S, Database
from tenancy.audit import Actor, Deed
from tenancy.ports import Deletion
from tenancy.postgres_audit import append_event

_JOB = "tenant_id, requested_by, request_id, started_at, removed"
_MARK = text("UPDATE tenants SET state = 'deleting' WHERE tenant_id = :tenant")
_OPEN = text(
    "INSERT INTO deletions (tenant_id, requested_by, request_id, started_at)"
    " VALUES (:tenant, :by, :request, now()) ON CONFLICT DO NOTHING"
)
_FIND = text(f"SELECT {_JOB} FROM deletions WHERE tenant_id = :tenant")
_HOLD = text("SELECT pg_advisory_xact_lock(hashtextextended('atrium deletion ' || :tenant, 0))")
_STANDS = text("SELECT FROM deletions WHERE tenant_id = :tenant AND started_at = :started")
_LOCK = text("SELECT removed FROM deletions WHERE tenant_id = :tenant FOR UPDATE")
_NOTE = text("UPDATE deletions SET removed = :removed WHERE tenant_id = :tenant")
_PURGE = text("SELECT name, removed FROM purge_tenant(:at_most)")
_REMOVE = text("SELECT remove_purged_tenant()")
_CLOSE = text(f"DELETE FROM deletions WHERE tenant_id = :tenant RETURNING {_JOB}")
_ALL = text(f"SELECT {_JOB} FROM deletions ORDER BY started_at")
_REMAINING = text(
    "SELECT (SELECT count(*) FROM chunks WHERE tenant_id = :tenant)"
    " + (SELECT count(*) FROM documents WHERE tenant_id = :tenant)"
    " + (SELECT count(*) FROM chunk_tombstones WHERE tenant_id = :tenant)"
    " + (SELECT count(*) FROM snapshots WHERE tenant_id = :tenant)"
    " + (SELECT count(*) FROM ingest_jobs WHERE tenant_id = :tenant)"
    " + (SELECT count(*) FROM ingest_parts WHERE tenant_id = :tenant)"
    " + (SELECT count(*) FROM api_keys WHERE tenant_id = :tenant)"
    " + (SELECT count(*) FROM tenant_configs WHERE tenant_id = :tenant)"
    " + (SELECT count(*) FROM audit_events WHERE tenant_id = :tenant)"
    " + (SELECT count(*) FROM audit_heads WHERE tenant_id = :tenant)"
    " + (SELECT count(*) FROM usage_events WHERE tenant_id = :tenant)"
    " + (SELECT count(*) FROM usage_by_day WHERE tenant_id = :tenant)"
    " + (SELECT count(*) FROM usage_by_user WHERE tenant_id = :tenant)"
    " + (SELECT count(*) FROM usage_by_user_month WHERE tenant_id = :tenant)"
    " + (SELECT count(*) FROM conversations WHERE tenant_id = :tenant)"
    " + (SELECT count(*) FROM conversation_turns WHERE tenant_id = :tenant)"
    " + (SELECT count(*) FROM conversation_erasures WHERE tenant_id = :tenant)"
    " + (SELECT count(*) FROM tenant_metrics WHERE tenant_id = :tenant)"
    " + (SELECT count(*) FROM tenants WHERE tenant_id = :tenant)"
)
_ALL_AT_ONCE = 1_000_000


class PostgresDeletionStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    @bounded(CALL_S, "postgres")
    async def begin(self, tenant_id: TenantId, *, by: Actor) -> Deletion:
        named = {"tenant": str(tenant_id)}
        async with self._database.tenant_as_platform(tenant_id) as connection:
            if (await connection.execute(_MARK, named)).rowcount:
                await connection.execute(_OPEN, {**named, "by": by.name, "request": by.request_id})
            job = (await connection.execute(_FIND, named)).one_or_none()
        if job is None:
            raise NotFoundError("no such tenant")
        return _deletion(job)

    @asynccontextmanager
    async def held(self, job: Deletion) -> AsyncIterator[bool]:
        """Keeps a connection for as long. A lock that is waited for longer than a statement may take raises
        DependencyDownError."""
        named = {"tenant": str(job.tenant_id), "started": job.started_at}
        async with self._database.platform() as connection:
            await connection.execute(_HOLD, named)
            yield (await connection.execute(_STANDS, named)).one_or_none() is not None

    @bounded(CALL_S, "postgres")
    async def note(self, tenant_id: TenantId, removed: Mapping[str, int]) -> None:
        async with self._database.platform() as connection:
            await _add(connection, tenant_id, removed)

    @bounded(STATEMENT_TIMEOUT_S, "postgres")
    async def purge(self, tenant_id: TenantId, at_most: int) -> Mapping[str, int]:
        async with self._database.tenant_as_platform(tenant_id) as connection:
            # The job before the tenant, as in `finish`: in the other order two could wait for each other.
            if (await connection.execute(_LOCK, {"tenant": str(tenant_id)})).one_or_none() is None:
                return {}  # another router has finished it
            return await _purge(connection, tenant_id, at_most)

    @bounded(STATEMENT_TIMEOUT_S, "postgres")
    async def finish(self, tenant_id: TenantId, *, by: Actor, proof: Mapping[str, int]) -> Deletion | None:
        named = {"tenant": str(tenant_id)}
        async with self._database.tenant_as_platform(tenant_id) as connection:
            if (await connection.execute(_LOCK, named)).one_or_none() is None:
                return None  # another router has finished it
            while await _purge(connection, tenant_id, _ALL_AT_ONCE):
                pass  # what a write that was under way has left since
            await connection.execute(_REMOVE)
            await _add(connection, tenant_id, {"postgres.tenants": 1})
            left = int((await connection.execute(_REMAINING, named)).scalar_one())
            if left:
                raise ConflictError("rows of the tenant are left that the purge does not know")
            job = (await connection.execute(_CLOSE, named)).one()
            details = {"removed": job.removed, "left": {**proof, "postgres": left}, "begun_by": job.requested_by}
            await append_event(connection, None, Deed(by, "tenant.delete", f"tenant/{tenant_id}", details=details))
        return _deletion(job)

    @bounded(CALL_S, "postgres")
    async def unfinished(self) -> Sequence[Deletion]:
        async with self._database.platform() as connection:
            return [_deletion(row) for row in await connection.execute(_ALL)]


async def _purge(connection: AsyncConnection, tenant_id: TenantId, at_most: int) -> Mapping[str, int]:
    rows = (await connection.execute(_PURGE, {"at_most": at_most})).all()
    removed = {f"postgres.{row.name}": int(row.removed) for row in rows}
    if removed:
        await _add(connection, tenant_id, removed)
    return removed


async def _add(connection: AsyncConnection, tenant_id: TenantId, removed: Mapping[str, int]) -> None:
    row = (await connection.execute(_LOCK, {"tenant": str(tenant_id)})).one_or_none()
    if row is None:
        return  # another router has finished the job
    sums = dict(row.removed)
    for name, count in removed.items():
        sums[name] = sums.get(name, 0) + count
    await connection.execute(_NOTE, {"tenant": str(tenant_id), "removed": json.dumps(sums)})


def _deletion(row: Row[Any]) -> Deletion:
    return Deletion(TenantId(row.tenant_id), row.requested_by, row.request_id, row.started_at, row.removed)
