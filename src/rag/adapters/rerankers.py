"""Rerankers: none, or a cross-encoder run by sentence-transformers on the CPU."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from observability.metrics import Metrics
from rag.reranking import Reranking
from rag.settings import RerankingSettings

MAX_TEXT_CHARS = 32_768
"""Of a text no more is tokenized: any model's window is long full by then."""

_BATCH = 16


class NullReranker:
    """Leaves the index's order."""

    depth = 0

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        raise NotImplementedError("a reranker of depth 0 is not asked")


class CrossEncoderReranker:
    """`source` is a folder, or a name on a model hub. Blocking, and for one thread at a time.

    A pair of 256 tokens costs a small model some 10 ms of a core: `depth` pairs are read for each question.
    """

    def __init__(self, source: str, *, depth: int = 20, max_tokens: int = 512) -> None:
        # Torch and transformers take seconds to import: only a service that reranks pays, when it starts.
        from sentence_transformers import CrossEncoder  # noqa: PLC0415

        if depth < 1:
            raise ValueError("a reranker is asked about one passage at least")
        self._model: Any = CrossEncoder(
            source,
            device="cpu",
            max_length=max_tokens,
            local_files_only=Path(source).is_dir(),
            model_kwargs={"use_safetensors": True},  # the other format is pickle
        )
        self._depth = depth

    @property
    def depth(self) -> int:
        return self._depth

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        pairs = [(query[:MAX_TEXT_CHARS], text[:MAX_TEXT_CHARS]) for text in texts]
        if not pairs:
            return []
        return [float(score) for score in self._model.predict(pairs, batch_size=_BATCH, show_progress_bar=False)]


@asynccontextmanager
async def open_reranking(settings: RerankingSettings, metrics: Metrics) -> AsyncIterator[Reranking]:
    """Loads the model, if there is to be one, and keeps its thread until the context ends. Raises OSError when there is
    no such model."""
    source = settings.reranker_model
    if source is None:
        yield Reranking(NullReranker(), None, metrics, within_s=settings.reranker_timeout_s)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="reranker") as executor:
        loop = asyncio.get_running_loop()
        made = await loop.run_in_executor(executor, lambda: CrossEncoderReranker(source, depth=settings.reranker_depth))
        yield Reranking(made, executor, metrics, within_s=settings.reranker_timeout_s)
