"""The chunk log in PostgreSQL. Each method is one transaction that sees one tenant's rows only."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import NotFoundError
from contracts.retrieval import DocumentInfo, Metadata, StoredPassage
from contracts.tenant import TenantId
from rag.adapters import chunk_sql as sql
from rag.domain.corpus import Chunk, ChunkRecord, ChunkTail, Corpus, CorpusVersion, Document, Scanned, Standing
from rag.domain.query import ChunkRows
from rag.domain.vectors import HalfMatrix, pack_rows, unpack_rows
from rag.ports import Take
from stores.patience import bounded
from stores.postgres import CALL_S, STATEMENT_TIMEOUT_S, Database

ROWS_AT_ONCE = 500
"""Of a load: between two portions the event loop serves others."""

INSERTED_AT_ONCE = 500
"""Of a document, all in one transaction: a book of 40,000 chunks must not hold the event loop for a second."""

TAIL_S = 600.0
"""All that has changed; each portion of it is bounded by the time that a statement may take."""

SCAN_S = 1_800.0
"""A whole corpus, and what is made of it between its portions."""


class PostgresChunkStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    @bounded(CALL_S, "postgres")
    async def version(self, tenant_id: TenantId, *, born: datetime | None = None) -> CorpusVersion:
        async with self._database.tenant(tenant_id, born=born) as connection:
            return await _version(connection, tenant_id)

    @bounded(SCAN_S, "postgres")
    async def scan(self, tenant_id: TenantId, model: str, dimension: int, take: Take, *, portion: int) -> Scanned:
        reader = _Reader(model)
        async with self._database.tenant(tenant_id) as connection:
            async for rows in _portions_read(connection, sql.CORPUS, {"tenant": str(tenant_id), "after": 0}):
                reader.take_all(rows)
                if len(reader) >= portion:
                    await take(reader.taken(dimension))
        if len(reader):
            await take(reader.taken(dimension))
        return reader.scanned()

    @bounded(TAIL_S, "postgres")
    async def tail(self, tenant_id: TenantId, after: CorpusVersion, model: str, dimension: int) -> ChunkTail | None:
        async with self._database.tenant(tenant_id) as connection:
            reader = await _read(connection, sql.TAIL, {"tenant": str(tenant_id), "after": after.seq}, model)
        if reader.head.born != after.born or after.seq < reader.head.log_start:
            return None
        return ChunkTail(reader.corpus(dimension), frozenset(reader.head.removed))

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
        key = {"tenant": str(tenant_id), "document": document.document_id}
        values = _document_values(document, len(chunks))
        async with self._database.tenant(tenant_id, born=born) as connection:
            await connection.execute(sql.LOCK_DOCUMENT, key)
            rows = _portions(key, chunks, vectors, model)
            staged = len(chunks) > INSERTED_AT_ONCE and await _stage(connection, key, values, rows)
            seq = await _next_seq(connection, tenant_id)
            placed = {**key, "seq": seq}
            await connection.execute(sql.PUT_DOCUMENT, {**placed, **values})
            await connection.execute(sql.REMOVE_CHUNKS, placed)
            if staged:
                await connection.execute(sql.PLACE_CHUNKS, placed)
            else:
                for some in rows:
                    await connection.execute(sql.INSERT_CHUNK, [{**row, "seq": seq} for row in some])
        return seq

    @bounded(CALL_S, "postgres")
    async def delete(self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None) -> bool:
        key = {"tenant": str(tenant_id), "document": document_id}
        async with self._database.tenant(tenant_id, born=born) as connection:
            # Locked in this order by every writer: two in another could wait for each other.
            await connection.execute(sql.LOCK_DOCUMENT, key)
            row = (await connection.execute(sql.LOCK_TENANT, key)).one_or_none()
            if row is None:
                raise NotFoundError("there is no such tenant")
            await connection.execute(sql.REMOVE_CHUNKS, {**key, "seq": row.corpus_seq + 1})
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


class _Reader:
    """Takes the rows of the log apart, portion by portion."""

    def __init__(self, model: str) -> None:
        self.head: Row[Any]
        self._model = model
        self._records: list[ChunkRecord] = []
        self._packed: list[bytes] = []
        self._of_other_models = 0
        self._metadata: Metadata = {}

    def take(self, row: Row[Any]) -> None:
        if row.chunk_id is None:
            self.head = row
            return
        if row.ordinal == 0:
            self._metadata = row.metadata  # one object, shared by the document's chunks
        if row.model != self._model:
            self._of_other_models += 1
            return
        self._packed.append(bytes(row.embedding))
        self._records.append(
            ChunkRecord(
                *(TenantId(row.tenant_id), row.chunk_id, row.document_id, row.title, row.body),
                *(row.char_start, row.char_end, row.seq, self._metadata, row.heading),
            )
        )

    def take_all(self, rows: Sequence[Row[Any]]) -> None:
        for row in rows:
            self.take(row)

    def __len__(self) -> int:
        """Chunks that were not taken from here."""
        return len(self._records)

    def taken(self, dimension: int) -> ChunkRows:
        rows = ChunkRows(self._records, unpack_rows(self._packed, dimension))
        self._records, self._packed = [], []
        return rows

    def scanned(self) -> Scanned:
        return Scanned(CorpusVersion(self.head.born, self.head.seq), self._of_other_models)

    def corpus(self, dimension: int) -> Corpus:
        found, rows = self.scanned(), self.taken(dimension)
        return Corpus(found.version, tuple(rows.records), rows.vectors, found.of_other_models)


async def _read(connection: AsyncConnection, statement: TextClause, parameters: dict[str, Any], model: str) -> _Reader:
    reader = _Reader(model)
    async for rows in _portions_read(connection, statement, parameters):
        reader.take_all(rows)
    return reader


async def _portions_read(
    connection: AsyncConnection, statement: TextClause, parameters: dict[str, Any]
) -> AsyncIterator[Sequence[Row[Any]]]:
    """The first row is the tenant's. Raises NotFoundError."""
    found = False
    result = await connection.stream(statement, parameters)
    async for rows in result.partitions(ROWS_AT_ONCE):
        found = True
        yield rows
    if not found:
        raise NotFoundError("there is no such tenant")


