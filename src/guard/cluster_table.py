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
_Places = NDArray[np.integer[Any]]
_Numbers = NDArray[np.int32]
_FACTORS = np.array([secrets.randbits(64) | 1 for _ in range(MAX_MARKS + 1)], np.uint64)
"""The sum of a cluster's code points times these is its mark, by which it is known again: nobody outside knows them,
so nobody can write two clusters with the same."""
_SLOT_BITS = np.uint64(64 - 16)


class _Origins:
    """Where clusters begin in a text, from what was left out of it and what was written out. Most who read a text do
    not ask."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._kept: list[NDArray[np.int64]] = []

    def keep(self, kept: NDArray[np.int64]) -> None:
        """Of what is left, what stays."""
        self._kept.append(kept)

    def starts(self) -> NDArray[np.int64]:
        found = np.arange(self._length)
        for kept in self._kept:
            found = found[kept]
        return found


class Reading(NamedTuple):
    plain: _Codes
    skeleton: _Codes
    places: _Places
    """Of each character: where it stands in `written`."""
    written: _Codes
    """As `edges` of a canonical form has it."""
    origins: _Origins

    def edges(self) -> _Codes:
        return self.written.take(self.places)

    def starts(self) -> NDArray[np.int64]:
        """Where each canonical character's cluster begins in the original."""
        return self.origins.starts()


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
    origins = _Origins(len(codes))
    if highest >= _INVISIBLE:
        seen = np.flatnonzero(kinds != _INVISIBLE)
        codes, numbers, kinds = codes.take(seen), numbers.take(seen), kinds.take(seen)
        origins.keep(seen)
    if highest >= _MARK:
        begins = np.flatnonzero(kinds != _MARK)
        numbers = _of_clusters(table, codes, numbers, begins)
        origins.keep(begins)
    places = _written_out(table, numbers, origins) if highest > _SINGLE else numbers
    return _without_rows_of_spaces(table, places, origins)


def _of_clusters(table: _Table, codes: _Codes, numbers: _Numbers, begins: NDArray[np.int64]) -> _Numbers:
    """`begins`: where clusters begin; what stands before the first is written onto nothing."""
    found = numbers.take(begins)
    ends = np.append(begins[1:], len(codes))
    several = np.flatnonzero(ends - begins > 1)
    if len(several) == 0:
        return found
    first, after = begins.take(several), ends.take(several)
    marks = codes.take(first) * _FACTORS[0] + codes.take(first + 1) * _FACTORS[1]
    if (longest := int((after - first).max())) > 2:
        for place, factor in enumerate(_FACTORS[2:longest], 2):
            longer = np.flatnonzero(after - first > place)
            marks[longer] += codes.take(first.take(longer) + place) * factor
    found[several] = table.of_clusters(marks, codes, first, after)
    return found


def _written_out(table: _Table, numbers: _Numbers, origins: _Origins) -> _Places:
    """Where what clusters stand for is found in the table."""
    lengths = table.length.take(numbers)
    first = table.first.take(numbers)
    if (lengths == 1).all():
        return first
    each = np.repeat(np.arange(len(numbers)), lengths)
    origins.keep(each)
    ends = np.cumsum(lengths)
    return (first - (ends - lengths)).take(each) + np.arange(len(each))


def _without_rows_of_spaces(table: _Table, places: _Places, origins: _Origins) -> Reading:
    plain = table.plain.take(places)
    spaces = plain == _SPACE
    again = spaces[1:] & spaces[:-1]
    if again.any():
        kept = np.flatnonzero(np.append(True, ~again))
        origins.keep(kept)
        plain, places = plain.take(kept), places.take(kept)
    return Reading(plain, table.skeleton.take(places), places, table.edges, origins)


def _text(codes: _Codes) -> str:
    return codes.tobytes().decode("utf-32-le", "surrogatepass")
