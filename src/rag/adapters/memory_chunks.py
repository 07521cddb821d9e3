"""The chunk log in memory: for tests, and as the plainest reading of what a ChunkStore promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from contracts.errors import NotFoundError
from contracts.retrieval import DocumentInfo, StoredPassage
from contracts.tenant import TenantId
from rag.domain.corpus import Chunk, ChunkRecord, ChunkTail, Corpus, CorpusVersion, Document, Scanned, Standing
from rag.domain.query import ChunkRows
from rag.domain.vectors import HalfMatrix
from rag.ports import Take


@dataclass
class _Kept:
    document: Document
    chunks: tuple[Chunk, ...]
    vectors: HalfMatrix
    model: str
    seq: int
    created_at: datetime


@dataclass
class _Tenant:
    born: datetime
    seq: int = 0
    log_start: int = 0
    documents: dict[str, _Kept] = field(default_factory=dict)
    tombstones: list[tuple[int, str]] = field(default_factory=list)
    """The write and the chunk that it removed, in order."""

    def bury(self, kept: _Kept | None) -> None:
        self.tombstones += [(self.seq, chunk.chunk_id) for chunk in (kept.chunks if kept else ())]


class MemoryChunkStore:
    def __init__(self) -> None:
        self.tenants: dict[TenantId, _Tenant] = {}

    def add_tenant(self, tenant_id: TenantId) -> None:
        self.tenants[tenant_id] = _Tenant(datetime.now(UTC))

    async def version(self, tenant_id: TenantId, *, born: datetime | None = None) -> CorpusVersion:
        tenant = self._tenant(tenant_id, born)
        return CorpusVersion(tenant.born, tenant.seq)

    async def scan(self, tenant_id: TenantId, model: str, dimension: int, take: Take, *, portion: int) -> Scanned:
        corpus = _corpus(tenant_id, self._tenant(tenant_id, None), model, dimension, after=0)
        for first in range(0, len(corpus.records), portion):
            some = slice(first, first + portion)
            await take(ChunkRows(corpus.records[some], corpus.vectors[some]))
        return Scanned(corpus.version, corpus.of_other_models)

    async def tail(self, tenant_id: TenantId, after: CorpusVersion, model: str, dimension: int) -> ChunkTail | None:
        tenant = self._tenant(tenant_id, None)
        if tenant.born != after.born or after.seq < tenant.log_start:
            return None
        removed = frozenset(chunk_id for seq, chunk_id in tenant.tombstones if seq > after.seq)
        return ChunkTail(_corpus(tenant_id, tenant, model, dimension, after=after.seq), removed)

    async def standing(self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None) -> Standing | None:
        kept = self._documents(tenant_id, born).get(document_id)
        return Standing(kept.document, kept.model, len(kept.chunks), kept.seq) if kept else None

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
        tenant = self._tenant(tenant_id, born)
        before = tenant.documents.get(document.document_id)
        tenant.seq += 1
        tenant.bury(before)
        tenant.documents[document.document_id] = _Kept(
            document, tuple(chunks), vectors, model, tenant.seq, before.created_at if before else datetime.now(UTC)
        )
        return tenant.seq

    async def delete(self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None) -> bool:
        tenant = self._tenant(tenant_id, born)
        kept = tenant.documents.pop(document_id, None)
        if kept is None:
            return False
        tenant.seq += 1
        tenant.bury(kept)
        return True

    async def document(
        self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None
    ) -> DocumentInfo | None:
        kept = self._documents(tenant_id, born).get(document_id)
        return _info(kept) if kept else None

    async def passages(
        self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None
    ) -> list[StoredPassage]:
        kept = self._documents(tenant_id, born).get(document_id)
        return [
            StoredPassage(chunk_id=chunk.chunk_id, start=chunk.start, end=chunk.end, text=chunk.text)
            for chunk in (kept.chunks if kept else ())
        ]

    async def documents(
        self, tenant_id: TenantId, *, after: str, limit: int, born: datetime | None = None
    ) -> list[DocumentInfo]:
        documents = self._documents(tenant_id, born)
        return [_info(documents[key]) for key in sorted(documents) if key > after][:limit]

    def _tenant(self, tenant_id: TenantId, born: datetime | None) -> _Tenant:
        tenant = self.tenants.get(tenant_id)
        if tenant is None or born not in {None, tenant.born}:
            raise NotFoundError("there is no such tenant")
        return tenant

    def _documents(self, tenant_id: TenantId, born: datetime | None) -> dict[str, _Kept]:
        """Reading an unknown tenant's documents finds none, as behind row-level security."""
        if born is None and tenant_id not in self.tenants:
            return {}
        return self._tenant(tenant_id, born).documents


def _corpus(tenant_id: TenantId, tenant: _Tenant, model: str, dimension: int, *, after: int) -> Corpus:
    kept = [document for _, document in sorted(tenant.documents.items()) if document.seq > after]
    readable = [document for document in kept if document.model == model]
    rows = [document.vectors for document in readable]
    return Corpus(
        version=CorpusVersion(tenant.born, tenant.seq),
        records=tuple(_record(tenant_id, document, chunk) for document in readable for chunk in document.chunks),
        vectors=np.concatenate(rows) if rows else np.empty((0, dimension), dtype=np.float16),
        of_other_models=sum(len(document.chunks) for document in kept if document.model != model),
    )


def _record(tenant_id: TenantId, kept: _Kept, chunk: Chunk) -> ChunkRecord:
    document = kept.document
    return ChunkRecord(
        *(tenant_id, chunk.chunk_id, document.document_id, document.title, chunk.text, chunk.start, chunk.end),
        *(kept.seq, document.metadata, chunk.heading),
    )


def _info(kept: _Kept) -> DocumentInfo:
    return DocumentInfo(
        document_id=kept.document.document_id,
        title=kept.document.title,
        filename=kept.document.filename,
        chunks=len(kept.chunks),
        bytes=kept.document.size_bytes,
        seq=kept.seq,
        metadata=kept.document.metadata,
        created_at=kept.created_at,
    )
