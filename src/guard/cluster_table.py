"""Long texts read all at once: each cluster that has been read before has a number, by which arrays say what it is.

A text of another alphabet than ASCII takes a hundredth of a microsecond a character in this way, and a twentieth where
something is written onto each of them.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from guard.clusters import MAX_MARKS, READ
from guard.marks import is_invisible, may_grow

CAPACITY = 1 << 16
"""Clusters with a number; then it begins anew. They take four megabytes, and what is used of a number for each code
point."""
_POOL = 4 * CAPACITY
"""Characters that they stand for."""
_SINGLE, _SEVERAL, _MARK, _INVISIBLE = range(4)
"""Kinds of characters: stands for one, for none or several, is written onto the one before, and does not count."""
_SPACE = 0x20

_Codes = NDArray[np.uint32]
_Numbers = NDArray[np.int32]
_FACTORS = np.array([secrets.randbits(64) | 1 for _ in range(MAX_MARKS + 1)] + [0], np.uint64)
"""The sum of a cluster's code points times these is its mark, by which it is known again: nobody outside knows them,
so nobody can write two clusters with the same."""
_SLOT_BITS = np.uint64(64 - 16)


class Reading(NamedTuple):
    """`starts`: where each canonical character's cluster begins in the original."""

    plain: _Codes
    skeleton: _Codes
    edges: _Codes
    starts: NDArray[np.int64]


class UnreadError(Exception):
    """What is new in a text has no number yet: there is no room for it, or another thread is adding. Nobody waits for
    that: an event loop would wait for a thread that waits for the event loop."""


class _FullError(UnreadError):
    pass


class _Table:
    """Grows only: what has a number keeps it, so that it can be asked without a lock while another thread adds."""

    def __init__(self) -> None:
        self.of_code = np.zeros(0x110000, np.int32)  # 0: not known yet
        self.kind = np.zeros(CAPACITY, np.uint8)
        self.length, self.first = np.zeros(CAPACITY, np.int32), np.zeros(CAPACITY, np.int32)
        self.plain, self.skeleton, self.edges = (np.zeros(_POOL, np.uint32) for _ in range(3))
        self.slot_mark, self.slot_number = np.zeros(1 << 16, np.uint64), np.zeros(1 << 16, np.int32)
        self._of_mark: dict[int, int] = {}
        self._numbers, self._used = 1, CAPACITY  # a cluster that stands for one character has it at its number
        self._adding = threading.Lock()

    def add_codes(self, codes: _Codes) -> None:
        """Raises UnreadError."""
        with self._alone():
            for code in np.unique(codes).tolist():
                character = chr(code)
                kind = _INVISIBLE if is_invisible(character) else _MARK if may_grow(character) else None
                self.of_code[code] = self._add(character, kind)

    def of_clusters(
        self, marks: NDArray[np.uint64], codes: _Codes, begins: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> _Numbers:
        """The numbers of clusters with something written onto them. Raises UnreadError."""
        slots = (marks >> _SLOT_BITS).astype(np.int64)
        found = self.slot_number.take(slots)
        missing = np.flatnonzero(self.slot_mark.take(slots) != marks).tolist()
        if missing:
            with self._alone():
                for at in missing:
                    cluster = codes[int(begins[at]) : int(min(ends[at], begins[at] + MAX_MARKS + 1))]
                    found[at] = self._of_mark.get(int(marks[at])) or self._add_cluster(marks[at], slots[at], cluster)
        return found

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._adding.acquire(blocking=False):
            raise UnreadError
        try:
            yield
        finally:
            self._adding.release()

    def _add_cluster(self, mark: np.uint64, slot: np.int64, codes: _Codes) -> int:
        number = self._of_mark[int(mark)] = self._add(_text(codes), None)
        if not self.slot_mark[slot]:
            self.slot_number[slot] = number  # the mark last: whoever sees it finds the number
            self.slot_mark[slot] = mark
        return number

    def _add(self, cluster: str, kind: int | None) -> int:
        read = READ[cluster]
        number, length = self._numbers, len(read.plain)
        first = number if length == 1 else self._used
        if number >= CAPACITY or (length != 1 and first + length > _POOL):
            raise _FullError
        for pool, text in zip((self.plain, self.skeleton, self.edges), read, strict=True):
            for at, one in enumerate(text, first):
                pool[at] = ord(one)
        self.length[number], self.first[number] = length, first
        self.kind[number] = kind if kind is not None else _SINGLE if length == 1 else _SEVERAL
        self._numbers += 1
        self._used += length if length != 1 else 0
        return number


class ClusterTable:
    def __init__(self) -> None:
        self._table = _Table()

    def read(self, text: str) -> Reading:
        """Raises UnreadError."""
        try:
            return _read(self._table, text)
        except _FullError:
            table = _Table()
            reading = _read(table, text)
            self._table = table
            return reading


def _read(table: _Table, text: str) -> Reading:
    codes: _Codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    numbers = table.of_code.take(codes)
    if not numbers.all():
        table.add_codes(codes[numbers == 0])
        numbers = table.of_code.take(codes)
    kinds = table.kind.take(numbers)
    highest = int(kinds.max(initial=_SINGLE))
    starts = np.arange(len(codes))
    if highest >= _INVISIBLE:
        starts = np.flatnonzero(kinds != _INVISIBLE)
        codes, numbers, kinds = codes[starts], numbers[starts], kinds[starts]
    if highest >= _MARK:
        begins = np.flatnonzero(kinds != _MARK)
        numbers = _of_clusters(table, codes, numbers, begins)
        starts = starts[begins]
    return _without_rows_of_spaces(_written_out(table, numbers, starts, several=highest > _SINGLE))


def _of_clusters(table: _Table, codes: _Codes, numbers: _Numbers, begins: NDArray[np.int64]) -> _Numbers:
    """`begins`: where clusters begin; what stands before the first is written onto nothing."""
    found = numbers[begins]
    ends = np.append(begins[1:], len(codes))
    several = np.flatnonzero(ends - begins > 1)
    if len(several) == 0:
        return found
    first = int(begins[0])
    place = np.minimum(np.arange(first, len(codes)) - np.repeat(begins, ends - begins), MAX_MARKS + 1)
    marks = np.add.reduceat(codes[first:].astype(np.uint64) * _FACTORS[place], begins - first)[several]
    found[several] = table.of_clusters(marks, codes, begins[several], ends[several])
    return found


def _written_out(table: _Table, numbers: _Numbers, starts: NDArray[np.int64], *, several: bool) -> Reading:
    places: NDArray[np.integer[Any]] = numbers
    if several:
        lengths = table.length.take(numbers)
        if (lengths != 1).any():
            ends = np.cumsum(lengths)
            total = int(ends[-1])
            places = np.repeat(table.first.take(numbers) - (ends - lengths), lengths) + np.arange(total)
            starts = np.repeat(starts, lengths)
        else:
            places = table.first.take(numbers)
    return Reading(table.plain.take(places), table.skeleton.take(places), table.edges.take(places), starts)


def _without_rows_of_spaces(reading: Reading) -> Reading:
    spaces = reading.plain == _SPACE
    again = spaces[1:] & spaces[:-1]
    if not again.any():
        return reading
    kept = np.flatnonzero(np.append(True, ~again))
    plain, skeleton, edges, starts = reading
    return Reading(plain[kept], skeleton[kept], edges[kept], starts[kept])


def _text(codes: _Codes) -> str:
    return codes.tobytes().decode("utf-32-le", "surrogatepass")
