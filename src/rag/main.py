"""The RAG service, put together. The only place that knows adapters and the core at once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from contracts.context import Audience
from contracts.retrieval import MAX_DOCUMENT_BYTES
from observability.logging import configure_logging
from observability.metrics import Metrics
from observability.prometheus import PrometheusMetrics
from rag.adapters.embedder import open_embedder
from rag.adapters.faiss_index import FaissIndex
from rag.adapters.postgres_chunks import PostgresChunkStore
from rag.adapters.postgres_reembedding import PostgresReembeddingStore
from rag.api import documents, embeddings, retrieval
from rag.reembedding import Reembedder
from rag.service import RagService
from rag.settings import Settings
from rag.tenant_retriever import TenantRetriever
from servicekit.edge import dress
from servicekit.server import serve
from servicekit.tokens import TokenVerifier
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
    app.include_router(embeddings.router)

    async def postgres() -> None:
        await app.state.database.check()

    # The embedding model is part of this process: it was loaded before the first request could come.
    dress(app, checks={"postgres": postgres}, checks_within_s=1.0, metrics=metrics, max_body_bytes=MAX_BODY_BYTES)
    return app


async def _open(app: FastAPI, settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> None:
    """Everything the service holds, closed in reverse order when `stack` ends."""
    database = Database(settings.database_url.get_secret_value())
    stack.push_async_callback(database.close)
    embedder = await stack.enter_async_context(open_embedder(settings))
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
    reembedder = Reembedder(PostgresReembeddingStore(database), embedder, metrics, owner=secrets.token_hex(8))
    stack.push_async_callback(_ended, asyncio.create_task(reembedder.run(), name="re-embedding"))
    app.state.database = database
    app.state.service = RagService(embedder, store, retriever, metrics)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def main() -> None:
    settings = Settings()
    configure_logging("rag", settings.log_level)
    serve(create_app(settings), host=settings.rag_host, port=settings.rag_port)
