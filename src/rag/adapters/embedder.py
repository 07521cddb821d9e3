"""The embedding model behind its queue, on whichever backend runs it here."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import numpy as np

from contracts.tenant import TenantId
from observability.logging import log
from rag.adapters.batching import BatchQueue, Lane
from rag.adapters.embedding_model import EmbeddingModel
from rag.adapters.export_cache import DamagedExportError, ExportCache, NoExportError, key_of
from rag.adapters.onnx_model import OnnxModel
from rag.domain.recent_vectors import RecentVectors
from rag.domain.vectors import Matrix
from rag.settings import EmbeddingSettings

BUILD_S = 600
BULK_NICENESS = 10
"""Of the threads that embed documents: beside a busy engine they take what it leaves, and a tenth where it leaves
nothing. A question's thread is as nice as the service."""

_logger = logging.getLogger("atrium.embedding")


class QueuedEmbedder:
    """Implements the port `Embedder`."""

    def __init__(self, model: EmbeddingModel, queue: BatchQueue) -> None:
        self._model = model
        self._queue = queue
        self._recent = RecentVectors()

    @property
    def model(self) -> str:
        return self._model.name

    @property
    def dimension(self) -> int:
        return self._model.dimension

    @property
    def max_tokens(self) -> int:
        return self._model.max_tokens

    async def embed(self, texts: Sequence[str], *, tenant_id: TenantId) -> Matrix:
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        if len(texts) > 1:
            return await self._queue.embed(tenant_id, texts)
        known = self._recent.get(tenant_id, texts[0])
        if known is not None:
            return known[np.newaxis]
        rows = await self._queue.embed(tenant_id, texts)
        rows.flags.writeable = False
        self._recent.keep(tenant_id, texts[0], rows[0])
        return rows

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return self._model.token_counts(texts)

    def forget(self, tenant_id: TenantId) -> None:
        self._recent.forget(tenant_id)


@asynccontextmanager
async def open_embedder(settings: EmbeddingSettings) -> AsyncIterator[QueuedEmbedder]:
    """Loads the model, and keeps its threads until the context ends. Raises OSError when there is no such model."""
    async with AsyncExitStack() as stack:
        exported = await _exported(settings) if settings.embedding_backend == "onnx" else None
        model, questions, bulk = await (
            _torch_lanes(settings, stack) if exported is None else _onnx_lanes(exported, settings, stack)
        )
        queue = await stack.enter_async_context(BatchQueue.running(model.encode, questions=questions, bulk=bulk))
        yield QueuedEmbedder(model, queue)


async def _onnx_lanes(
    model: OnnxModel, settings: EmbeddingSettings, stack: AsyncExitStack
) -> tuple[EmbeddingModel, Lane, Lane]:
    """A thread for questions alone, so that none waits for a chunk, and as many for documents as the settings say."""
    questions = _threads(1, "questions", stack)
    workers = settings.embedding_threads
    bulk = stack.enter_context(ThreadPoolExecutor(workers, thread_name_prefix="documents", initializer=be_nice))
    return model, Lane(questions, 1, texts_at_once=4), Lane(bulk, workers, texts_at_once=8)


async def _torch_lanes(settings: EmbeddingSettings, stack: AsyncExitStack) -> tuple[EmbeddingModel, Lane, Lane]:
    """One thread for both: torch's threads of one batch wait for each other, so that two batches would stop both."""
    from rag.adapters.sentence_transformer import ReferenceModel  # noqa: PLC0415  the fallback; see its own imports

    one = _threads(1, "embedding", stack)
    threads = max(1, settings.embedding_threads // 2)
    loop = asyncio.get_running_loop()
    model = await loop.run_in_executor(one, lambda: ReferenceModel(settings.embedding_model, bulk_threads=threads))
    return model, Lane(one, 1, texts_at_once=16), Lane(one, 1, texts_at_once=8)


async def _exported(settings: EmbeddingSettings) -> OnnxModel | None:
    """The int8 export, made where it is missing or damaged; none where there can be none, which is logged."""
    try:
        folder = await asyncio.to_thread(model_folder, settings.embedding_model)
        key = await asyncio.to_thread(key_of, folder)
        cache = ExportCache(settings.embedding_cache_dir)
        try:
            return await asyncio.to_thread(lambda: OnnxModel(cache.read(key)))
        except DamagedExportError as error:
            log(_logger, logging.WARNING, "the embedding model's export is damaged: it is made anew", reason=str(error))
            await asyncio.to_thread(cache.drop, key)
        except NoExportError:
            if cache.has(key):
                raise
        await _built_by_child(settings)
        return await asyncio.to_thread(lambda: OnnxModel(cache.read(key)))
    except (NoExportError, OSError) as error:
        log(_logger, logging.WARNING, "no int8 export of the embedding model: torch runs it", reason=str(error))
        return None


async def _built_by_child(settings: EmbeddingSettings) -> None:
    """In a process of its own: this one never holds torch. Raises NoExportError with what the child said last."""
    log(_logger, logging.INFO, "the embedding model is exported, once", model=settings.embedding_model)
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rag.prepare", "--model", settings.embedding_model),
        *("--cache", str(settings.embedding_cache_dir)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(BUILD_S):
            _, said = await child.communicate()
    except TimeoutError as error:
        raise NoExportError(f"the export took more than {BUILD_S} s") from error
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.kill()
    if child.returncode != 0:
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        raise NoExportError(f"the export failed: {''.join(last)[:500]}")


def model_folder(source: str) -> Path:
    """Where the model's files lie; fetched, or looked for in the local cache, where `source` is a hub's name.

    Raises OSError when there is no such model.
    """
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download  # noqa: PLC0415  only for a hub's name
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415

    try:
        # The operator names a model, not a revision; no pickle is among what is fetched, and no code.
        wanted = ["*.json", "*.txt", "*.model", "*.safetensors"]
        folder = snapshot_download(source, allow_patterns=wanted)  # nosec B615
        return Path(folder)
    except (HFValidationError, ValueError) as error:
        raise OSError(f"there is no model {source}") from error


def _threads(count: int, name: str, stack: AsyncExitStack) -> Executor:
    return stack.enter_context(ThreadPoolExecutor(count, thread_name_prefix=name))


def be_nice() -> None:
    """On Linux a thread has a niceness of its own; elsewhere this would be the whole process's."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BULK_NICENESS)
