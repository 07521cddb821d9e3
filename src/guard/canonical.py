"""The form in which rules see text: one for every way in which a reader would spell the same words.

Compatibility forms (NFKC) and case are folded, what cannot be seen is dropped, marks that make no letter of a living
alphabet are dropped, and white space is one space. That is the `plain` form. The `skeleton` also has every letter
that looks like an ASCII letter replaced by it, and letters without their accents; each of its characters stands for
the one at the same place of the plain form.

All is decided cluster by cluster (a character and what is written onto it), so that a stream can be read as it comes.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import chain
from typing import NamedTuple

from guard.alphabets import is_word_character, letters_in_use, script
from guard.confusables import is_look_alike, look_alike

MAX_TAIL = 30
"""Marks on one letter that count, as in the Stream-Safe Text Format (UAX 15): sorting takes quadratic time."""
MAX_REMEMBERED = 20_000
"""Clusters."""
_BLANK = "\u2800"  # a Braille cell without a dot, which is no white space by its category
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
_EUROPEAN = {"LATIN", "GREEK", "CYRILLIC", "DIGIT"}
_ASCII = {at: chr(at).lower() for at in range(128)}
_ASCII |= {ord(one): " " for one in "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f"}
_ASCII |= dict.fromkeys((*range(9), *range(0xE, 0x1C), 0x7F), "")


Cluster = tuple[str, str, str]
"""Plain form, skeleton and edges, of the same length."""


class Canonical:
    """`plain`, `skeleton` and `edges` have the same length. `edges` has of each character one that says whether the
    original is part of a word."""

    def __init__(self, text: str, plain: str | None = None, skeleton: str | None = None) -> None:
        self.text = text
        self._plain = plain
        self.skeleton = self._joined(1) if skeleton is None else skeleton

    @cached_property
    def plain(self) -> str:
        return self._joined(0) if self._plain is None else self._plain

    @cached_property
    def edges(self) -> str:
        return self._joined(2) if self._plain is None else self._plain

    @cached_property
    def offsets(self) -> Sequence[int]:
        """Where each character's cluster begins in the original; and, last, the original's length."""
        if self._plain is not None and len(self._plain) == len(self.text):
            return range(len(self.text) + 1)
        return _offsets(self.text)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The part of the original that characters `start` to `end` were made of, with all that is written onto it."""
        offsets = self.offsets
        last, after = offsets[end - 1], end
        while after < len(offsets) - 1 and offsets[after] == last:
            after += 1
        return offsets[start], offsets[after]

    @cached_property
    def _clusters(self) -> list[Cluster]:
        return clusters(self.text)

    def _joined(self, form: int) -> str:
        whole = "".join([one[form] for one in self._clusters])
        if form == 2 and len(whole) != len(self.plain):
            plain = "".join([one[0] for one in self._clusters])
            return "".join(one for at, one in enumerate(whole) if plain[at - 1 : at + 1] != "  ")
        return _spaced(whole) if form != 2 else whole


def canonical(text: str) -> Canonical:
    """In time linear in the text."""
    if text.isascii():
        plain = _spaced(text.translate(_ASCII))
        return Canonical(text, plain, plain)
    if is_usual(text):
        return Canonical(text, *_usual(text))
    return Canonical(text)


class LiteralForm(NamedTuple):
    plain: str
    skeleton: str


def literal(pattern: str) -> LiteralForm:
    """Of what a rule looks for: without white space at its ends."""
    form = canonical(pattern)
    return LiteralForm(form.plain.strip(" "), form.skeleton.strip(" "))


def clusters(text: str) -> list[Cluster]:
    return [_READ[one] for one in _cluster_pattern().findall(text)]


def may_grow(character: str) -> bool:
    """Whether what this character begins belongs to the character before it."""
    return _tail().match(character) is not None


def bare(character: str) -> str:
    """The letter without its accents."""
    decomposed = unicodedata.normalize("NFD", character)
    if len(decomposed) == 1 or not all(_is_dropped(one) for one in decomposed[1:]):
        return character
    return decomposed[0]


