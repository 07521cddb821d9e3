"""The index as a matrix product: the reference that others are measured against."""

from __future__ import annotations

import numpy as np

from rag.domain.ranking import Hit
from rag.domain.vectors import HalfMatrix, Vector


class BruteForceIndex:
    def __init__(self, vectors: HalfMatrix) -> None:
        self._vectors = vectors.astype(np.float32)

    def __len__(self) -> int:
        return len(self._vectors)

    def search(self, query: Vector, k: int) -> list[Hit]:
        scores = self._vectors @ query
        best = np.argsort(-scores, kind="stable")[:k]
        return [Hit(int(row), float(scores[row])) for row in best]
