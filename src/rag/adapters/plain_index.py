"""A tenant's index that computes everything anew at every search: the reference that others are measured against."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from contracts.tenant import TenantId
from rag.domain import bm25
from rag.domain.corpus import ChunkRecord
from rag.domain.diversity import diverse, pool_size
from rag.domain.fusion import DEPTH, fused
from rag.domain.postings import MAX_COUNT, UNSTEMMED, Analyzer
from rag.domain.query import ChunkRows, IndexQuery, Scored
from rag.domain.snapshot import Content
from rag.domain.vectors import HalfMatrix, Vector


class PlainIndex:
    def __init__(self, rows: ChunkRows, analyzer: Analyzer) -> None:
        self._analyzer = analyzer
        self._records = tuple(rows.records)
        self._half = rows.vectors
        self._vectors = rows.vectors.astype(np.float32)
        self._counts = [analyzer.counts(record.text) for record in self._records]

    @property
    def nbytes(self) -> int:
        return self._vectors.nbytes + self._half.nbytes + sum(1_000 + len(record.text) for record in self._records)

    def __len__(self) -> int:
        return len(self._records)

    def search(self, query: IndexQuery) -> list[Scored]:
        rows = [row for row, record in enumerate(self._records) if _allowed(query, record)]
        ranking = self._ranking(query, rows)
        if query.diversity is not None:
            pool = ranking[: pool_size(query.k)]
            ranking = diverse(pool, self._half[[row for row, _ in pool]], query.k, query.diversity)
        return [self._scored(query, row, value) for row, value in ranking[: query.k]]

    @property
    def approximation(self) -> None:
        return None

    def recall(self, query: IndexQuery) -> float:
        if query.vector is None:
            raise ValueError("recall is of a search by vector")
        return 1.0

    def with_changes(self, added: ChunkRows, removed: frozenset[str]) -> PlainIndex:
        newest = {record.chunk_id: row for row, record in enumerate(added.records)}
        gone = removed | newest.keys()
        kept = [row for row, record in enumerate(self._records) if record.chunk_id not in gone]
        new = sorted(newest.values())
        return PlainIndex(
            ChunkRows(
                [*(self._records[row] for row in kept), *(added.records[row] for row in new)],
                np.concatenate([self._half[kept], added.vectors[new]]),
            ),
            self._analyzer,
        )

    def compacted(self) -> PlainIndex:
        return self

    def files(self) -> Mapping[str, Content]:
        return {
            "vectors.f16": Content.of(self._half.astype("<f2").tobytes()),
            "records.json": Content.of(
                json.dumps(
                    [{**asdict(record), "tenant_id": str(record.tenant_id)} for record in self._records]
                ).encode()
            ),
        }

    def _ranking(self, query: IndexQuery, rows: Sequence[int]) -> list[tuple[int, float]]:
        """Best first, the min(k, n) asked for at least."""
        depth = max(pool_size(query.k) if query.diversity is not None else query.k, DEPTH)
        by_vector = self._by_vector(query.vector, rows)[:depth] if query.by_vector and query.vector is not None else []
        by_words = self._by_words(query.text, rows)[:depth] if query.by_words else []
        if not query.by_vector:
            ranked = {row for row, _ in by_words}
            return by_words + [(row, 0.0) for row in rows if row not in ranked]
        if not query.by_words:
            return by_vector
        weights = query.weights
        return fused([(weights.vector, [row for row, _ in by_vector]), (weights.lexical, [row for row, _ in by_words])])

    def _by_vector(self, vector: Vector, rows: Sequence[int]) -> list[tuple[int, float]]:
        scores = np.vecdot(self._vectors.astype(np.float64), vector)  # of equal rows exactly equal, unlike a product's
        return sorted(((row, float(scores[row])) for row in rows), key=lambda item: (-item[1], item[0]))

    def _by_words(self, text: str, rows: Sequence[int]) -> list[tuple[int, float]]:
        lengths = np.array([counts.total() for counts in self._counts], dtype=np.float64)
        sums = np.zeros(len(lengths))
        for word in self._analyzer.counts(text):
            counts = np.minimum([float(counts[word]) for counts in self._counts], MAX_COUNT)
            rarity = bm25.rarity(len(counts), int(np.count_nonzero(counts)))
            sums += bm25.weights(rarity, counts, lengths, max(1.0, float(lengths.mean()))) if counts.any() else 0.0
        found = ((row, float(sums[row]) / bm25.UNIT) for row in rows if sums[row] > 0)
        return sorted(found, key=lambda item: (-item[1], item[0]))

    def _scored(self, query: IndexQuery, row: int, value: float) -> Scored:
        cosine = None if query.vector is None else float(self._vectors[row] @ query.vector)
        return Scored(self._records[row], None if cosine is None else max(-1.0, min(1.0, cosine)), value)


class PlainDraft:
    def __init__(self, builder: PlainIndexBuilder, dimension: int) -> None:
        self._builder = builder
        self._rows = ChunkRows((), np.empty((0, dimension), np.float16))

    def add(self, rows: ChunkRows) -> None:
        vectors = np.concatenate([self._rows.vectors, rows.vectors])
        self._rows = ChunkRows([*self._rows.records, *rows.records], vectors)

    def finish(self) -> PlainIndex:
        return self._builder.build(self._rows)


class PlainIndexBuilder:
    def __init__(self, analyzer: Analyzer = UNSTEMMED) -> None:
        self._analyzer = analyzer

    def build(self, rows: ChunkRows) -> PlainIndex:
        return PlainIndex(rows, self._analyzer)

    def begin(self, dimension: int) -> PlainDraft:
        return PlainDraft(self, dimension)

    def load(self, files: Mapping[str, Path], dimension: int) -> PlainIndex:
        vectors: HalfMatrix = np.frombuffer(files["vectors.f16"].read_bytes(), dtype="<f2").reshape(-1, dimension)
        records = json.loads(files["records.json"].read_bytes())
        return PlainIndex(
            ChunkRows([ChunkRecord(**{**one, "tenant_id": TenantId(one["tenant_id"])}) for one in records], vectors),
            self._analyzer,
        )


def _allowed(query: IndexQuery, record: ChunkRecord) -> bool:
    return query.filter is None or query.filter.allows(record.document_id, record.metadata)
