"""Ranking by words: BM25 over the parts of an index, with the statistics of exactly the chunks that can be found.

Where a question's common words stand in very many chunks, those chunks are looked at only that can still be among the
best by their rarer words (Turtle and Flood's max-score, 1995): the answer is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from rag.domain import bm25
from rag.domain.postings import MAX_COUNT, Mask, Postings, Rows, Terms

PRUNED_FROM = 50_000
"""Postings of a question from which on leaving chunks out costs less than adding up all of them."""

MAX_TERMS = 128
"""Of a question with more words than this the rarest count: it is a page, and the others hardly tell chunks apart."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of one tenant's chunks alone. `holding` counts those that hold each of a question's terms."""

    chunks: int
    mean_length: float

    def rarities(self, holding: NDArray[np.int64]) -> list[float]:
        return [bm25.rarity(self.chunks, int(count)) for count in holding]


@dataclass(frozen=True, slots=True)
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
    def bound(self) -> int:
        """No chunk gets more for this term than one that holds it 255 times and nothing else."""
        return ceil(bm25.UNIT * self.rarity * (bm25.K1 + 1) * MAX_COUNT / (MAX_COUNT + bm25.K1 * (1 - bm25.B))) + 1


def _wanted(part: Postings, places: NDArray[np.intp], rarities: Sequence[float]) -> list[_Term]:
    """Rarest first, so that a bound for the best is soon known."""
    wanted = [
        _Term(int(part.starts[place]), int(part.starts[place + 1]), rarity)
        for place, rarity in zip(places.tolist(), rarities, strict=True)
        if place >= 0
    ]
    return sorted(wanted, key=lambda term: (-term.rarity, term.start))[:MAX_TERMS]


@dataclass(frozen=True, slots=True)
class _Scoring:
    part: Postings
    mean_length: float
    allowed: Mask | None

    def best(self, terms: Sequence[_Term], depth: int) -> tuple[Rows, NDArray[np.float64]]:
        if not terms:
            return np.empty(0, np.int64), np.empty(0)
        if sum(term.end - term.start for term in terms) < PRUNED_FROM:
            sums = self._sums(terms)
        else:
            sums = self._pruned_sums(terms, depth)
        if self.allowed is not None:
            sums = np.where(self.allowed, sums, 0.0)
        rows = np.flatnonzero(sums)
        return _top(rows, sums[rows], depth)

    def _sums(self, terms: Sequence[_Term]) -> NDArray[np.float64]:
        part = self.part
        spans = [slice(term.start, term.end) for term in terms]
        rows = np.concatenate([part.rows[span] for span in spans])
        counts = np.concatenate([part.counts[span] for span in spans])
        rarities = np.repeat([term.rarity for term in terms], [term.end - term.start for term in terms])
        return np.bincount(rows, self._weights(rarities, rows, counts), minlength=len(part)).astype(
            np.float64, copy=False
        )

    def _pruned_sums(self, terms: Sequence[_Term], depth: int) -> NDArray[np.float64]:
        """Right for the rows that can be among the `depth` best; less than right, or 0, for others."""
        sums = np.zeros(len(self.part))
        rest = sum(term.bound for term in terms)
        threshold, seen, seen_at_check = 0.0, 0, 0
        for done, term in enumerate(terms):
            if seen >= max(depth, 2 * seen_at_check):  # each look costs as much as all that was added up before it
                threshold, seen_at_check = self._threshold(sums, terms[:done], depth), seen
            if rest < threshold:
                return self._completed(sums, terms[done:], threshold, rest)
            rows = self.part.rows[term.start : term.end]
            sums[rows] += self._weights(term.rarity, rows, self.part.counts[term.start : term.end])
            rest -= term.bound
            seen += len(rows)
        return sums

    def _threshold(self, sums: NDArray[np.float64], done: Sequence[_Term], depth: int) -> float:
        """What the last of the `depth` best rows has by the terms done; 0 where there are not so many."""
        rows = np.unique(np.concatenate([self.part.rows[term.start : term.end] for term in done]))
        if self.allowed is not None:
            rows = rows[self.allowed[rows]]
        if len(rows) < depth:
            return 0.0
        return float(np.partition(sums[rows], len(rows) - depth)[len(rows) - depth])

    def _completed(
        self, sums: NDArray[np.float64], rest: Sequence[_Term], threshold: float, bound: int
    ) -> NDArray[np.float64]:
        rows = np.flatnonzero(sums >= max(1.0, threshold - bound))
        for term in rest:
            holders = self.part.rows[term.start : term.end]
            at = np.minimum(np.searchsorted(holders, rows.astype(holders.dtype)), len(holders) - 1)
            holds = holders[at] == rows
            found = rows[holds]
            sums[found] += self._weights(term.rarity, found, self.part.counts[term.start : term.end][at[holds]])
        return sums

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
