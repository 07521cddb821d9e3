"""What the RAG service does, for a tenant that the caller has proved."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from contracts.errors import InvalidRequestError, NotFoundError, OverloadedError
from contracts.retrieval import (
    ChunkPage,
    DocumentInfo,
    DocumentPage,
    DocumentReceipt,
    DocumentState,
    IngestRequest,
    Passage,
    SearchRequest,
    StoredPassage,
)
from contracts.tenant import TenantId
from observability import names
from observability.metrics import Metrics
from rag.domain.corpus import Chunk, Document
from rag.domain.filters import Filter
from rag.domain.jobs import Job, JobBusyError
from rag.domain.query import IndexQuery, Scored, Weights
from rag.domain.vectors import Matrix, UnusableVectorError, Vector, to_half, unit_vector
from rag.ingestion.formats.kinds import check_content, format_of
from rag.ingestion.parsing import check_size
from rag.ingestion.pipeline import Pipeline
from rag.ports import ChunkStore, Embedder, JobStore
from rag.reranking import Reranking
from rag.tenant_retriever import TenantRetriever
from rag.uploads import Uploads
from rag.wire import document_of, info_of, passage_of, receipt_of

INLINE_BYTES = 256 * 1024
INLINE_CHUNKS = 500
"""A file beyond either is a job: this much is embedded in some ten seconds of two cores."""
BUSY_PAUSE_S = 0.1
BUSY_TRIES = 350
"""35 seconds: a commit takes at most thirty."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Embedded:
    """`tokens` is what the model read, where it was asked for."""

    model: str
    rows: Matrix
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document that is cut and embedded, and kept nowhere yet."""

    document: Document
    chunks: Sequence[Chunk]
    rows: Matrix


@dataclass(frozen=True, slots=True)
class Large:
    """An upload that is to become a job, and is kept nowhere yet."""

    document: Document
    content: bytes


class RagService:
    """`born` says which tenant of those that bore the id: NotFoundError where it has the id no more."""

    def __init__(
        self,
        embedder: Embedder,
        store: ChunkStore,
        retriever: TenantRetriever,
        metrics: Metrics,
        *,
        reranking: Reranking,
        pipeline: Pipeline,
        jobs: JobStore,
        uploads: Uploads,
        wake: Callable[[], None],
    ) -> None:
        """`wake` tells whoever works on jobs that there is a new one."""
        self._embedder = embedder
        self._store = store
        self._retriever = retriever
        self._metrics = metrics
        self._reranking = reranking
        self._pipeline = pipeline
        self._jobs = jobs
        self._uploads = uploads
        self._wake = wake

    async def embed(self, tenant_id: TenantId, texts: Sequence[str]) -> Embedded:
        return Embedded(self._embedder.model, await self._embedder.embed(texts, tenant_id=tenant_id))

    async def embed_for_client(self, tenant_id: TenantId, texts: Sequence[str], *, model: str | None) -> Embedded:
        """Raises NotFoundError for a `model` that is not the one served: the vectors of another fit no index."""
        own = self._embedder.model
        if model not in {None, own, own.partition("@")[0]}:
            raise NotFoundError(f"there is no such embedding model; {own} is served", details={"model": own})
        rows = await self._embedder.embed(texts, tenant_id=tenant_id)
        counts = await asyncio.to_thread(self._embedder.token_counts, texts)
        return Embedded(own, rows, sum(min(count, self._embedder.max_tokens) for count in counts))

    async def search(
        self, tenant_id: TenantId, request: SearchRequest, *, born: datetime | None = None
    ) -> list[Passage]:
        """The tenant's min(k, n) nearest chunks, best first, of everything committed so far.

        Raises InvalidRequestError for an unusable vector, NotFoundError for an unknown tenant,
        PreconditionFailedError when `min_seq` lies ahead of the log.
        """
        ranking = request.ranking
        # Where the passages are to be unlike each other, that chooses them, and the reranker orders what was chosen.
        pool = self._reranking.depth if ranking.rerank and ranking.diversity is None else 0
        query = IndexQuery(
            vector=await self._query_vector(tenant_id, request),
            text=request.query,
            k=max(request.k, pool),
            filter=Filter.of(request.filter),
            mode=request.mode,
            weights=Weights(ranking.vectors, ranking.words),
            diversity=ranking.diversity,
        )
        found: Sequence[Scored] = await self._retriever.search(tenant_id, query, min_seq=request.min_seq, born=born)
        if ranking.rerank and self._reranking.depth:
            found = await self._reranking.best(tenant_id, request.query, found, request.k)
        return [passage_of(item) for item in found]

    async def prepare(
        self, tenant_id: TenantId, request: IngestRequest, *, born: datetime | None = None
    ) -> DocumentReceipt | Prepared | Large:
        """The long part of an upload, which may be cancelled. The same upload again has nothing to keep, and gets the
        receipt of the first; a large one is left to a job.

        Raises InvalidRequestError or BodyTooLargeError with the reason, NotFoundError for an unknown tenant.
        """
        document = document_of(tenant_id, request)
        job = await self._jobs.job(tenant_id, document.document_id, born=born)
        if job is None:
            standing = await self._store.standing(tenant_id, document.document_id, born=born)
            if standing is not None and standing.answers(document, self._embedder.model):
                return DocumentReceipt(document_id=document.document_id, chunks=standing.chunks, seq=standing.seq)
        await self._store.version(tenant_id, born=born)  # an unknown tenant is told so before the work, not after
        if document.size_bytes > INLINE_BYTES:
            check_size(request.content)
            check_content(document.filename, format_of(document.filename), request.content)
            return Large(document, request.content)
        found = await self._pipeline.read(tenant_id, document, request.content)
        if len(found) > INLINE_CHUNKS:
            return Large(document, request.content)
        return Prepared(document, [item.chunk for item in found], await self._pipeline.embed(tenant_id, found))

    async def keep(
        self, tenant_id: TenantId, prepared: Prepared | Large, *, born: datetime | None = None
    ) -> DocumentReceipt:
        """In the place of any document with the same id, or in the queue. Committed when this returns; not to be
        cancelled, as nobody would know then whether it was. Bounded by the store.

        Raises NotFoundError for an unknown tenant, RateLimitedError when too many of its documents wait.
        """
        if isinstance(prepared, Large):
            return await self._enqueue(tenant_id, prepared, born)
        document, chunks = prepared.document, prepared.chunks
        # An upload that still waits is older than this one, and must not come after it.
        await self._withdraw(tenant_id, document.document_id, born)
        seq = await self._store.put(
            tenant_id, document, chunks, to_half(prepared.rows), self._embedder.model, born=born
        )
        self._metrics.count(names.CHUNKS_INGESTED, len(chunks), tenant=str(tenant_id))
        return DocumentReceipt(document_id=document.document_id, chunks=len(chunks), seq=seq)

    async def documents(
        self,
        tenant_id: TenantId,
        *,
        after: str,
        limit: int,
        state: DocumentState | None = None,
        born: datetime | None = None,
    ) -> DocumentPage:
        """`limit` documents behind `after`, by id: those that are ready and those that are jobs."""
        found: list[DocumentInfo] = []
        while len(found) <= limit:
            infos, after = await self._some(tenant_id, after, limit + 1, state, born)
            found += infos
            if not after:
                break
        items = found[:limit]
        return DocumentPage(items=items, next=items[-1].document_id if len(found) > limit else None)

    async def document(self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None) -> DocumentInfo:
        """Raises NotFoundError."""
        job = await self._jobs.job(tenant_id, document_id, born=born)
        if job is not None:
            return info_of(job)
        found = await self._store.document(tenant_id, document_id, born=born)
        if found is None:
            raise _no_document()
        return found

    async def chunks(
        self, tenant_id: TenantId, document_id: str, *, after: int, limit: int, born: datetime | None = None
    ) -> ChunkPage:
        """`limit` chunks behind the ordinal `after`, of what searches find of the document. Raises NotFoundError."""
        found = await self._jobs.chunks(tenant_id, document_id, after=after, limit=limit + 1, born=born)
        if not found:
            await self.document(tenant_id, document_id, born=born)
        items = list(found[:limit])
        return ChunkPage(items=items, next=items[-1].ordinal if len(found) > limit else None)

    async def passages(
        self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None
    ) -> list[StoredPassage]:
        return await self._store.passages(tenant_id, document_id, born=born)

    def vectors_loaded(self, tenant_id: TenantId) -> int:
        return self._retriever.vectors_loaded(tenant_id)

    async def unload(self, tenant_id: TenantId) -> int:
        """Drop the tenant's index and questions from memory; returns how many vectors the index held."""
        self._embedder.forget(tenant_id)
        return await self._retriever.unload(tenant_id)

    async def delete(self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None) -> None:
        """When this returns no search finds the document any more, on any replica, and no job brings it back. Raises
        NotFoundError."""
        withdrawn = await self._withdraw(tenant_id, document_id, born)
        if not await self._store.delete(tenant_id, document_id, born=born) and not withdrawn:
            raise _no_document()

    async def _enqueue(self, tenant_id: TenantId, large: Large, born: datetime | None) -> DocumentReceipt:
        job = await self._unless_busy(
            lambda: self._uploads.enqueue(tenant_id, large.document, large.content, born=born)
        )
        self._wake()
        return receipt_of(job)

    async def _withdraw(self, tenant_id: TenantId, document_id: str, born: datetime | None) -> bool:
        """Whether there was a job. One that is being committed is waited for, and is then none any more."""
        job_id = await self._unless_busy(lambda: self._jobs.withdraw(tenant_id, document_id, born=born))
        if job_id is not None:
            await self._uploads.discard(tenant_id, job_id)
        return job_id is not None

    async def _unless_busy(self, call: Callable[[], Awaitable[T]]) -> T:
        """Again and again while the document is being committed, which the store bounds."""
        for _ in range(BUSY_TRIES):
            try:
                return await call()
            except JobBusyError:
                await asyncio.sleep(BUSY_PAUSE_S)
        raise OverloadedError("another upload of this document is being stored", retry_after_s=5)

    async def _some(
        self, tenant_id: TenantId, after: str, limit: int, state: DocumentState | None, born: datetime | None
    ) -> tuple[list[DocumentInfo], str]:
        """The documents behind `after` as far as one look reaches, and where to go on; nothing at the end.

        Of both lists the first `limit` are seen: so of their union too.
        """
        jobs: Sequence[Job] = ()
        if state != "ready":
            jobs = await self._jobs.jobs(tenant_id, after=after, limit=limit, state=state, born=born)
        if state not in {None, "ready"}:
            return [info_of(job) for job in jobs], ""
        ready = await self._store.documents(tenant_id, after=after, limit=limit, born=born)
        if state == "ready":
            jobs = await self._jobs.jobs(tenant_id, after=after, limit=limit, state=None, born=born)
        merged = {info.document_id: info for info in ready} | {job.document.document_id: info_of(job) for job in jobs}
        ids = sorted(merged)[:limit]
        more = ids[-1] if len(ids) == limit else ""
        return [merged[one] for one in ids if state is None or merged[one].state == state], more

    async def _query_vector(self, tenant_id: TenantId, request: SearchRequest) -> Vector:
        if request.vector is None or request.model not in {None, self._embedder.model}:
            row: Vector = (await self._embedder.embed([request.query], tenant_id=tenant_id))[0]
            return row
        try:
            return unit_vector(request.vector, self._embedder.dimension)
        except UnusableVectorError as error:
            raise InvalidRequestError(f"vector: {error}") from error


def _no_document() -> NotFoundError:
    return NotFoundError("there is no such document")
