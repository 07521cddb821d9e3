"""One tenant's index: vectors and words of the chunks it was built of, a small exact head of those that came since,
and the set of rows that are gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from rag.adapters.array_file import pack, raw
from rag.adapters.faiss_exact import ExactVectors
from rag.adapters.records import RecordTable, joined_records
from rag.adapters.scratch import Scratch
from rag.adapters.stemming import VERSION
from rag.adapters.vector_index import NOTHING, Nearest, Vectors, best_of
from rag.adapters.vector_rows import ROWS_AT_ONCE, cosines
from rag.domain import bm25
from rag.domain.corpus import ChunkRecord
from rag.domain.diversity import diverse, pool_size
from rag.domain.fusion import DEPTH, fused
from rag.domain.lexical import Lexicon
from rag.domain.postings import Analyzer, Mask, Postings, Rows, joined, merged
from rag.domain.query import ChunkRows, IndexQuery, Scored
from rag.domain.snapshot import FORMAT, Content
from rag.domain.vectors import HalfMatrix, Vector

LEXICAL_KIND = f"lexical-1 of {VERSION}"
RECORDS_KIND = "records-1"
VECTORS_KIND = "vectors-1"
"""Half precision row after row, and FAISS's codes of them."""
SNAPSHOT_FORMAT = f"{FORMAT}/{VECTORS_KIND}/{LEXICAL_KIND}/{RECORDS_KIND}"
"""What the files of `HybridIndex.files` are, for the manifest: another layout is another kind and so another format."""

Ranking = list[tuple[int, float]]
"""Rows and what they were ranked by, best first."""


@dataclass(frozen=True, eq=False)
class Segment:
    """Row i of all three is one chunk. `heap_bytes` is what of it lies in memory, not in mapped files."""

    vectors: Vectors
    words: Postings
    records: RecordTable
    heap_bytes: int

    @classmethod
    def of(cls, vectors: Vectors, words: Postings, records: RecordTable) -> Segment:
        return cls(vectors, words, records, vectors.nbytes + words.nbytes + records.nbytes)

    @classmethod
    def head(cls, rows: ChunkRows, analyzer: Analyzer) -> Segment:
        words = Postings.of((record.text for record in rows.records), analyzer)
        return cls.of(ExactVectors(rows.vectors), words, RecordTable.of(rows.records))

    def __len__(self) -> int:
        return len(self.records)


class Make(Protocol):
    """Makes a segment's vectors, `size` in all, of the kind that suits their number. Raises OSError where the disk is
    full."""

    def __call__(self, portions: Iterable[HalfMatrix], size: int, dimension: int) -> Vectors: ...


