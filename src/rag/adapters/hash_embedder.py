"""An embedder without a model, for tests: words hashed into a vector. Texts that share words are near each other."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np

from contracts.tenant import TenantId
from rag.domain.vectors import Matrix

_WORD = re.compile(r"\w+")


class HashEmbedder:
    model = "hashed-words"
    dimension = 64
    max_tokens = 254

    def __init__(self) -> None:
        self.embedded: list[str] = []
        """Every text that was asked for, in order."""

    async def embed(self, texts: Sequence[str], *, tenant_id: TenantId | None = None) -> Matrix:
        self.embedded.extend(texts)
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in _WORD.findall(text.lower()) or [""]:
                row[zlib.crc32(word.encode()) % self.dimension] += 1.0
        lengths: Matrix = np.linalg.norm(rows, axis=1, keepdims=True)
        return rows / lengths

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return [len(_WORD.findall(text)) for text in texts]

    def forget(self, tenant_id: TenantId) -> None:
        """It remembers nothing."""
