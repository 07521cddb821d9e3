"""What re-embedding needs of the chunk log in PostgreSQL: the new vectors wait in the chunks' own rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from contracts.errors import NotFoundError
from contracts.tenant import TenantId
from rag.domain.vectors import HalfMatrix, pack_rows
from rag.reembedding import Behind, BehindChunk
from stores.patience import bounded
from stores.postgres import CALL_S, STATEMENT_TIMEOUT_S, Database

_TENANTS = text("SELECT tenant_id FROM tenants_behind(:model, :after, :limit)")

_CLAIM = text("""
    UPDATE tenants SET reembedding_owner = :owner,
           reembedding_until = clock_timestamp() + make_interval(secs => :seconds)
    WHERE tenant_id = :tenant
      AND (reembedding_owner = :owner OR coalesce(reembedding_until, '-infinity') <= clock_timestamp())
""")
_EXISTS = text("SELECT created_at FROM tenants WHERE tenant_id = :tenant")

_BEHIND = text("""
    SELECT chunk_id, seq, body FROM chunks
    WHERE tenant_id = :tenant AND model <> :model AND next_model IS DISTINCT FROM :model
    ORDER BY chunk_id LIMIT :limit
""")
_KEEP = text("""
    UPDATE chunks SET next_model = :model, next_embedding = :embedding
    WHERE tenant_id = :tenant AND chunk_id = :chunk AND seq = :seq AND model <> :model
""")

# The tenant's row first, as every writer of the corpus does: nobody adds a chunk between the look and the switch.
_LOCK = text("SELECT 1 FROM tenants WHERE tenant_id = :tenant FOR NO KEY UPDATE")
_LACKING = text("""
    SELECT 1 FROM chunks
    WHERE tenant_id = :tenant AND model <> :model AND next_model IS DISTINCT FROM :model LIMIT 1
""")
_SWITCH = text("""
    WITH next AS (UPDATE tenants SET corpus_seq = corpus_seq + 1 WHERE tenant_id = :tenant RETURNING corpus_seq)
    UPDATE chunks c SET embedding = c.next_embedding, model = c.next_model, seq = next.corpus_seq,
           next_embedding = NULL, next_model = NULL
    FROM next WHERE c.tenant_id = :tenant AND c.model <> :model
""")


class PostgresReembeddingStore:
    """Implements `ReembeddingStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @bounded(STATEMENT_TIMEOUT_S, "postgres")
    async def tenants_behind(self, model: str, *, after: str, limit: int) -> list[TenantId]:
        async with self._database.no_tenant() as connection:
            found = await connection.execute(_TENANTS, {"model": model, "after": after, "limit": limit})
            return [TenantId(row.tenant_id) for row in found]

    @bounded(CALL_S, "postgres")
    async def claim(self, tenant_id: TenantId, model: str, owner: str, *, seconds: float) -> bool:
        async with self._database.tenant(tenant_id) as connection:
            key = {"tenant": str(tenant_id), "owner": owner, "seconds": seconds}
            if (await connection.execute(_CLAIM, key)).rowcount:
                return True
            if (await connection.execute(_EXISTS, key)).one_or_none() is None:
                raise NotFoundError("there is no such tenant")
        return False

    @bounded(STATEMENT_TIMEOUT_S, "postgres")
    async def behind(self, tenant_id: TenantId, model: str, *, limit: int) -> Behind:
        async with self._database.tenant(tenant_id) as connection:
            key = {"tenant": str(tenant_id), "model": model, "limit": limit}
            tenant = (await connection.execute(_EXISTS, key)).one_or_none()
            if tenant is None:
                raise NotFoundError("there is no such tenant")
            found = await connection.execute(_BEHIND, key)
            return Behind(tenant.created_at, [BehindChunk(row.chunk_id, row.seq, row.body) for row in found])

    @bounded(STATEMENT_TIMEOUT_S, "postgres")
    async def keep(
        self, tenant_id: TenantId, model: str, chunks: Sequence[BehindChunk], vectors: HalfMatrix, *, born: datetime
    ) -> None:
        rows = [
            {
                "tenant": str(tenant_id),
                "model": model,
                "chunk": chunk.chunk_id,
                "seq": chunk.seq,
                "embedding": embedding,
            }
            for chunk, embedding in zip(chunks, pack_rows(vectors), strict=True)
        ]
        async with self._database.tenant(tenant_id, born=born) as connection:
            await connection.execute(_LOCK, {"tenant": str(tenant_id)})
            if rows:
                await connection.execute(_KEEP, rows)

    @bounded(STATEMENT_TIMEOUT_S, "postgres")
    async def switch(self, tenant_id: TenantId, model: str, *, born: datetime) -> bool:
        key = {"tenant": str(tenant_id), "model": model}
        async with self._database.tenant(tenant_id, born=born) as connection:
            await connection.execute(_LOCK, key)
            if (await connection.execute(_LACKING, key)).one_or_none() is not None:
                return False
            await connection.execute(_SWITCH, key)
        return True
