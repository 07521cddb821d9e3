"""How far each tenant's log is compacted, in PostgreSQL beside the log itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import text

from contracts.errors import NotFoundError
from contracts.tenant import TenantId
from rag.adapters import chunk_sql as sql
from rag.domain.corpus import CorpusVersion
from rag.domain.snapshot import Copy, Mark, Stale
from stores.patience import bounded
from stores.postgres import CALL_S, STATEMENT_TIMEOUT_S, Database

_MARK = text("""
    SELECT s.seq, s.digest, s.chunks, t.created_at FROM snapshots s JOIN tenants t USING (tenant_id)
    WHERE s.tenant_id = :tenant AND s.model = :model
""")
# Never back: of two writers the one that has read further wins, and of two that have read as far the first.
_ADVANCE = text("""
    INSERT INTO snapshots AS s (tenant_id, model, seq, digest, chunks)
    VALUES (:tenant, :model, :seq, :digest, :chunks)
    ON CONFLICT (tenant_id, model) DO UPDATE SET
      seq = excluded.seq, digest = excluded.digest, chunks = excluded.chunks, written_at = clock_timestamp()
    WHERE s.seq < excluded.seq OR (s.seq = excluded.seq AND s.digest IS NULL)
""")
# A mark whose snapshot cannot be used, so that the next one is not taken for a repetition of it.
_DISCREDIT = text("""
    UPDATE snapshots SET digest = NULL, seq = 0, chunks = 0
    WHERE tenant_id = :tenant AND model = :model AND digest = :digest
""")
_ABANDONED = text("""
    SELECT s.model FROM snapshots s WHERE s.tenant_id = :tenant AND s.model <> :model
      AND NOT EXISTS (SELECT FROM chunks c WHERE c.tenant_id = :tenant AND c.model = s.model)
""")
_DROP = text("DELETE FROM snapshots WHERE tenant_id = :tenant AND model = :model")
_TRIM = text("""
    WITH floor AS (
      SELECT seq FROM chunk_tombstones WHERE tenant_id = :tenant AND seq <= :upto
      ORDER BY seq DESC OFFSET :keep LIMIT 1),
    gone AS (DELETE FROM chunk_tombstones WHERE tenant_id = :tenant AND seq <= (SELECT seq FROM floor))
    UPDATE tenants SET log_start = greatest(log_start, (SELECT seq FROM floor))
    WHERE tenant_id = :tenant AND EXISTS (SELECT FROM floor)
""")
_CLAIM = text("""
    UPDATE tenants SET compacting_until = clock_timestamp() + :lease
    WHERE tenant_id = :tenant AND coalesce(compacting_until, '-infinity') < clock_timestamp()
""")
_RELEASE = text("UPDATE tenants SET compacting_until = NULL WHERE tenant_id = :tenant")
_DUE = text("SELECT tenant_id FROM corpora_to_compact(:model, :writes, :age, :stored_from, :limit)")
_STALE = text("SELECT tenant_id, gone FROM stale_copies(:model, :tenants, :digests, :births)")


class PostgresMarks:
    def __init__(self, database: Database) -> None:
        self._database = database

    @bounded(CALL_S, "postgres")
    async def mark(self, tenant_id: TenantId, model: str) -> Mark | None:
        async with self._database.tenant(tenant_id) as connection:
            row = (await connection.execute(_MARK, {"tenant": str(tenant_id), "model": model})).one_or_none()
        if row is None:
            return None
        digest = bytes(row.digest) if row.digest is not None else None
        return Mark(CorpusVersion(row.created_at, row.seq), digest, row.chunks)

    @bounded(CALL_S, "postgres")
    async def advance(self, tenant_id: TenantId, model: str, mark: Mark) -> bool:
        key = {"tenant": str(tenant_id), "model": model}
        values = {**key, "seq": mark.version.seq, "digest": mark.digest, "chunks": mark.chunks}
        async with self._database.tenant(tenant_id, born=mark.version.born) as connection:
            if (await connection.execute(sql.LOCK_TENANT, key)).one_or_none() is None:
                raise NotFoundError("there is no such tenant")
            return (await connection.execute(_ADVANCE, values)).rowcount > 0

    @bounded(CALL_S, "postgres")
    async def discredit(self, tenant_id: TenantId, model: str, digest: bytes) -> None:
        async with self._database.tenant(tenant_id) as connection:
            await connection.execute(_DISCREDIT, {"tenant": str(tenant_id), "model": model, "digest": digest})

    @bounded(STATEMENT_TIMEOUT_S, "postgres")
    async def abandoned(self, tenant_id: TenantId, model: str) -> Sequence[str]:
        async with self._database.tenant(tenant_id) as connection:
            found = await connection.execute(_ABANDONED, {"tenant": str(tenant_id), "model": model})
            return [row.model for row in found]

    @bounded(CALL_S, "postgres")
    async def drop(self, tenant_id: TenantId, model: str) -> None:
        async with self._database.tenant(tenant_id) as connection:
            await connection.execute(_DROP, {"tenant": str(tenant_id), "model": model})

    @bounded(STATEMENT_TIMEOUT_S, "postgres")
    async def trim(self, tenant_id: TenantId, upto: CorpusVersion, *, keep: int) -> None:
        values = {"tenant": str(tenant_id), "upto": upto.seq, "keep": keep}
        async with self._database.tenant(tenant_id, born=upto.born) as connection:
            # The tenant before its tombstones, as the purge does: in the other order two could wait for each other.
            await connection.execute(sql.LOCK_TENANT, values)
            await connection.execute(_TRIM, values)

    @bounded(CALL_S, "postgres")
    async def claim(self, tenant_id: TenantId, lease: timedelta) -> bool:
        async with self._database.tenant(tenant_id) as connection:
            claimed = await connection.execute(_CLAIM, {"tenant": str(tenant_id), "lease": lease})
        return claimed.rowcount > 0

    @bounded(CALL_S, "postgres")
    async def release(self, tenant_id: TenantId, born: datetime) -> None:
        async with self._database.tenant(tenant_id, born=born) as connection:
            await connection.execute(_RELEASE, {"tenant": str(tenant_id)})

    @bounded(STATEMENT_TIMEOUT_S, "postgres")
    async def due(
        self, model: str, *, writes: int, age: timedelta, stored_from: int | None, limit: int
    ) -> Sequence[TenantId]:
        values = {"model": model, "writes": writes, "age": age, "stored_from": stored_from, "limit": limit}
        async with self._database.no_tenant() as connection:
            return [TenantId(row.tenant_id) for row in await connection.execute(_DUE, values)]

    @bounded(STATEMENT_TIMEOUT_S, "postgres")
    async def stale(self, model: str, copies: Sequence[Copy]) -> Sequence[Stale]:
        values = {
            "model": model,
            "tenants": [str(copy.tenant_id) for copy in copies],
            "digests": [copy.digest for copy in copies],
            "births": [copy.born for copy in copies],
        }
        async with self._database.no_tenant() as connection:
            return [Stale(TenantId(row.tenant_id), row.gone) for row in await connection.execute(_STALE, values)]
