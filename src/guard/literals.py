"""Literals of many rules, looked for all at once: Aho and Corasick's automaton (CACM 18, 1975), through pyahocorasick.

It reads UTF-8 as Latin-1, so that no state has more than 256 ways out: they are searched one after another, and a
thousand Chinese words begin with hundreds of different characters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import ahocorasick

from guard.alphabets import is_at_home, is_word_character, script
from guard.canonical import Canonical, LiteralForm, literal
from guard.literal_filter import LiteralFilter
from guard.marks import bare

PIECE = 10_000
"""Places to look at, where literals' letters stand: some milliseconds. Of literals that are nested in each other there
are a thousand for each character."""
_PART = 4_096
"""Of a text, looked through at once: a quarter of a millisecond where literals are nested."""
_ALIKE_WORK = 50
"""Places for which one counts where letters only look like a literal's: the words around it are to be looked at."""


class Literal(NamedTuple):
    """What a rule looks for. `rank`: the rule's place among all. `word`: only where no letter, digit or underscore
    stands on either side."""

    rank: int
    pattern: str
    word: bool = False
    redacts: bool = False


class Entry(NamedTuple):
    """A literal behind one of its keys. `plain` is what it looks for before look-alikes are replaced."""

    rank: int
    word: bool
    redacts: bool
    plain: str


class Match(NamedTuple):
    """In canonical characters."""

    start: int
    end: int
    entry: Entry


class Literals:
    """Immutable, made once for all requests under a config version."""

    def __init__(self, literals: Iterable[Literal]) -> None:
        keys: dict[str, dict[tuple[bool, bool, str], Entry]] = {}
        for one in literals:
            form = literal(one.pattern)
            if not form.plain:
                continue  # accepted by an earlier release, which took what cannot be seen for a character
            entry = Entry(one.rank, one.word, one.redacts, form.plain)
            for key in _keys(one.pattern, form):
                known = keys.setdefault(key, {})
                known.setdefault((one.word, one.redacts, form.plain), entry)
        self._automaton = ahocorasick.Automaton()
        for key, entries in keys.items():
            self._automaton.add_word(_bytewise(key), (len(key), tuple(entries.values())))
        self._automaton.make_automaton()
        self._filter = LiteralFilter(keys)
        self.any = bool(keys)
        self._native = any(not key.isascii() for key in keys)
        self.longest = max(map(len, keys), default=0)
        self.weight = _nested(keys)
        self.growing = _growing(keys)
        """Letters at which it is not known, until the next character has come, whether a literal begins with them."""

    def ranks(self, form: Canonical) -> Iterator[int | None]:
        """The lowest rank of all that occur in a text, as far as it was looked at: a piece of the work at a time."""
        best: int | None = None
        work = 0
        if self._ruled_out(form):
            yield None
            return
        for match, is_alike in self.candidates(form):
            work += _ALIKE_WORK if is_alike else 1
            if work >= PIECE:
                work = 0
                yield best
            if (best is None or match.entry.rank < best) and is_match(form, match, is_alike=is_alike):
                best = match.entry.rank
        yield best

    def spans(self, form: Canonical) -> Iterator[tuple[int, int, int] | None]:
        """Where they stand in a text, and their rank, but for those within the one before; None after each piece of
        the work."""
        start = end = -1
        work = 0
        if self._ruled_out(form):
            return
        for match, is_alike in self.candidates(form):
            work += _ALIKE_WORK if is_alike else 1
            if work >= PIECE:
                work = 0
                yield None
            if not (start <= match.start and match.end <= end) and is_match(form, match, is_alike=is_alike):
                start, end, entry = match
                yield start, end, entry.rank

    def _ruled_out(self, form: Canonical) -> bool:
        both = form.plain is not form.skeleton and self._native
        return self._filter.rules_out(form.skeleton, form.plain) if both else self._filter.rules_out(form.skeleton)

    def candidates(self, form: Canonical, begin: int = 0) -> Iterator[tuple[Match, bool]]:
        """Places, not before `begin`, at which a literal's letters stand; and whether they only look like them."""
        plain, skeleton = form.plain, form.skeleton
        for end, (length, entries) in self._found(skeleton, begin):
            start = end - length
            written = plain[start:end]
            for entry in entries:
                alike = written != entry.plain and not _is_without_accents(written, entry.plain)
                yield Match(start, end, entry), alike
        if plain is not skeleton and self._native:
            for end, (length, entries) in self._found(plain, begin):
                written = plain[end - length : end]
                for entry in entries:
                    if entry.plain == written:
                        yield Match(end - length, end, entry), False

    def held(self, plain: str, skeleton: str, begin: int = 0) -> int:
        """Where the longest end of the text begins, not before `begin`, with which a literal may begin; its length if
        there is none."""
        if self.growing and plain[-1:] in self.growing:
            plain, skeleton = plain[:-1], skeleton[:-1]  # it may yet be another letter
        held = self._held(skeleton, begin)
        if self._native and plain is not skeleton:
            held = min(held, self._held(plain, begin))
        return held

    def _held(self, text: str, start: int) -> int:
        match, length = self._automaton.match, len(text)
        if text.isascii():
            while start < length and not match(text[start:]):
                start += 1
            return start
        while start < length and not match(_bytewise(text[start:])):
            start += 1
        return start

    def occurs(self, plain: str, skeleton: str) -> bool:
        """Whether any literal's letters stand in a text."""
        if next(self._automaton.iter(skeleton if skeleton.isascii() else _bytewise(skeleton)), None):
            return True
        return plain is not skeleton and self._native and next(self._automaton.iter(_bytewise(plain)), None) is not None

    def _found(self, text: str, begin: int) -> Iterator[tuple[int, tuple[int, tuple[Entry, ...]]]]:
        text = text[begin:]
        if text.isascii():
            for last, found in self._ends(text):
                yield begin + last + 1, found
            return
        ends: list[int] = []
        for last, found in self._ends(_bytewise(text)):
            ends = ends or _character_ends(text)
            yield begin + ends[last], found

    def _ends(self, text: str) -> Iterator[tuple[int, tuple[int, tuple[Entry, ...]]]]:
        """A part after the other: the automaton lets no other thread run until it has found something."""
        found = self._automaton.iter(text[:_PART])
        yield from found
        for at in range(_PART, len(text), _PART):
            found.set(text[at : at + _PART])
            yield from found


