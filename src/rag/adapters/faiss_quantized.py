"""Search of many vectors: FAISS looks at one bit a dimension, and the best by that are scored exactly.

RaBitQ (Gao and Long, SIGMOD 2024) over randomly rotated vectors: 56 bytes each at 384 dimensions; all are looked at
(`flat`), or those of the lists nearest to the query (`lists`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

import faiss
import numpy as np

from rag.adapters.faiss_exact import ExactVectors
from rag.adapters.vector_index import NOTHING, Nearest, best_of
from rag.adapters.vector_rows import VectorRows
from rag.domain.postings import Mask, Rows
from rag.domain.vectors import HalfMatrix, Matrix, Vector

MAX_CANDIDATES = 50_000
"""More are not asked of the codes; where a filter would need it, scoring what it allows costs no more."""

_SCANNED_AT_ONCE = 8_192
_TRAINED_ON = 50_000
_ROWS_A_CENTROID = 40
_SEED = 1


@dataclass(frozen=True, slots=True)
class Effort:
    """How much of an approximate index a search looks at, recall against time; and how many cores making one takes.

    Where a filter leaves no more rows than `scanned` each is scored: as quick as the codes, and exact.
    """

    rescored: int = 400
    probes: int = 128
    scanned: int = 10_000
    build_threads: int = 1

    def candidates(self, k: int) -> int:
        return max(self.rescored, 4 * k)


class QuantizedVectors:
    def __init__(self, index: Any, rows: VectorRows, effort: Effort) -> None:
        """Raises ValueError where index and rows are not of one size."""
        if index.ntotal != len(rows):
            raise ValueError(f"codes of {index.ntotal} rows, and {len(rows)} rows")
        self._index = index
        self._rows = rows
        self._effort = effort
        self._codes_size: int = int(index.ntotal) * (index.d // 8 + _BYTES_BESIDE_THE_BITS)
        inner = faiss.downcast_index(index.index)
        self._kind = "lists" if isinstance(inner, faiss.IndexIVF) else "flat"
        if isinstance(inner, faiss.IndexIVF):
            inner.nprobe = effort.probes
            self._codes_size += int(index.ntotal) * _BYTES_IN_A_LIST + int(inner.nlist * index.d) * 4

    @property
    def nbytes(self) -> int:
        return int(self._codes_size + self._rows.nbytes)

    @property
    def dimension(self) -> int:
        return self._rows.dimension

    def __len__(self) -> int:
        return len(self._rows)

    def nearest(self, query: Vector, k: int, allowed: Mask | None) -> Nearest:
        size = len(self) if allowed is None else int(np.count_nonzero(allowed))
        if size == 0:
            return NOTHING
        candidates = ceil(self._effort.candidates(k) * len(self) / size)
        if size > self._effort.scanned and candidates <= MAX_CANDIDATES:
            found = self._approximate(query, min(candidates, len(self)), allowed)
            if len(found) >= min(k, size):
                return self._scored(found, query, k)
        return self.exactly(query, k, allowed)

    def exactly(self, query: Vector, k: int, allowed: Mask | None) -> Nearest:
        return self._scanned(np.arange(len(self)) if allowed is None else np.flatnonzero(allowed), query, k)

    @property
    def approximation(self) -> str:
        return self._kind

    def gather(self, rows: Rows) -> HalfMatrix:
        return self._rows.gather(rows)

    def all(self) -> HalfMatrix:
        return self._rows.all()

    def portions(self) -> Iterator[HalfMatrix]:
        return self._rows.portions()

    def codes(self) -> bytes:
        serialised: bytes = faiss.serialize_index(self._index).tobytes()
        return serialised

    def _scored(self, rows: Rows, query: Vector, k: int) -> Nearest:
        """The nearest of these rows (ascending), computed as the exact kind does: equal vectors get equal scores."""
        best = ExactVectors(self._rows.gather(rows)).nearest(query, k, None)
        return Nearest(rows[best.rows], best.scores)

    def _scanned(self, rows: Rows, query: Vector, k: int) -> Nearest:
        best = NOTHING
        for start in range(0, len(rows), _SCANNED_AT_ONCE):
            found = self._scored(rows[start : start + _SCANNED_AT_ONCE], query, k)
            best = best_of(np.concatenate([best.rows, found.rows]), np.concatenate([best.scores, found.scores]), k)
        return best

    def _approximate(self, query: Vector, candidates: int, allowed: Mask | None) -> Rows:
        """Ascending; fewer where the lists that are looked at hold no more, or the filter allows none of them."""
        faiss.omp_set_num_threads(1)
        found = self._index.search(query.reshape(1, -1), candidates)[1][0]
        found = np.sort(found[found >= 0])
        return found if allowed is None else found[allowed[found]]


_BYTES_BESIDE_THE_BITS = 8
"""Two factors a row, 32 bits each."""

_BYTES_IN_A_LIST = 16
"""A row's number, and its share of the room that lists keep free."""


def flat(rows: VectorRows, effort: Effort) -> QuantizedVectors:
    return _filled(faiss.IndexRaBitQFastScan(rows.dimension, faiss.METRIC_INNER_PRODUCT), rows, _TRAINED_ON, effort)


def lists(rows: VectorRows, effort: Effort) -> QuantizedVectors:
    """2 √n lists, of which a search looks at `effort.probes`."""
    dimension = rows.dimension
    count = max(1, min(ceil(2 * sqrt(len(rows))), len(rows) // _ROWS_A_CENTROID))
    coarse = faiss.IndexFlatIP(dimension)
    index = faiss.IndexIVFRaBitQFastScan(coarse, dimension, count, faiss.METRIC_INNER_PRODUCT)
    index.cp.max_points_per_centroid = _ROWS_A_CENTROID
    index.cp.min_points_per_centroid = 1
    index.cp.niter = 10
    index.cp.seed = _SEED
    return _filled(index, rows, count * _ROWS_A_CENTROID, effort)


def loaded(codes: bytes, rows: VectorRows, dimension: int, effort: Effort) -> QuantizedVectors:
    """What `QuantizedVectors.codes` gave. The caller has verified the bytes. Raises ValueError for other codes."""
    try:
        index = faiss.deserialize_index(np.frombuffer(codes, np.uint8))
    except RuntimeError as error:
        raise ValueError(f"FAISS cannot read the codes: {error}") from error
    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else None
    if not isinstance(inner, faiss.IndexRaBitQFastScan | faiss.IndexIVFRaBitQFastScan) or index.d != dimension:
        raise ValueError("the codes are not of this kind of index")
    return QuantizedVectors(index, rows, effort)


def _filled(inner: Any, rows: VectorRows, trained_on: int, effort: Effort) -> QuantizedVectors:
    faiss.omp_set_num_threads(effort.build_threads)  # of this thread's own calls
    rotation = faiss.RandomRotationMatrix(inner.d, inner.d)
    rotation.init(_SEED)
    index = faiss.IndexPreTransform(rotation, inner)
    index.train(_sample(rows, trained_on))
    for portion in rows.portions():
        index.add(portion.astype(np.float32))
    return QuantizedVectors(index, rows, effort)


def _sample(rows: VectorRows, size: int) -> Matrix:
    if len(rows) <= size:
        return rows.all().astype(np.float32)
    return rows.gather(np.sort(np.random.default_rng(_SEED).choice(len(rows), size, replace=False))).astype(np.float32)