@dataclass(frozen=True, eq=False)
class HybridIndex:
    """`base`'s rows come first, then `head`'s. `alive` has one value a row, or is None where nothing is gone; `gone`
    are the words of what is, which do not count any more."""

    base: Segment
    head: Segment
    alive: Mask | None
    gone: Postings
    analyzer: Analyzer
    make: Make
    scratch: Scratch

    @property
    def nbytes(self) -> int:
        alive = 0 if self.alive is None else self.alive.nbytes
        return self.base.heap_bytes + self.head.heap_bytes + self.gone.nbytes + alive + _BYTES_OF_OBJECTS

    def __len__(self) -> int:
        return len(self.base) + len(self.head) - len(self.gone)

    def search(self, query: IndexQuery) -> list[Scored]:
        allowed = self._allowed(query)
        nearest, ranking = self._ranking(query, allowed)
        if query.diversity is not None:
            pool = ranking[: pool_size(query.k)]
            ranking = diverse(pool, self._vectors([row for row, _ in pool]), query.k, query.diversity)
        ranking = ranking[: query.k]
        scores = self._cosines(query.vector, nearest, [row for row, _ in ranking])
        return [Scored(self._record(row), scores[row], value) for row, value in ranking]

    @property
    def approximation(self) -> str | None:
        return self.base.vectors.approximation

    def recall(self, query: IndexQuery) -> float:
        """Of the base: the head is exact always."""
        if query.vector is None:
            raise ValueError("recall is of a search by vector")
        allowed = self._allowed(query)
        here = None if allowed is None else allowed[: len(self.base)]
        exact = self.base.vectors.exactly(query.vector, query.k, here)
        if not len(exact.rows):
            return 1.0
        found = self.base.vectors.nearest(query.vector, query.k, here)
        # By their scores: of rows that are equally near, any will do.
        return float(np.count_nonzero(found.scores >= exact.scores[-1])) / len(exact.rows)

    def with_changes(self, added: ChunkRows, removed: frozenset[str]) -> HybridIndex:
        newest = {record.chunk_id: row for row, record in enumerate(added.records)}
        new = sorted(newest.values())
        alive, gone = self._without(removed | newest.keys())
        if not new:
            return replace(self, alive=alive, gone=gone)
        fresh = Segment.head(ChunkRows([added.records[row] for row in new], added.vectors[new]), self.analyzer)
        head = _joined(self.head, fresh) if len(self.head) else fresh
        if alive is not None:
            alive = np.concatenate([alive, np.ones(len(fresh), np.bool_)])
        return replace(self, head=head, alive=alive, gone=gone)

    def compacted(self) -> HybridIndex:
        if self.alive is None and not len(self.head):
            return self
        parts = [(segment, self._rows_alive(segment, before)) for segment, before in self._segments]
        vectors = self.make(_gathered(parts), len(self), self.base.vectors.dimension)
        room = self.scratch.empty
        words = merged([(segment.words, rows) for segment, rows in parts], room)
        records = joined_records([segment.records.kept(rows, room) for segment, rows in parts], room)
        return index_of(vectors, words, records, self.analyzer, self.make, self.scratch)

    def files(self) -> Mapping[str, Content]:
        if self.alive is not None or len(self.head):
            raise ValueError("an index with changes has no files: it is to be compacted first")
        vectors = self.base.vectors
        files = {
            "vectors.f16": Content(2 * len(vectors) * vectors.dimension, lambda: map(raw, vectors.portions())),
            "lexical.bin": pack(LEXICAL_KIND, self.base.words.arrays()),
            "records.bin": pack(RECORDS_KIND, self.base.records.arrays()),
        }
        codes = vectors.codes()
        return files if codes is None else {**files, "codes.faiss": Content.of(codes)}

    @property
    def _segments(self) -> tuple[tuple[Segment, int], ...]:
        """With how many rows stand before each."""
        return (self.base, 0), (self.head, len(self.base))

    @cached_property
    def _lexicon(self) -> Lexicon:
        return Lexicon.of((self.base.words, self.head.words) if len(self.head) else (self.base.words,), self.gone)

    def _allowed(self, query: IndexQuery) -> Mask | None:
        """One value a row; None where every row may answer."""
        if query.filter is None:
            return self.alive
        wanted = query.filter
        allowed = np.concatenate([segment.records.allowed(wanted) for segment, _ in self._segments])
        return allowed if self.alive is None else allowed & self.alive

    def _ranking(self, query: IndexQuery, allowed: Mask | None) -> tuple[Nearest, Ranking]:
        """The min(k, n) asked for at least, and what of it is known to be how near."""
        depth = max(pool_size(query.k) if query.diversity is not None else query.k, DEPTH)
        nearest = NOTHING
        if query.by_vector and query.vector is not None:
            nearest = self._nearest(query.vector, depth if query.by_words or query.diversity else query.k, allowed)
        if not query.by_words:
            return nearest, list(zip(nearest.rows.tolist(), nearest.scores.tolist(), strict=True))
        rows, sums = self._lexicon.best(self.analyzer.question(query.text), allowed, depth)
        if not query.by_vector:
            by_words = list(zip(rows.tolist(), (sums / bm25.UNIT).tolist(), strict=True))
            return nearest, self._filled_up(by_words, allowed, query.k)
        weights = query.weights
        return nearest, fused([(weights.vector, nearest.rows.tolist()), (weights.lexical, rows.tolist())])

    def _nearest(self, vector: Vector, k: int, allowed: Mask | None) -> Nearest:
        if not len(self.head):
            return self.base.vectors.nearest(vector, k, allowed)
        found = []
        for segment, before in self._segments:
            here = None if allowed is None else allowed[before : before + len(segment)]
            rows, scores = segment.vectors.nearest(vector, k, here)
            found.append((rows + before, scores))
        return best_of(np.concatenate([rows for rows, _ in found]), np.concatenate([one for _, one in found]), k)

    def _filled_up(self, ranking: Ranking, allowed: Mask | None, k: int) -> Ranking:
        """With chunks that hold none of the words, in their order, up to k."""
        if len(ranking) >= k:
            return ranking
        ranked = {row for row, _ in ranking}
        size = len(self.base) + len(self.head)
        rows = np.arange(size) if allowed is None else np.flatnonzero(allowed)
        others = (row for row in rows[: k + len(ranked)].tolist() if row not in ranked)
        return ranking + [(row, 0.0) for row in others]

    def _cosines(self, vector: Vector | None, nearest: Nearest, rows: list[int]) -> dict[int, float | None]:
        if vector is None:
            return dict.fromkeys(rows)
        known = dict(zip(nearest.rows.tolist(), nearest.scores.tolist(), strict=True))
        unknown = [row for row in rows if row not in known]
        if unknown:
            known.update(zip(unknown, cosines(self._vectors(unknown), vector).tolist(), strict=True))
        # Half precision makes a vector's cosine with itself 1.0002.
        return {row: max(-1.0, min(1.0, known[row])) for row in rows}

    def _vectors(self, rows: list[int]) -> HalfMatrix:
        """In the order of `rows`."""
        asked = np.array(rows, np.int64)
        order = np.argsort(asked)
        ascending, before = asked[order], len(self.base)
        found = np.empty((len(rows), self.head.vectors.all().shape[1]), np.float16)
        found[order] = np.concatenate(
            [
                self.base.vectors.gather(ascending[ascending < before]),
                self.head.vectors.gather(ascending[ascending >= before] - before),
            ]
        )
        return found

    def _record(self, row: int) -> ChunkRecord:
        before = len(self.base)
        return self.base.records.record(row) if row < before else self.head.records.record(row - before)

    def _without(self, chunk_ids: frozenset[str]) -> tuple[Mask | None, Postings]:
        """Which rows are left when these are gone too, and the words of all that are gone."""
        going = {before + row for segment, before in self._segments for row in segment.records.rows_of(chunk_ids)}
        if self.alive is not None:
            going = {row for row in going if self.alive[row]}
        if not going:
            return self.alive, self.gone
        size = len(self.base) + len(self.head)
        alive = np.ones(size, np.bool_) if self.alive is None else self.alive.copy()
        alive[list(going)] = False
        texts = (self._record(row).text for row in sorted(going))
        return alive, joined([self.gone, Postings.of(texts, self.analyzer)])

    def _rows_alive(self, segment: Segment, before: int) -> Rows:
        if self.alive is None:
            return np.arange(len(segment))
        return np.flatnonzero(self.alive[before : before + len(segment)])


