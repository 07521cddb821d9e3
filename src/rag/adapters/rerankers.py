"""Rerankers: none, or a cross-encoder run by sentence-transformers on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
