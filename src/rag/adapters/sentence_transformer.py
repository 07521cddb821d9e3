"""The embedding model, run by sentence-transformers on the CPU in one thread of its own."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rag.adapters.batching import BatchQueue
from rag.domain.vectors import Matrix

MAX_TEXT_CHARS = 32_768
"""Of a text no more is tokenized: any model's window is long full by then."""


class LoadedModel:
    """Blocking, and for one thread at a time, but for `token_counts`."""

    def __init__(self, source: str, *, bulk_threads: int) -> None:
        # Torch and transformers take seconds to import: only the service that embeds pays, when it starts.
        import torch  # noqa: PLC0415
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415
        from transformers.utils.logging import disable_progress_bar  # noqa: PLC0415

        disable_progress_bar()  # type: ignore[no-untyped-call]
        self._torch = torch
        self._bulk_threads = bulk_threads
        # Typed as Any: what it returns is annotated for every task and modality at once.
        model: Any = SentenceTransformer(
            source,
            device="cpu",
            local_files_only=Path(source).is_dir(),
            model_kwargs={"use_safetensors": True},  # the other format is pickle
        )
        # A copy without truncation: the model's own is set anew by each encoding and is not for two threads.
        tokenizer = model.tokenizer.backend_tokenizer
        self._counter: Any = type(tokenizer).from_str(tokenizer.to_str())
        self._counter.no_truncation()
        self._counter.no_padding()
        self._model = model
        self.dimension = int(model.get_embedding_dimension())
        self.max_tokens = int(model.max_seq_length) - int(model.tokenizer.num_special_tokens_to_add())
        self.name = f"{_label(source)}@{self._fingerprint()}"
        self.encode(["warm up"], False)

    def encode(self, texts: list[str], is_bulk: bool) -> Matrix:
        # A question is done in one thread as fast as in two, and steadier on a busy machine.
        self._torch.set_num_threads(self._bulk_threads if is_bulk else 1)
        rows = self._model.encode(
            [text[:MAX_TEXT_CHARS] for text in texts],
            batch_size=len(texts),
            normalize_embeddings=True,
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        return np.asarray(rows, dtype=np.float32)

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return [len(encoding.ids) for encoding in self._counter.encode_batch(list(texts), add_special_tokens=False)]

    def _fingerprint(self) -> str:
        """Of the weights and the window, wherever they came from: 60 ms for 90 MB."""
        digest = hashlib.sha256(str(self._model.max_seq_length).encode())
        for name, tensor in sorted(self._model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()[:12]


def _label(source: str) -> str:
    """A readable name: the last part of a hub name, or of the folder (of its parent, where it is just `model`)."""
    path = Path(source)
    return path.parent.name if path.name == "model" else path.name


class SentenceTransformerEmbedder:
    def __init__(self, model: LoadedModel, queue: BatchQueue) -> None:
        self._model = model
        self._queue = queue

    @property
    def model(self) -> str:
        return self._model.name

    @property
    def dimension(self) -> int:
        return self._model.dimension

    @property
    def max_tokens(self) -> int:
        return self._model.max_tokens

    async def embed(self, texts: Sequence[str]) -> Matrix:
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        return await self._queue.embed(texts)

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return self._model.token_counts(texts)


@asynccontextmanager
async def open_embedder(source: str, *, bulk_threads: int) -> AsyncIterator[SentenceTransformerEmbedder]:
    """Loads the model (`source`: a folder, or a hub's name) and keeps its thread until the context ends.

    Raises OSError when there is no such model.
    """
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, thread_name_prefix="embedding") as executor:
        model = await loop.run_in_executor(executor, lambda: LoadedModel(source, bulk_threads=bulk_threads))
        async with BatchQueue.running(model.encode, executor) as queue:
            yield SentenceTransformerEmbedder(model, queue)
