"""What is written onto the character before it, and what of that is no part of any word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain

BLANK = "\u2800"
"""A Braille cell without a dot, which is no white space by its category."""
_INVISIBLE = (
    *((0x0, 0x8), (0xE, 0x1B), (0x7F, 0x84), (0x86, 0x9F), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C)),
    *((0x640, 0x640), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E)),
    *((0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFC)),
    *((0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
)
"""Default-ignorable code points (DerivedCoreProperties), control characters, and the Arabic tatweel."""
_DROPPED_MARKS = (
    *((0x300, 0x36F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F)),  # of no script
    *((0x591, 0x5BD), (0x5BF, 0x5BF), (0x5C1, 0x5C2), (0x5C4, 0x5C5), (0x5C7, 0x5C7)),  # Hebrew points
    *((0x610, 0x61A), (0x64B, 0x65F), (0x670, 0x670), (0x6D6, 0x6DC), (0x6DF, 0x6E4), (0x6E7, 0x6E8), (0x6EA, 0x6ED)),
)
_JOINED = ((0x1160, 0x11FF), (0xD7B0, 0xD7FF), (0xFF9E, 0xFF9F))
"""Vowels and ends of Hangul syllables, and the half-width voice marks of kana."""


def may_grow(character: str) -> bool:
    """Whether what this character begins belongs to the character before it."""
    return _tail().match(character) is not None


def is_invisible(character: str) -> bool:
    return character in _invisible()


def is_dropped(mark: str) -> bool:
    return mark in _dropped_marks()


def bare(character: str) -> str:
    """The letter without its accents."""
    decomposed = unicodedata.normalize("NFD", character)
    if len(decomposed) == 1 or not all(is_dropped(one) for one in decomposed[1:]):
        return character
    return decomposed[0]


@cache
def _invisible() -> frozenset[str]:
    return frozenset(_characters(_INVISIBLE))


@cache
def _dropped_marks() -> frozenset[str]:
    return frozenset(_characters(_DROPPED_MARKS))


def invisible_class() -> str:
    """What cannot be seen, of the first plane: a class of a regular expression that reaches beyond it is slow."""
    return f"[{''.join(_ranges(sorted(at for at in map(ord, _characters(_INVISIBLE)) if at < 0x10000)))}]"


def _characters(ranges: Iterable[tuple[int, int]]) -> Iterator[str]:
    return map(chr, chain(*(range(first, last + 1) for first, last in ranges)))


@cache
def tail_expression() -> str:
    """What is written onto the character before it. What lies beyond the first plane is asked for only there: a class
    of its many ranges is searched from one end to the other."""
    marks = [at for at in range(0x300, 0x20000) if unicodedata.category(chr(at))[0] == "M"]
    marks += map(ord, _characters((*_INVISIBLE, *_JOINED)))
    first_plane = "".join(_ranges(sorted(at for at in set(marks) if at < 0x10000)))
    beyond = "".join(_ranges(sorted(at for at in set(marks) if at >= 0x10000)))
    return rf"(?:[{first_plane}]|(?=[\U00010000-\U0010ffff])[{beyond}])"


@cache
def _tail() -> re.Pattern[str]:
    return re.compile(tail_expression())


def _ranges(points: Iterable[int]) -> Iterator[str]:
    """Ascending points as the ranges of a class."""
    first = last = -2
    for point in points:
        if point != last + 1:
            if first >= 0:
                yield f"{chr(first)}-{chr(last)}"
            first = point
        last = point
    if first >= 0:
        yield f"{chr(first)}-{chr(last)}"