async def _version(connection: AsyncConnection, tenant_id: TenantId) -> CorpusVersion:
    row = (await connection.execute(sql.VERSION, {"tenant": str(tenant_id)})).one_or_none()
    if row is None:
        raise NotFoundError("there is no such tenant")
    return CorpusVersion(row.created_at, row.corpus_seq)


async def _stage(
    connection: AsyncConnection, key: dict[str, Any], values: dict[str, Any], rows: Iterator[list[dict[str, Any]]]
) -> bool:
    """Insert a large document's chunks before the tenant's row is locked: what else is written to the tenant does not
    wait for them. False, and nothing done, where the same file stands already: then its chunks have the same ids."""
    key = {**key, "seq": sql.STAGED}
    found = (await connection.execute(sql.CONTENT, key)).one_or_none()
    if found is None:
        raise NotFoundError("there is no such tenant")
    standing = found.content_hash
    if standing is None:
        await connection.execute(sql.PUT_DOCUMENT, {**key, **values})  # which its chunks refer to
    elif bytes(standing) == values["content_hash"]:
        return False
    for some in rows:
        await connection.execute(sql.INSERT_CHUNK, [{**row, **key} for row in some])
    return True


async def _next_seq(connection: AsyncConnection, tenant_id: TenantId) -> int:
    """Takes the tenant's row lock: from here to the commit no other writer of this tenant runs."""
    row = (await connection.execute(sql.NEXT_SEQ, {"tenant": str(tenant_id)})).one_or_none()
    if row is None:
        raise NotFoundError("there is no such tenant")
    return int(row.corpus_seq)


def _portions(
    key: dict[str, Any], chunks: Sequence[Chunk], vectors: HalfMatrix, model: str
) -> Iterator[list[dict[str, Any]]]:
    """The rows, all but their sequence."""
    for first in range(0, len(chunks), INSERTED_AT_ONCE):
        some = slice(first, first + INSERTED_AT_ONCE)
        yield [
            {**key, **_chunk_values(chunk), "embedding": packed, "model": model}
            for chunk, packed in zip(chunks[some], pack_rows(vectors[some]), strict=True)
        ]


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
        "heading": chunk.heading,
        "start": chunk.start,
        "end": chunk.end,
    }


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