def _spaced(text: str) -> str:
    while "  " in text:
        text = text.replace("  ", " ")
    return text


def is_usual(text: str) -> bool:
    """Whether every character of the text stands for itself, but for spaces next to each other."""
    return _usual_characters().unusual.search(text) is None


def _usual(text: str) -> tuple[str, str]:
    """Plain form and skeleton of such a text."""
    plain, skeleton = _usual_run(text)
    return _spaced(plain), _spaced(skeleton)


@lru_cache(MAX_REMEMBERED)
def usual_piece(text: str) -> tuple[str, str] | None:
    """Plain form and skeleton of a short text, with a character for each of its; None if there is no such form."""
    if not is_usual(text) or "  " in (plain := text.replace("\n", " ")):
        return None
    plain, skeleton = _usual(text)
    return plain, plain if plain == skeleton else skeleton


def _offsets(text: str) -> array[int]:
    found = array("l")
    space = False
    for match in _cluster_pattern().finditer(text):
        at, cluster = match.start(), match[0]
        plain = _READ[cluster][0]
        single = len(cluster) > 1 and is_usual(cluster)
        for place, one in enumerate(plain):
            if one != " " or not space:
                found.append(at + place if single else at)
            space = one == " "
    found.append(len(text))
    return found


class _Read(dict[str, Cluster]):
    """Clusters that were read before."""

    def __missing__(self, cluster: str) -> Cluster:
        if len(cluster) > 1 and is_usual(cluster):
            plain, skeleton = _usual_run(cluster)
            return plain, skeleton, plain
        found = _cluster(cluster)
        if len(cluster) <= 4:
            if len(self) >= MAX_REMEMBERED:
                self.clear()
            self[cluster] = found
        return found


def _usual_run(text: str) -> tuple[str, str]:
    text = text.replace("\n", " ")
    if _WIDE.search(text):
        for one in set(_WIDE.findall(text)):
            text = text.replace(one, chr(ord(one) - 0xFEE0))
    if text.isascii():
        text = text.lower()
        return text, text
    plain, skeleton = text.casefold(), text
    for block, capitals, small in _usual_characters().looks:
        if block.search(text):
            for character, read in capitals:
                skeleton = skeleton.replace(character, read)
            skeleton = skeleton.casefold()
            for character, read in small:
                skeleton = skeleton.replace(character, read)
    return plain, skeleton.casefold()


def _cluster(cluster: str) -> Cluster:
    if cluster[0].isspace() or cluster[0] == _BLANK:
        return " ", " ", " "
    if may_grow(cluster[0]):
        return "", "", ""
    seen = "".join(one for one in cluster[: MAX_TAIL + 1] if not _is_invisible(one))
    plain: list[str] = []
    skeleton: list[str] = []
    european = False
    for one in unicodedata.normalize("NFKC", seen):
        for folded in unicodedata.normalize("NFKC", one.casefold()):
            if unicodedata.category(folded)[0] == "M":
                if not european and not _is_dropped(folded):
                    plain.append(folded)
                    skeleton.append(folded)
                continue
            european = script(folded) in _EUROPEAN
            plain.append(_plain(folded))
            skeleton.append(_skeleton(one if len(one.casefold()) == 1 else folded, plain[-1], seen))
    inside = is_word_character(cluster[0]) or not any(map(is_word_character, plain))
    edges = plain if inside else [" "] * len(plain)  # as of a trade mark sign, which ends the word before it
    return "".join(plain), "".join(skeleton), "".join(edges)


def _plain(character: str) -> str:
    """A folded character without accents that make no letter of a living alphabet; digits of all scripts as ASCII."""
    if character.isascii():
        return character
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if character in letters_in_use() or script(character) not in {"LATIN", "GREEK"}:
        return character
    return bare(character)


def _skeleton(character: str, plain: str, seen: str) -> str:
    """`seen`: as it was before its compatibility form, which of a lunate sigma (it looks like c) is another letter."""
    if plain.isascii():
        return plain
    without = bare(character)
    return (look_alike()(seen) if len(seen) == 1 else None) or look_alike()(without) or without.casefold()[:1]


