"""The RAG service over stores in memory, with files read in this process: for tests of what it decides."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from observability.metrics import NullMetrics
from rag.adapters.memory_jobs import MemoryJobStore
from rag.adapters.rerankers import NullReranker
from rag.domain.extracted import Extracted
from rag.ingestion.cutting import cut
from rag.ingestion.parsing import parse
from rag.ingestion.pipeline import Pipeline
from rag.job_runner import JobRunner
from rag.ports import ChunkStore, Embedder, JobStore, Reranker
from rag.reranking import Reranking
from rag.service import RagService
from rag.tenant_retriever import TenantRetriever
from rag.uploads import Uploads
from stores.objects import Objects


class InlineExtractor:
    """Reads files where it stands: for files that a test wrote itself."""

    async def extract(self, filename: str, content: bytes) -> Extracted:
        with TemporaryDirectory() as folder:
            return cut(parse(filename, content, Path(folder)))


def runner_of(embedder: Embedder, store: ChunkStore, jobs: JobStore, *, objects: Objects | None = None) -> JobRunner:
    pipeline = Pipeline(embedder, InlineExtractor())
    return JobRunner(jobs, Uploads(jobs, objects), store, pipeline, NullMetrics())


def ingesting_service(
    embedder: Embedder,
    store: ChunkStore,
    retriever: TenantRetriever,
    *,
    jobs: JobStore | None = None,
    objects: Objects | None = None,
    reranker: Reranker | None = None,
    rerank_within_s: float = 5.0,
) -> RagService:
    jobs = jobs or MemoryJobStore(store)
    return RagService(
        embedder,
        store,
        retriever,
        NullMetrics(),
        reranking=Reranking(reranker or NullReranker(), None, NullMetrics(), within_s=rerank_within_s),
        pipeline=Pipeline(embedder, InlineExtractor()),
        jobs=jobs,
        uploads=Uploads(jobs, objects),
        wake=lambda: None,
    )
