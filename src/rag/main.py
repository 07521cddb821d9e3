"""The RAG service, put together. The only place that knows adapters and the core at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from contracts.context import Audience
from contracts.retrieval import MAX_DOCUMENT_BYTES
from observability.logging import configure_logging
from observability.metrics import Metrics
from observability.prometheus import PrometheusMetrics
from rag.adapters.faiss_index import FaissIndex
from rag.adapters.postgres_chunks import PostgresChunkStore
from rag.adapters.postgres_jobs import PostgresJobStore
from rag.adapters.sentence_transformer import open_embedder
from rag.api import documents, retrieval
from rag.ingestion.pipeline import Pipeline
from rag.ingestion.worker import WorkerPool
from rag.job_runner import JobRunner
from rag.service import RagService
from rag.settings import Settings
from rag.tenant_retriever import TenantRetriever
from rag.uploads import Uploads
from servicekit.edge import dress
from servicekit.server import serve
from servicekit.tokens import TokenVerifier
from stores.objects import Objects, open_objects
from stores.postgres import Database

MAX_BODY_BYTES = 12 * 1024 * 1024
"""Room for the largest batch of texts to embed."""
MAX_UPLOAD_BYTES = 4 * MAX_DOCUMENT_BYTES // 3 + 128 * 1024
"""A document in base64, with what is said of it."""


def create_app(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings()
    metrics = PrometheusMetrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await _open(app, settings, metrics, stack)
            yield

    app = FastAPI(title="Atrium RAG service", lifespan=lifespan)
    app.state.verifier = TokenVerifier(Audience.RAG, settings.verify_keys())
    app.include_router(retrieval.router)
    app.include_router(documents.router)

    async def postgres() -> None:
        await app.state.database.check()

    # The embedding model is part of this process: it was loaded before the first request could come.
    dress(
        app,
        checks={"postgres": postgres},
        checks_within_s=1.0,
        metrics=metrics,
        max_body_bytes=MAX_BODY_BYTES,
        max_upload_bytes=MAX_UPLOAD_BYTES,
    )
    return app


async def _open(app: FastAPI, settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> None:
    """Everything the service holds, closed in reverse order when `stack` ends."""
    database = Database(settings.database_url.get_secret_value())
    stack.push_async_callback(database.close)
    embedder = await stack.enter_async_context(
        open_embedder(settings.embedding_model, bulk_threads=settings.embedding_threads)
    )
    store = PostgresChunkStore(database)
    retriever = TenantRetriever(
        store,
        FaissIndex,
        metrics,
        model=embedder.model,
        dimension=embedder.dimension,
        max_tenants=settings.index_cache_tenants,
    )
    stack.push_async_callback(retriever.close)
    jobs = PostgresJobStore(database)
    uploads = Uploads(jobs, await _open_objects(settings, stack))
    workers = await stack.enter_async_context(WorkerPool.running(metrics))
    pipeline = Pipeline(embedder, workers)
    runner = JobRunner(jobs, uploads, store, pipeline, metrics)
    await stack.enter_async_context(runner.running())
    app.state.database = database
    app.state.service = RagService(
        embedder, store, retriever, metrics, pipeline=pipeline, jobs=jobs, uploads=uploads, wake=runner.wake
    )


async def _open_objects(settings: Settings, stack: AsyncExitStack) -> Objects | None:
    if settings.object_store_url is None:
        return None
    objects = open_objects(
        settings.object_store_url, region=settings.aws_region, endpoint_url=settings.aws_endpoint_url
    )
    stack.push_async_callback(objects.close)
    return objects


def main() -> None:
    settings = Settings()
    configure_logging("rag", settings.log_level)
    serve(create_app(settings), host=settings.rag_host, port=settings.rag_port)