def _is_invisible(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in _INVISIBLE)


def _is_dropped(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in _DROPPED_MARKS)


_USUAL = (
    ((0xA1, 0x17F), (0x1EA0, 0x1EF9), (0x2013, 0x2022), (0x20A0, 0x20BF)),
    ((0x386, 0x3CE),),
    ((0x400, 0x45F), (0x490, 0x4FF)),
)
_ALWAYS_USUAL = (
    *((0x3001, 0x3002), (0x3041, 0x3096), (0x30A1, 0x30FA), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3)),
    *((0x1F300, 0x1F5FF), (0x1F600, 0x1F64F), (0x1F680, 0x1F6FF), (0x1F900, 0x1F9FF)),
)
"""Ideographs, kana, Hangul and emoji: a test asks each of them, which takes too long at a start."""
_WIDE = re.compile("[\uff01-\uff3e\uff40-\uff5e]")
"""Full-width forms, of which each is one character of ASCII."""
_READ = _Read()


@cache
def _tail_expression() -> str:
    """What is written onto the character before it. What lies beyond the first plane is asked for only there: a class
    of its many ranges is searched from one end to the other."""
    marks = [at for at in range(0x300, 0x20000) if unicodedata.category(chr(at))[0] == "M"]
    marks += chain(*(range(first, last + 1) for first, last in (*_INVISIBLE, *_JOINED)))
    first_plane = "".join(_ranges(sorted(at for at in set(marks) if at < 0x10000)))
    beyond = "".join(_ranges(sorted(at for at in set(marks) if at >= 0x10000)))
    return rf"(?:[{first_plane}]|(?=[\U00010000-\U0010ffff])[{beyond}])"


@cache
def _tail() -> re.Pattern[str]:
    return re.compile(_tail_expression())


@cache
def _cluster_pattern() -> re.Pattern[str]:
    tail = _tail_expression()
    return re.compile(rf"[ -~{_usual_class()}]+(?!{tail})|(?:[\s{_BLANK}]{tail}*)+|{tail}+|(?s:.){tail}*")


_Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Usual:
    """Of characters that stand for themselves, alone: what is none of them, and by block those that look like ASCII."""

    unusual: re.Pattern[str]
    looks: tuple[tuple[re.Pattern[str], _Pairs, _Pairs], ...]


@cache
def _usual_class() -> str:
    always = (chr(at) for first, last in _ALWAYS_USUAL for at in range(first, last + 1))
    points = [ord(one) for one in always if not is_look_alike(one)]
    points += [at for at in range(0xFF01, 0xFF5F) if _WIDE.match(chr(at))]
    points += [ord(one) for ranges in _USUAL for one in _usual_in(ranges)]
    return "".join(_ranges(sorted(points)))


def _usual_in(ranges: Iterable[tuple[int, int]]) -> list[str]:
    return [one for one in map(chr, chain(*(range(first, last + 1) for first, last in ranges))) if _is_usual(one)]


@cache
def _usual_characters() -> _Usual:
    looks = []
    for ranges in _USUAL:
        found = _usual_in(ranges)
        pairs = [(one, _cluster(one)[1]) for one in found]
        # Replaced after case was folded, but for the capitals that look like another letter than their small form.
        capitals = [(one, read) for one, read in pairs if read != _cluster(one.casefold())[1]]
        small = [(one, read) for one, read in pairs if one == one.casefold() != read]
        looks.append((_any_of(found), tuple(capitals), tuple(small)))
    return _Usual(re.compile(f"[^\\n -~{_usual_class()}]"), tuple(looks))


def _any_of(characters: Iterable[str]) -> re.Pattern[str]:
    return re.compile(f"[{''.join(_ranges(map(ord, characters)))}]")


def _is_usual(character: str) -> bool:
    if character.isspace() or may_grow(character) or unicodedata.normalize("NFKC", character) != character:
        return False
    plain, _, edges = _cluster(character)
    return len(plain) == 1 and plain == edges == character.casefold()


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