def is_match(form: Canonical, match: Match, *, is_alike: bool) -> bool:
    """Whether a candidate counts, of which enough is known."""
    start, end, entry = match
    if entry.word and not (_is_edge(form.edges, start - 1) and _is_edge(form.edges, end)):
        return False
    return not is_alike or not is_at_home(form.plain, start, end)


def _keys(pattern: str, form: LiteralForm) -> set[str]:
    """What may stand for it in a text's forms: capitals may look like other letters than their small forms do, and are
    often written without accents."""
    keys = {form.plain, form.skeleton}
    if not form.plain.isascii():
        keys |= {literal(one).skeleton for one in (pattern.upper(), pattern.title(), pattern.capitalize())}
    return {key for key in keys if len(key) == len(form.plain)}


def _is_edge(edges: str, outside: int) -> bool:
    return not 0 <= outside < len(edges) or not is_word_character(edges[outside])


def _is_without_accents(written: str, plain: str) -> bool:
    """Whether a text leaves out accents of the literal's that people leave out: all Latin and Greek ones, and ё."""
    return not plain.isascii() and all(
        one == other or one == (bare(other) if other == "ё" or script(other) in {"LATIN", "GREEK"} else other)
        for one, other in zip(written, plain, strict=True)
    )


def _bytewise(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def _character_ends(text: str) -> list[int]:
    """For each byte of the text, the number of characters up to and with the one that it belongs to."""
    ends: list[int] = []
    for at, character in enumerate(text, 1):
        ends.extend([at] * len(character.encode("utf-8", "surrogatepass")))
    return ends


def _nested(keys: Iterable[str]) -> int:
    """How many keys can end at one place of a text."""
    deepest, nest = 1, list[str]()
    for key in sorted(one[::-1] for one in keys):
        while nest and not key.startswith(nest[-1]):
            nest.pop()
        nest.append(key)
        deepest = max(deepest, len(nest))
    return deepest


def _growing(keys: Iterable[str]) -> frozenset[str]:
    found = set()
    for character in {one for key in keys for one in key if not one.isascii()}:
        decomposed = unicodedata.normalize("NFD", character)
        found |= {unicodedata.normalize("NFC", decomposed[:length]) for length in range(1, len(decomposed))}
    return frozenset(found)
