"""Which words stand in which chunks how often: an inverted file as five flat arrays (compressed sparse rows).

A word is known by 64 bits of its hash. All of it is of one tenant, its statistics as well.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.domain.words import words

MAX_COUNT = 255
"""A word that stands in a chunk more often weighs as if it stood so often."""

_NAMES = ("terms", "starts", "rows", "counts", "lengths")

Terms = NDArray[np.uint64]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]
Empty = Callable[[int, Any], NDArray[Any]]
"""Room for so many values of a type."""

POSTINGS_AT_ONCE = 1_000_000
"""That are moved in one go."""


@dataclass(frozen=True, slots=True)
class Analyzer:
    """What makes the terms of a text, of chunks and of questions alike. `stem` gets one folded word."""

    stem: Callable[[str], str]

    def counts(self, text: str) -> Counter[str]:
        """The stems and how often each stands in the text."""
        folded = Counter(words(text))
        stems: Counter[str] = Counter()
        for word, count in folded.items():
            stems[self.stem(word)] += count
        return stems

    def question(self, text: str) -> Terms:
        """The distinct terms of a text, in order."""
        stems = {self.stem(word) for word in set(words(text))}
        return np.unique(np.fromiter(map(_term, stems), np.uint64, len(stems)))


UNSTEMMED = Analyzer(str)


def _term(stem: str) -> int:
    return int.from_bytes(hashlib.blake2b(stem.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True, slots=True, eq=False)
class Postings:
    """Term `terms[i]` (ascending) stands in chunks `rows[starts[i]:starts[i + 1]]` (ascending), `counts` times each.

    `lengths[row]` is a chunk's number of words. Rows are 16 bits wide where they fit, else 32.
    """

    terms: Terms
    starts: NDArray[np.int64]
    rows: NDArray[np.unsignedinteger]
    counts: NDArray[np.uint8]
    lengths: NDArray[np.uint32]

    @classmethod
    def of(cls, texts: Iterable[str], analyzer: Analyzer) -> Postings:
        vocabulary: dict[str, int] = {}
        stems: dict[str, str] = {}
        numbers, repeated, sizes, lengths = array("I"), array("B"), array("I"), array("I")
        for text in texts:
            found = _stemmed(Counter(words(text)), stems, analyzer)
            for stem, count in found.items():
                numbers.append(vocabulary.setdefault(stem, len(vocabulary)))
                repeated.append(min(count, MAX_COUNT))
            sizes.append(len(found))
            lengths.append(found.total())
        return cls._sorted(vocabulary, numbers, repeated, sizes, lengths)

    @classmethod
    def _sorted(
        cls,
        vocabulary: dict[str, int],
        numbers: array[int],
        repeated: array[int],
        sizes: array[int],
        lengths: array[int],
    ) -> Postings:
        terms = np.fromiter(map(_term, vocabulary), np.uint64, len(vocabulary))
        in_order = np.argsort(terms, kind="stable")
        place = np.empty(len(terms), np.uint32)
        place[in_order] = np.arange(len(terms), dtype=np.uint32)
        places = place[np.frombuffer(numbers, np.uint32)]
        order = np.argsort(places, kind="stable")
        rows = np.repeat(np.arange(len(sizes), dtype=_row_type(len(sizes))), np.frombuffer(sizes, np.uint32))
        return cls(
            terms=terms[in_order],
            starts=_starts(np.bincount(places, minlength=len(terms))),
            rows=rows[order].astype(_row_type(len(sizes)), copy=False),
            counts=np.frombuffer(repeated, np.uint8)[order],
            lengths=np.array(lengths, dtype=np.uint32),
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Postings:
        """What `arrays` gave. Raises ValueError where they do not fit together."""
        if arrays.keys() != set(_NAMES):
            raise ValueError("these are no postings")
        made = cls(**arrays)
        if len(made.starts) != len(made.terms) + 1 or not (len(made.rows) == len(made.counts) == int(made.starts[-1])):
            raise ValueError("the postings' arrays are not of one length")
        return made

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {name: getattr(self, name) for name in _NAMES}

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.arrays().values())

    def find(self, terms: Terms) -> NDArray[np.intp]:
        """The places of terms in `self.terms`; -1 for one that stands in no chunk."""
        if not len(self.terms):
            return np.full(len(terms), -1, np.intp)
        places = np.minimum(np.searchsorted(self.terms, terms), len(self.terms) - 1)
        return np.where(self.terms[places] == terms, places, -1)

    def holding(self, places: NDArray[np.intp]) -> NDArray[np.int64]:
        """In how many chunks each term stands, by its place."""
        if not len(self.terms):
            return np.zeros(len(places), np.int64)
        return np.where(places < 0, 0, self.starts[places + 1] - self.starts[places])

    def kept(self, rows: Rows) -> Postings:
        """Of these rows only (ascending), numbered anew from 0."""
        return merged([(self, rows)])

    def portions(self) -> Iterator[tuple[int, int]]:
        """Ranges of terms, together all of them, that stand in so many places at most, or are one."""
        first = 0
        while first < len(self.terms):
            last = int(np.searchsorted(self.starts, self.starts[first] + POSTINGS_AT_ONCE, "right")) - 1
            last = max(first + 1, last)
            yield first, last
            first = last


def joined(parts: Sequence[Postings], empty: Empty = np.empty) -> Postings:
    """One after another: the rows of a part are numbered on from those of the parts before it."""
    if len(parts) == 1:
        return parts[0]
    return merged([(part, np.arange(len(part))) for part in parts], empty)


def merged(parts: Sequence[tuple[Postings, Rows]], empty: Empty = np.empty) -> Postings:
    """Of each part these rows (ascending), one part after another, numbered anew from 0. `empty` gives the room for the
    large arrays; beside it some megabytes are used."""
    moves, before = [], 0
    for part, rows in parts:
        number = np.full(len(part), -1, np.int32)
        number[rows] = np.arange(before, before + len(rows), dtype=np.int32)
        moves.append((part, number))
        before += len(rows)
    terms = np.unique(np.concatenate([part.terms for part, _ in parts]))
    sizes = np.zeros(len(terms), np.int64)
    for part, number in moves:
        for first, last in part.portions():
            sizes[np.searchsorted(terms, part.terms[first:last])] += _Move.of(part, number, first, last).sizes
    used = sizes > 0
    terms, starts = terms[used], _starts(sizes[used])
    moved: NDArray[Any] = empty(int(starts[-1]), _row_type(before))
    counts: NDArray[Any] = empty(int(starts[-1]), np.uint8)
    free = starts[:-1].copy()
    for part, number in moves:
        for first, last in part.portions():
            move = _Move.of(part, number, first, last)
            held = move.sizes > 0
            place = np.searchsorted(terms, part.terms[first:last][held])
            size = move.sizes[held]
            to = np.arange(int(size.sum())) + np.repeat(free[place] - _starts(size)[:-1], size)
            moved[to] = move.rows
            counts[to] = move.counts
            free[place] += size
    lengths = np.concatenate([part.lengths[kept] for part, kept in parts])
    return Postings(terms, starts, moved, counts, lengths)


@dataclass(frozen=True, slots=True, eq=False)
class _Move:
    """What stays of some terms: how often of each, and the new rows and counts, term after term."""

    sizes: NDArray[np.int64]
    rows: NDArray[np.int32]
    counts: NDArray[np.uint8]

    @classmethod
    def of(cls, part: Postings, number: NDArray[np.int32], first: int, last: int) -> _Move:
        begin, end = int(part.starts[first]), int(part.starts[last])
        new = number[part.rows[begin:end]]
        stays = new >= 0
        sizes = np.diff(_starts(stays)[part.starts[first : last + 1] - begin])
        return cls(sizes, new[stays], part.counts[begin:end][stays])


def _stemmed(folded: Counter[str], stems: dict[str, str], analyzer: Analyzer) -> Counter[str]:
    """`stems` remembers what was stemmed before: one build meets the same words over and over."""
    found: Counter[str] = Counter()
    for word, count in folded.items():
        stem = stems.get(word)
        if stem is None:
            stem = stems[word] = analyzer.stem(word)
        found[stem] += count
    return found


def _starts(sizes: NDArray[np.integer] | Mask) -> NDArray[np.int64]:
    starts = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=starts[1:])
    return starts


def _row_type(size: int) -> type[np.uint16] | type[np.uint32]:
    return np.uint16 if size <= 1 << 16 else np.uint32
