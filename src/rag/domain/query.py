"""What one tenant's index is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from rag.domain.corpus import ChunkRecord
from rag.domain.filters import Filter
from rag.domain.vectors import HalfMatrix, Vector

Mode = Literal["hybrid", "vector", "lexical"]


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each ranking says in the fused one. Neither is negative, and not both are 0."""

    vector: float = 1.0
    lexical: float = 1.0

    def __post_init__(self) -> None:
        both = (self.vector, self.lexical)
        if not all(isfinite(weight) and weight >= 0 for weight in both) or not any(both):
            raise ValueError("weights are finite, not negative, and not both 0")


EVEN = Weights()


@dataclass(frozen=True, slots=True)
class IndexQuery:
    """A question. `vector` is its embedding, L2-normalised, shape (dimension,); without one it is asked by words alone.

    `diversity` between 0 (the best, however alike) and 1 (as unlike each other as can be) re-orders the best by maximal
    marginal relevance; None leaves them as they are.
    """

    vector: Vector | None
    text: str
    k: int
    filter: Filter | None = None
    mode: Mode = "hybrid"
    weights: Weights = EVEN
    diversity: float | None = None

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError("k is at least 1")
        if self.mode == "vector" and self.vector is None:
            raise ValueError("a search by vector needs one")
        if self.diversity is not None and not 0 <= self.diversity <= 1:
            raise ValueError("diversity lies between 0 and 1")

    @property
    def by_vector(self) -> bool:
        return self.vector is not None and self.mode != "lexical" and (self.mode == "vector" or self.weights.vector > 0)

    @property
    def by_words(self) -> bool:
        return self.mode == "lexical" or (self.mode == "hybrid" and (self.vector is None or self.weights.lexical > 0))


@dataclass(frozen=True, slots=True)
class Scored:
    """A chunk that was found. `score` is its cosine with the query in -1…1, None where the query had no vector.

    `fused` is what it was ranked by: the reciprocal ranks' sum where both rankings were asked, else the cosine, or the
    BM25 score, which is 0 for a chunk without any of the query's words that fills the answer up to k.
    """

    record: ChunkRecord
    score: float | None
    fused: float


@dataclass(frozen=True, slots=True)
class ChunkRows:
    """Chunks with their embeddings: row i of `vectors`, shape (n, dimension), is of `records[i]`."""

    records: Sequence[ChunkRecord]
    vectors: HalfMatrix

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.records) != len(self.vectors):
            raise ValueError(f"{len(self.records)} records, and vectors of shape {self.vectors.shape}")

    def __len__(self) -> int:
        return len(self.records)
