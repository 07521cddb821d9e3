"""The chunk log in PostgreSQL. Each method is one transaction that sees one tenant's rows only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import NotFoundError
from contracts.retrieval import DocumentInfo, StoredPassage
from contracts.tenant import TenantId
from rag.adapters import chunk_sql as sql
from rag.domain.corpus import Chunk, ChunkRecord, Corpus, CorpusVersion, Document, Standing
from rag.domain.vectors import HalfMatrix, pack_rows, unpack_rows
from stores.patience import bounded
from stores.postgres import CALL_S, STATEMENT_TIMEOUT_S, Database

ROWS_AT_ONCE = 500
"""Of a load: between two portions the event loop serves others."""


class PostgresChunkStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    @bounded(CALL_S, "postgres")
    async def version(self, tenant_id: TenantId, *, born: datetime | None = None) -> CorpusVersion:
        async with self._database.tenant(tenant_id, born=born) as connection:
            return await _version(connection, tenant_id)

    @bounded(STATEMENT_TIMEOUT_S, "postgres")
    async def load(self, tenant_id: TenantId, model: str, dimension: int) -> Corpus:
        records: list[ChunkRecord] = []
        packed: list[bytes] = []
        of_other_models = 0
        async with self._database.tenant(tenant_id) as connection:
            # Read before the chunks: a write in between makes the view newer than its version, never older.
            version = await _version(connection, tenant_id)
            result = await connection.stream(sql.CHUNKS, {"tenant": str(tenant_id)})
            async for rows in result.partitions(ROWS_AT_ONCE):
                for row in rows:
                    if row.model == model:
                        records.append(_record(row))
                        packed.append(bytes(row.embedding))
                    else:
                        of_other_models += 1
        return Corpus(version, tuple(records), unpack_rows(packed, dimension), of_other_models)

    @bounded(CALL_S, "postgres")
    async def standing(self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None) -> Standing | None:
        async with self._database.tenant(tenant_id, born=born) as connection:
            found = await connection.execute(sql.STANDING, {"tenant": str(tenant_id), "document": document_id})
            row = found.one_or_none()
        return _standing(row) if row else None

    @bounded(STATEMENT_TIMEOUT_S, "postgres")
    async def put(
        self,
        tenant_id: TenantId,
        document: Document,
        chunks: Sequence[Chunk],
        vectors: HalfMatrix,
        model: str,
        *,
        born: datetime | None = None,
    ) -> int:
        async with self._database.tenant(tenant_id, born=born) as connection:
            seq = await _next_seq(connection, tenant_id)
            key = {"tenant": str(tenant_id), "document": document.document_id, "seq": seq}
            await connection.execute(sql.PUT_DOCUMENT, {**key, **_document_values(document, len(chunks))})
            await connection.execute(sql.DELETE_CHUNKS, key)
            rows = [
                {**key, **_chunk_values(chunk), "embedding": packed, "model": model}
                for chunk, packed in zip(chunks, pack_rows(vectors), strict=True)
            ]
            await connection.execute(sql.INSERT_CHUNK, rows)
        return seq

    @bounded(CALL_S, "postgres")
    async def delete(self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None) -> bool:
        key = {"tenant": str(tenant_id), "document": document_id}
        async with self._database.tenant(tenant_id, born=born) as connection:
            # The tenant's row is locked first, as every writer does: two in another order could wait for each other.
            if (await connection.execute(sql.LOCK_TENANT, key)).one_or_none() is None:
                raise NotFoundError("there is no such tenant")
            deleted = (await connection.execute(sql.DELETE_DOCUMENT, key)).rowcount > 0
            if deleted:
                await _next_seq(connection, tenant_id)
        return deleted

    @bounded(CALL_S, "postgres")
    async def document(
        self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None
    ) -> DocumentInfo | None:
        async with self._database.tenant(tenant_id, born=born) as connection:
            found = await connection.execute(sql.DOCUMENT, {"tenant": str(tenant_id), "document": document_id})
            row = found.one_or_none()
        return _info(row) if row else None

    @bounded(STATEMENT_TIMEOUT_S, "postgres")
    async def passages(
        self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None
    ) -> list[StoredPassage]:
        async with self._database.tenant(tenant_id, born=born) as connection:
            found = await connection.execute(sql.PASSAGES, {"tenant": str(tenant_id), "document": document_id})
            return [
                StoredPassage(chunk_id=row.chunk_id, start=row.char_start, end=row.char_end, text=row.body)
                for row in found
            ]

    @bounded(CALL_S, "postgres")
    async def documents(
        self, tenant_id: TenantId, *, after: str, limit: int, born: datetime | None = None
    ) -> list[DocumentInfo]:
        page = {"tenant": str(tenant_id), "after": after, "limit": limit}
        async with self._database.tenant(tenant_id, born=born) as connection:
            return [_info(row) for row in await connection.execute(sql.DOCUMENTS, page)]


async def _version(connection: AsyncConnection, tenant_id: TenantId) -> CorpusVersion:
    row = (await connection.execute(sql.VERSION, {"tenant": str(tenant_id)})).one_or_none()
    if row is None:
        raise NotFoundError("there is no such tenant")
    return CorpusVersion(row.created_at, row.corpus_seq)


async def _next_seq(connection: AsyncConnection, tenant_id: TenantId) -> int:
    """Takes the tenant's row lock: from here to the commit no other writer of this tenant runs."""
    row = (await connection.execute(sql.NEXT_SEQ, {"tenant": str(tenant_id)})).one_or_none()
    if row is None:
        raise NotFoundError("there is no such tenant")
    return int(row.corpus_seq)


def _document_values(document: Document, chunks: int) -> dict[str, Any]:
    return {
        "title": document.title,
        "filename": document.filename,
        "metadata": json.dumps(document.metadata),  # not orjson: it knows no integer beyond 64 bits
        "content_hash": document.content_hash,
        "bytes": document.size_bytes,
        "chunks": chunks,
    }


def _chunk_values(chunk: Chunk) -> dict[str, Any]:
    return {
        "chunk": chunk.chunk_id,
        "ordinal": chunk.ordinal,
        "body": chunk.text,
        "start": chunk.start,
        "end": chunk.end,
    }


def _record(row: Row[Any]) -> ChunkRecord:
    return ChunkRecord(
        TenantId(row.tenant_id), row.chunk_id, row.document_id, row.title, row.body, row.char_start, row.char_end
    )


def _standing(row: Row[Any]) -> Standing:
    document = Document(row.document_id, row.title, row.filename, row.metadata, bytes(row.content_hash), row.bytes)
    return Standing(document, row.model, row.chunks, row.seq)


def _info(row: Row[Any]) -> DocumentInfo:
    return DocumentInfo(
        document_id=row.document_id,
        title=row.title,
        filename=row.filename,
        chunks=row.chunks,
        bytes=row.bytes,
        seq=row.seq,
        metadata=row.metadata,
        created_at=row.created_at,
    )
