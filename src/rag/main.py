"""The RAG service, put together. The only place that knows adapters and the core at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from fastapi import FastAPI

from contracts.context import Audience
from contracts.retrieval import MAX_DOCUMENT_BYTES
from observability.logging import configure_logging
from observability.metrics import Metrics
from observability.prometheus import PrometheusMetrics
from rag.adapters.index_builder import HybridIndexBuilder
from rag.adapters.object_snapshots import ObjectSnapshots
from rag.adapters.postgres_chunks import PostgresChunkStore
from rag.adapters.postgres_marks import PostgresMarks
from rag.adapters.sentence_transformer import open_embedder
from rag.adapters.snapshot_disk import SnapshotDisk
from rag.api import documents, retrieval
from rag.compactor import Compactor, Thresholds
from rag.service import RagService
from rag.settings import Settings
from rag.snapshots import Snapshots
from rag.tenant_retriever import TenantRetriever
from rag.view_loader import ViewLoader
from rag.views import ViewCache
from servicekit.edge import dress
from servicekit.server import serve
from servicekit.tokens import TokenVerifier, utc_now
from stores.objects import open_objects
from stores.postgres import Database

MAX_BODY_BYTES = 6 * MAX_DOCUMENT_BYTES
"""Room for a document in base64 (four thirds of its size) and for the largest batch of texts to embed."""


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
    dress(app, checks={"postgres": postgres}, checks_within_s=1.0, metrics=metrics, max_body_bytes=MAX_BODY_BYTES)
    return app


async def _open(app: FastAPI, settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> None:
    """Everything the service holds, closed in reverse order when `stack` ends."""
    database = Database(settings.database_url.get_secret_value())
    stack.push_async_callback(database.close)
    embedder = await stack.enter_async_context(
        open_embedder(settings.embedding_model, bulk_threads=settings.embedding_threads)
    )
    store = PostgresChunkStore(database)
    model, dimension = embedder.model, embedder.dimension
    builder = HybridIndexBuilder()
    snapshot_store = _open_snapshots(settings, metrics, stack)
    marks = PostgresMarks(database)
    snapshots = Snapshots(marks, snapshot_store, builder, metrics, model=model, dimension=dimension)
    loader = ViewLoader(store, builder, snapshots, metrics, model=model, dimension=dimension)
    retriever = TenantRetriever(loader, ViewCache(settings.index_cache_bytes, metrics), metrics)
    stack.push_async_callback(retriever.close)
    age = timedelta(seconds=settings.snapshot_age_s)
    thresholds = Thresholds(settings.snapshot_writes, age, settings.snapshot_interval_s)
    compactor = Compactor(loader, retriever, metrics, thresholds, model=model)
    await stack.enter_async_context(compactor.running())
    app.state.database = database
    app.state.service = RagService(embedder, store, retriever, metrics)


def _open_snapshots(settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> ObjectSnapshots | None:
    """None where no object store is named. Neither the store nor what lies on the disk is looked at here: a service is
    ready before."""
    if settings.object_store_url is None:
        return None
    objects = open_objects(
        settings.object_store_url, region=settings.aws_region, endpoint_url=settings.aws_endpoint_url
    )
    stack.push_async_callback(objects.close)
    folder = settings.rag_cache_dir or Path(stack.enter_context(TemporaryDirectory(prefix="atrium-rag-")))
    disk = SnapshotDisk(folder, settings.rag_cache_bytes)
    survey = asyncio.create_task(asyncio.to_thread(disk.survey), name="survey of the disk")
    stack.callback(survey.cancel)
    return ObjectSnapshots(objects, disk, metrics, now=utc_now)


def main() -> None:
    settings = Settings()
    configure_logging("rag", settings.log_level)
    serve(create_app(settings), host=settings.rag_host, port=settings.rag_port)
