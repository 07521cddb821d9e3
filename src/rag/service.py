"""What the RAG service does, for a tenant that the caller has proved."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from contracts.errors import InvalidRequestError, NotFoundError
from contracts.retrieval import (
    DocumentInfo,
    DocumentPage,
    DocumentReceipt,
    IngestRequest,
    Metadata,
    Passage,
    SearchRequest,
    StoredPassage,
)
from contracts.tenant import TenantId
from observability import names
from observability.metrics import Metrics
from rag.domain.corpus import Chunk, Document
from rag.domain.filters import Filter
from rag.domain.identity import chunk_id, content_hash, derived_document_id
from rag.domain.query import IndexQuery, Scored
from rag.domain.vectors import Matrix, UnusableVectorError, Vector, to_half, unit_vector
from rag.ingestion.chunker import Chunker
from rag.ingestion.parsing import parse
from rag.ports import ChunkStore, Embedder
from rag.tenant_retriever import TenantRetriever

MAX_METADATA_BYTES = 16 * 1024
PARSES_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Embedded:
    model: str
    rows: Matrix


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document that is cut and embedded, and kept nowhere yet."""

    document: Document
    chunks: Sequence[Chunk]
    rows: Matrix


class RagService:
    """`born` says which tenant of those that bore the id: NotFoundError where it has the id no more."""

    def __init__(self, embedder: Embedder, store: ChunkStore, retriever: TenantRetriever, metrics: Metrics) -> None:
        self._embedder = embedder
        self._store = store
        self._retriever = retriever
        self._metrics = metrics
        self._chunker = Chunker(embedder.token_counts, embedder.max_tokens)
        self._parse_slots = asyncio.Semaphore(PARSES_AT_ONCE)

    async def embed(self, texts: Sequence[str]) -> Embedded:
        return Embedded(self._embedder.model, await self._embedder.embed(texts))

    async def search(
        self, tenant_id: TenantId, request: SearchRequest, *, born: datetime | None = None
    ) -> list[Passage]:
        """The tenant's min(k, n) nearest chunks, best first, of everything committed so far.

        Raises InvalidRequestError for an unusable vector, NotFoundError for an unknown tenant,
        PreconditionFailedError when `min_seq` lies ahead of the log.
        """
        query = IndexQuery(
            vector=await self._query_vector(request),
            text=request.query,
            k=request.k,
            filter=Filter.of(request.filter),
            mode=request.mode,
        )
        found = await self._retriever.search(tenant_id, query, min_seq=request.min_seq, born=born)
        return [_passage(item) for item in found]

    async def prepare(
        self, tenant_id: TenantId, request: IngestRequest, *, born: datetime | None = None
    ) -> DocumentReceipt | Prepared:
        """The long part of an upload, which may be cancelled. The same upload again has nothing to keep, and gets the
        receipt of the first.

        Raises InvalidRequestError or BodyTooLargeError with the reason, NotFoundError for an unknown tenant.
        """
        document = _document(tenant_id, request)
        standing = await self._store.standing(tenant_id, document.document_id, born=born)
        if standing is not None and standing.answers(document, self._embedder.model):
            return DocumentReceipt(document_id=document.document_id, chunks=standing.chunks, seq=standing.seq)
        await self._store.version(tenant_id, born=born)  # an unknown tenant is told so before the work, not after
        async with self._parse_slots:
            chunks = await asyncio.to_thread(self._chunks, tenant_id, document, request.content)
        return Prepared(document, chunks, await self._embedder.embed([chunk.text for chunk in chunks]))

    async def keep(self, tenant_id: TenantId, prepared: Prepared, *, born: datetime | None = None) -> DocumentReceipt:
        """In the place of any document with the same id. Committed when this returns; not to be cancelled, as nobody
        would know then whether it was. Bounded by the store. Raises NotFoundError for an unknown tenant."""
        document, chunks = prepared.document, prepared.chunks
        seq = await self._store.put(
            tenant_id, document, chunks, to_half(prepared.rows), self._embedder.model, born=born
        )
        self._metrics.count(names.CHUNKS_INGESTED, len(chunks), tenant=str(tenant_id))
        return DocumentReceipt(document_id=document.document_id, chunks=len(chunks), seq=seq)

    async def documents(
        self, tenant_id: TenantId, *, after: str, limit: int, born: datetime | None = None
    ) -> DocumentPage:
        """`limit` documents behind `after`, by id."""
        found = await self._store.documents(tenant_id, after=after, limit=limit + 1, born=born)
        items = found[:limit]
        return DocumentPage(items=items, next=items[-1].document_id if len(found) > limit else None)

    async def document(self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None) -> DocumentInfo:
        """Raises NotFoundError."""
        found = await self._store.document(tenant_id, document_id, born=born)
        if found is None:
            raise _no_document()
        return found

    async def passages(
        self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None
    ) -> list[StoredPassage]:
        return await self._store.passages(tenant_id, document_id, born=born)

    def vectors_loaded(self, tenant_id: TenantId) -> int:
        return self._retriever.vectors_loaded(tenant_id)

    async def unload(self, tenant_id: TenantId) -> int:
        """Drop the tenant's index from memory; returns how many vectors it held."""
        return await self._retriever.unload(tenant_id)

    async def delete(self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None) -> None:
        """When this returns no search finds the document any more, on any replica. Raises NotFoundError."""
        if not await self._store.delete(tenant_id, document_id, born=born):
            raise _no_document()

    async def _query_vector(self, request: SearchRequest) -> Vector:
        if request.vector is None:
            row: Vector = (await self._embedder.embed([request.query]))[0]
            return row
        try:
            return unit_vector(request.vector, self._embedder.dimension)
        except UnusableVectorError as error:
            raise InvalidRequestError(f"vector: {error}") from error

    def _chunks(self, tenant_id: TenantId, document: Document, content: bytes) -> list[Chunk]:
        """CPU-bound: for a thread."""
        parsed = parse(document.filename, content)
        return [
            Chunk(
                chunk_id=chunk_id(tenant_id, document.document_id, document.content_hash, ordinal),
                ordinal=ordinal,
                text=span.of(parsed.text),
                start=span.start,
                end=span.end,
            )
            for ordinal, span in enumerate(self._chunker.spans(parsed))
        ]


def _document(tenant_id: TenantId, request: IngestRequest) -> Document:
    _check_metadata(request.metadata)
    file_hash = content_hash(request.content)
    return Document(
        document_id=request.document_id or derived_document_id(tenant_id, request.title, file_hash),
        title=request.title,
        filename=request.filename,
        metadata=request.metadata,
        content_hash=file_hash,
        size_bytes=len(request.content),
    )


def _check_metadata(metadata: Metadata) -> None:
    if len(json.dumps(metadata, ensure_ascii=False).encode()) > MAX_METADATA_BYTES:
        raise InvalidRequestError(f"metadata: larger than {MAX_METADATA_BYTES} bytes")


def _no_document() -> NotFoundError:
    return NotFoundError("there is no such document")


def _passage(found: Scored) -> Passage:
    record = found.record
    return Passage(
        chunk_id=record.chunk_id,
        document_id=record.document_id,
        title=record.title,
        text=record.text,
        score=found.score if found.score is not None else 0.0,
        start=record.start,
        end=record.end,
    )
