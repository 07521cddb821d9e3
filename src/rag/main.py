"""The RAG service, put together. The only place that knows adapters and the core at once."""

from __future__ import annotations

import asyncio
import secrets
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
from observability.telemetry import Telemetry
from rag.adapters.embedder import be_nice, open_embedder
from rag.adapters.hybrid_index import SNAPSHOT_FORMAT
from rag.adapters.index_builder import HybridIndexBuilder, Sizes
from rag.adapters.object_snapshots import ObjectSnapshots
from rag.adapters.postgres_chunks import PostgresChunkStore
from rag.adapters.postgres_jobs import PostgresJobStore
from rag.adapters.postgres_marks import PostgresMarks
from rag.adapters.postgres_reembedding import PostgresReembeddingStore
from rag.adapters.rerankers import open_reranking
from rag.adapters.snapshot_disk import SnapshotDisk
from rag.api import documents, embeddings, retrieval
from rag.compactor import Compactor, Thresholds
from rag.housekeeper import Housekeeper
from rag.ingestion.pipeline import Pipeline
from rag.ingestion.worker import WorkerPool
from rag.job_runner import JobRunner
from rag.recall import RecallSampler
from rag.reembedding import Reembedder
from rag.service import RagService
from rag.settings import Settings
from rag.snapshots import Snapshots
from rag.tenant_retriever import TenantRetriever
from rag.uploads import Uploads
from rag.view_loader import ViewLoader
from rag.views import ViewCache
from servicekit.edge import dress
from servicekit.server import serve
from servicekit.tokens import TokenVerifier, utc_now
from stores.objects import Objects
from stores.objects_choice import open_object_store
from stores.postgres import Database

MAX_BODY_BYTES = 12 * 1024 * 1024
"""Room for the largest batch of texts to embed."""
MAX_UPLOAD_BYTES = 4 * MAX_DOCUMENT_BYTES // 3 + 128 * 1024
"""A document in base64, with what is said of it."""


def create_app(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings()
    telemetry = Telemetry("rag", settings)
    metrics = telemetry.metrics

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(telemetry.running())
            await _open(app, settings, metrics, stack)
            yield

    app = FastAPI(title="Atrium RAG service", lifespan=lifespan)
    app.state.verifier = TokenVerifier(Audience.RAG, settings.verify_keys())
    app.include_router(retrieval.router)
    app.include_router(documents.router)
    app.include_router(embeddings.router)

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
        tracer=telemetry.tracer,
    )
    return app


async def _open(app: FastAPI, settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> None:
    """Everything the service holds, closed in reverse order when `stack` ends."""
    database = Database(settings.database_url.get_secret_value())
    stack.push_async_callback(database.close)
    embedder = await stack.enter_async_context(open_embedder(settings))
    store = PostgresChunkStore(database)
    model, dimension = embedder.model, embedder.dimension
    objects = open_object_store(settings, stack)
    folder = settings.rag_cache_dir or Path(stack.enter_context(TemporaryDirectory(prefix="atrium-rag-")))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sizes = Sizes(settings.index_exact_chunks, settings.index_flat_chunks)
    builder = HybridIndexBuilder(sizes, scratch=folder)
    snapshot_store = _snapshots(folder, settings.rag_cache_bytes, objects, metrics, stack)
    marks = PostgresMarks(database)
    snapshots = Snapshots(
        marks,
        snapshot_store,
        builder,
        metrics,
        model=model,
        dimension=dimension,
        stored_from=settings.snapshot_chunks,
    )
    loader = ViewLoader(store, builder, snapshots, metrics, model=model, dimension=dimension)
    sampler = RecallSampler.running(metrics, share=settings.index_recall_share, initializer=be_nice)
    recall = await stack.enter_async_context(sampler)
    retriever = TenantRetriever(loader, ViewCache(settings.index_cache_bytes, metrics), metrics, recall=recall)
    stack.push_async_callback(retriever.close)
    age = timedelta(seconds=settings.snapshot_age_s)
    thresholds = Thresholds(settings.snapshot_writes, age, settings.snapshot_interval_s)
    jobs = PostgresJobStore(database)
    uploads = Uploads(jobs, objects)
    compactor = Compactor(loader, retriever, metrics, thresholds, model=model, uploads=uploads)
    await stack.enter_async_context(compactor.running())
    housekeeper = Housekeeper(
        retriever, uploads, metrics, interval_s=settings.snapshot_interval_s, forget=embedder.forget
    )
    await stack.enter_async_context(housekeeper.running())
    reembedder = Reembedder(PostgresReembeddingStore(database), embedder, metrics, owner=secrets.token_hex(8))
    stack.push_async_callback(_ended, asyncio.create_task(reembedder.run(), name="re-embedding"))
    workers = await stack.enter_async_context(WorkerPool.running(metrics))
    pipeline = Pipeline(embedder, workers)
    runner = JobRunner(jobs, uploads, store, pipeline, metrics)
    await stack.enter_async_context(runner.running())
    app.state.database = database
    app.state.service = RagService(
        embedder,
        store,
        retriever,
        metrics,
        reranking=await stack.enter_async_context(open_reranking(settings, metrics)),
        pipeline=pipeline,
        jobs=jobs,
        uploads=uploads,
        wake=runner.wake,
    )


def _snapshots(
    folder: Path, limit_bytes: int, objects: Objects | None, metrics: Metrics, stack: AsyncExitStack
) -> ObjectSnapshots | None:
    """None where no object store is named. Neither the store nor what lies on the disk is looked at here: a service is
    ready before."""
    if objects is None:
        return None
    disk = SnapshotDisk(folder, limit_bytes, layout=SNAPSHOT_FORMAT)
    survey = asyncio.create_task(asyncio.to_thread(disk.survey), name="survey of the disk")
    stack.callback(survey.cancel)
    return ObjectSnapshots(objects, disk, metrics, now=utc_now, layout=SNAPSHOT_FORMAT)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def main() -> None:
    settings = Settings()
    configure_logging("rag", settings.log_level)
    serve(create_app(settings), settings, host=settings.rag_host, port=settings.rag_port)
