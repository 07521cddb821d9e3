"""The form in which rules see text: one for every way in which a reader would spell the same words.

Compatibility forms (NFKC) and case are folded, what cannot be seen is dropped, marks that make no letter of a living
alphabet are dropped, and white space is one space. That is the `plain` form. The `skeleton` also has every letter
that looks like an ASCII letter replaced by it, and letters without their accents; each of its characters stands for
the one at the same place of the plain form.

All is decided cluster by cluster (a character and what is written onto it), so that a stream can be read as it comes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from guard.alphabets import letters_in_use
from guard.cluster_table import ClusterTable, Reading, UnreadError
from guard.clusters import READ, Cluster, cluster_pattern

LONG_TEXT = 64
"""Characters from which on a text is read all at once: arrays have their price."""
_ASCII = {at: chr(at).lower() for at in range(128)}
_ASCII |= {ord(one): " " for one in "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f"}
_ASCII |= dict.fromkeys((*range(9), *range(0xE, 0x1C), 0x7F), "")
_SEPARATOR, _ASCII_SEPARATOR = "\ue000", "\0"
"""Between two texts, so that no rule is found partly in one and partly in the next: no pattern has a NUL."""
_ASCII_PARTS = _ASCII | {ord(_ASCII_SEPARATOR): _ASCII_SEPARATOR}


class Canonical:
    """`plain`, `skeleton` and `edges` have the same length. `edges` has of each character one that says whether the
    original is part of a word."""

    def __init__(self, text: str, plain: str, skeleton: str) -> None:
        self.text, self.plain = text, plain
        self.skeleton = plain if skeleton == plain else skeleton

    @cached_property
    def edges(self) -> str:
        return self.plain

    @cached_property
    def offsets(self) -> Sequence[int]:
        """Where each character's cluster begins in the original; and, last, the original's length."""
        if len(self.plain) == len(self.text):
            return range(len(self.text) + 1)
        return _offsets(self.text)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The part of the original that characters `start` to `end` were made of, with all that is written onto it."""
        offsets = self.offsets
        last, after = offsets[end - 1], end
        while after < len(offsets) - 1 and offsets[after] == last:
            after += 1
        return offsets[start], offsets[after]


class _Clustered(Canonical):
    """Read cluster by cluster."""

    def __init__(self, text: str) -> None:
        self._clusters = clusters(text)
        plain, skeleton = (_spaced("".join([one[form] for one in self._clusters])) for form in (0, 1))
        super().__init__(text, plain, skeleton)

    @cached_property
    def edges(self) -> str:
        whole = "".join([one.edges for one in self._clusters])
        if len(whole) == len(self.plain):
            return whole
        plain = "".join([one.plain for one in self._clusters])
        return "".join(one for at, one in enumerate(whole) if plain[at - 1 : at + 1] != "  ")

    @cached_property
    def offsets(self) -> Sequence[int]:
        return _offsets(self.text)


class _Tabled(Canonical):
    """Read all at once."""

    def __init__(self, text: str, reading: Reading) -> None:
        super().__init__(text, _text(reading.plain), _text(reading.skeleton))
        self._reading = reading

    @cached_property
    def edges(self) -> str:
        return _text(self._reading.edges())

    @cached_property
    def offsets(self) -> Sequence[int]:
        return [*self._reading.starts().tolist(), len(self.text)]


def read_tables() -> None:
    """Reads Unicode's tables now. That takes 60 milliseconds, once in a process: an event loop would stand still with
    the first text beyond ASCII."""
    canonical("\xe9" * LONG_TEXT)
    canonical("\xe9\u0300")
    letters_in_use()


def canonical(text: str) -> Canonical:
    """In time linear in the text."""
    if text.isascii():
        plain = _spaced(text.translate(_ASCII))
        return Canonical(text, plain, plain)
    if len(text) >= LONG_TEXT:
        try:
            return _Tabled(text, _table().read(text))
        except UnreadError:
            pass
    return _Clustered(text)


def canonical_parts(texts: Iterable[str]) -> Canonical:
    """Of several texts, one behind the other."""
    parts = [text.replace(_ASCII_SEPARATOR, "") for text in texts]
    whole = _ASCII_SEPARATOR.join(parts)
    if not whole.isascii():
        return canonical(_SEPARATOR.join(parts))
    plain = _spaced(whole.translate(_ASCII_PARTS))
    return Canonical(whole, plain, plain)


class LiteralForm(NamedTuple):
    plain: str
    skeleton: str


def literal(pattern: str) -> LiteralForm:
    """Of what a rule looks for: without white space at its ends."""
    form = canonical(pattern)
    return LiteralForm(form.plain.strip(" "), form.skeleton.strip(" "))


def clusters(text: str) -> list[Cluster]:
    return [READ[one] for one in cluster_pattern().findall(text)]


def _spaced(text: str) -> str:
    while "  " in text:
        text = text.replace("  ", " ")
    return text


def _offsets(text: str) -> array[int]:
    found = array("l")
    space = False
    for match in cluster_pattern().finditer(text):
        at, cluster = match.start(), match[0]
        each = len(cluster) > 1 and cluster.isascii() and cluster.isprintable()
        for place, one in enumerate(READ[cluster].plain):
            if one != " " or not space:
                found.append(at + place if each else at)
            space = one == " "
    found.append(len(text))
    return found


@cache
def _table() -> ClusterTable:
    return ClusterTable()


def _text(codes: NDArray[np.uint32]) -> str:
    return codes.tobytes().decode("utf-32-le", "surrogatepass")