_BYTES_OF_OBJECTS = 16_384
"""What a tenant costs beside its arrays: the objects that hold them, and the allocator's rounding."""


def index_of(
    vectors: Vectors, words: Postings, records: RecordTable, analyzer: Analyzer, make: Make, scratch: Scratch
) -> HybridIndex:
    """Of arrays of which some may lie in `scratch`."""
    arrays = [*words.arrays().values(), *records.arrays().values()]
    on_heap = sum(array.nbytes for array in arrays if not scratch.holds(array))
    return fresh_index(Segment(vectors, words, records, vectors.nbytes + on_heap), analyzer, make, scratch)


def fresh_index(base: Segment, analyzer: Analyzer, make: Make, scratch: Scratch) -> HybridIndex:
    """Nothing changed yet."""
    none = ChunkRows((), np.empty((0, base.vectors.dimension), np.float16))
    return HybridIndex(base, Segment.head(none, analyzer), None, Postings.of((), analyzer), analyzer, make, scratch)


def _gathered(parts: Sequence[tuple[Segment, Rows]]) -> Iterator[HalfMatrix]:
    for segment, rows in parts:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            yield segment.vectors.gather(rows[start : start + ROWS_AT_ONCE])


def _joined(first: Segment, second: Segment) -> Segment:
    return Segment.of(
        ExactVectors(np.concatenate([first.vectors.all(), second.vectors.all()])),
        joined([first.words, second.words]),
        joined_records([first.records, second.records]),
    )
