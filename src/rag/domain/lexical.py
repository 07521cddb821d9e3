"""Ranking by words: BM25 over the parts of an index, with the statistics of exactly the chunks that can be found.

Exact while a question's words stand in 100,000 places altogether. Beyond that its rarer words choose the chunks, and
the common ones only add to those (the "continue" strategy of Moffat and Zobel, Self-Indexing Inverted Files, 1996): a
chunk that holds none but common words ranks low anyhow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.domain import bm25
from rag.domain.postings import Mask, Postings, Rows, Terms

EXACT_POSTINGS = 100_000
"""Of a question's postings so many are added up at least, a millisecond's work; then those of its rarest words only."""

CANDIDATES = 2_000
"""Of the chunks that hold rarer words so many are looked at for the common ones, or ten times what is asked for."""

MAX_TERMS = 128
"""Of a question with more words than this the rarest count: it is a page, and the others hardly tell chunks apart."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of one tenant's chunks alone. `holding` counts those that hold each of a question's terms."""

    chunks: int
    mean_length: float

    def rarities(self, holding: NDArray[np.int64]) -> list[float]:
        return [bm25.rarity(self.chunks, int(count)) for count in holding]


@dataclass(frozen=True, slots=True, eq=False)
class Lexicon:
    """The words of an index: `parts`, one behind the other, less the chunks whose words are in `gone`."""

    parts: tuple[Postings, ...]
    gone: Postings
    statistics: Statistics

    @classmethod
    def of(cls, parts: Sequence[Postings], gone: Postings) -> Lexicon:
        chunks = sum(len(part) for part in parts) - len(gone)
        length = sum(int(part.lengths.sum(dtype=np.int64)) for part in parts) - int(gone.lengths.sum(dtype=np.int64))
        return cls(tuple(parts), gone, Statistics(chunks, max(1.0, length / chunks) if chunks else 1.0))

    def best(self, terms: Terms, allowed: Mask | None, depth: int) -> tuple[Rows, NDArray[np.float64]]:
        """The `depth` rows with the greatest BM25 score among those allowed that hold a term, best first; equal scores
        in the order of rows. `allowed` has one value a row of all parts."""
        if not len(terms):
            return np.empty(0, np.int64), np.empty(0)
        places = [part.find(terms) for part in self.parts]
        holding = sum(part.holding(place) for part, place in zip(self.parts, places, strict=True))
        holding = np.asarray(holding - self.gone.holding(self.gone.find(terms)))
        rarities = self.statistics.rarities(holding)
        rows, sums, before = [], [], 0
        for part, place in zip(self.parts, places, strict=True):
            here = None if allowed is None else allowed[before : before + len(part)]
            scoring = _Scoring(part, self.statistics.mean_length, here)
            found, scores = scoring.best(_wanted(part, place, rarities), depth)
            rows.append(found + before)
            sums.append(scores)
            before += len(part)
        return _top(np.concatenate(rows), np.concatenate(sums), depth)


@dataclass(frozen=True, slots=True)
class _Term:
    start: int
    end: int
    rarity: float

    @property
    def size(self) -> int:
        return self.end - self.start


def _wanted(part: Postings, places: NDArray[np.intp], rarities: Sequence[float]) -> list[_Term]:
    """Rarest first."""
    wanted = [
        _Term(int(part.starts[place]), int(part.starts[place + 1]), rarity)
        for place, rarity in zip(places.tolist(), rarities, strict=True)
        if place >= 0
    ]
    return sorted(wanted, key=lambda term: (-term.rarity, term.start))[:MAX_TERMS]


@dataclass(frozen=True, slots=True, eq=False)
class _Scoring:
    part: Postings
    mean_length: float
    allowed: Mask | None

    def best(self, terms: Sequence[_Term], depth: int) -> tuple[Rows, NDArray[np.float64]]:
        if not terms:
            return np.empty(0, np.int64), np.empty(0)
        whole = sum(term.size for term in terms) <= EXACT_POSTINGS
        sums = self._sums(terms) if whole else self._bounded_sums(terms, depth)
        held = sums > 0.0
        rows = np.flatnonzero(held if self.allowed is None else held & self.allowed)
        return _top(rows, sums[rows], depth)

    def _sums(self, terms: Sequence[_Term]) -> NDArray[np.float64]:
        part = self.part
        spans = [slice(term.start, term.end) for term in terms]
        rows = np.concatenate([part.rows[span] for span in spans])
        counts = np.concatenate([part.counts[span] for span in spans])
        rarities = np.repeat([term.rarity for term in terms], [term.size for term in terms])
        return np.bincount(rows, self._weights(rarities, rows, counts), minlength=len(part)).astype(
            np.float64, copy=False
        )

    def _bounded_sums(self, terms: Sequence[_Term], depth: int) -> NDArray[np.float64]:
        """Right for the rows that the rarer terms rank high, 0 or less than right for others."""
        sums, seen = np.zeros(len(self.part)), 0
        for done, term in enumerate(terms):
            seen += term.size
            if seen > EXACT_POSTINGS:
                rows = self._candidates(sums, depth)
                if len(rows) >= depth:
                    self._complete(sums, rows, terms[done:])
                    return sums
            holders = self.part.rows[term.start : term.end]
            sums[holders] += self._weights(term.rarity, holders, self.part.counts[term.start : term.end])
        return sums

    def _candidates(self, sums: NDArray[np.float64], depth: int) -> Rows:
        """The best so far, ascending."""
        held = sums > 0.0
        rows = np.flatnonzero(held if self.allowed is None else held & self.allowed)
        best, _ = _top(rows, sums[rows], max(CANDIDATES, 10 * depth))
        return np.sort(best)

    def _complete(self, sums: NDArray[np.float64], rows: Rows, rest: Sequence[_Term]) -> None:
        """Adds to these rows what the rest of the terms weigh in them."""
        sought = rows.astype(self.part.rows.dtype)
        for term in rest:
            holders = self.part.rows[term.start : term.end]
            at = np.minimum(np.searchsorted(holders, sought), len(holders) - 1)
            holds = holders[at] == sought
            found = rows[holds]
            sums[found] += self._weights(term.rarity, found, self.part.counts[term.start : term.end][at[holds]])

    def _weights(
        self, rarity: float | NDArray[np.float64], rows: NDArray[np.integer], counts: NDArray[np.uint8]
    ) -> NDArray[np.float64]:
        return bm25.weights(rarity, counts.astype(np.float64), self.part.lengths[rows], self.mean_length)


def _top(rows: Rows, sums: NDArray[np.float64], depth: int) -> tuple[Rows, NDArray[np.float64]]:
    """The `depth` greatest, best first, equal ones by row."""
    if len(rows) > depth:
        last = np.partition(sums, len(sums) - depth)[len(sums) - depth]
        better = np.flatnonzero(sums > last)
        equal = np.flatnonzero(sums == last)[: depth - len(better)]
        kept = np.sort(np.concatenate([better, equal]))
        rows, sums = rows[kept], sums[kept]
    order = np.lexsort((rows, -sums))
    return rows[order], sums[order]
