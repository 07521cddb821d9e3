"""The end of an answer that is held back, as long as all that was said of it is that a literal may begin there."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from guard.canonical import Canonical, canonical
from guard.literals import Literals
from guard.marks import may_grow

MAX_PIECE = 64
"""Characters that come at once; what is longer is read as a text."""
MAX_REMEMBERED = 20_000
"""Pieces: the words of a model's vocabulary come again and again."""
_MAX_CLUSTER = 32
"""Characters. One with more written onto it is read as a text."""


class Piece(NamedTuple):
    """Canonical text. `lengths`: how many characters of the original leave with each of it; None where that is one."""

    plain: str
    skeleton: str
    lengths: tuple[int, ...] | None

    @property
    def widths(self) -> tuple[int, ...]:
        return self.lengths if self.lengths is not None else (1,) * len(self.plain)

    def cut(self, begin: int, end: int | None = None) -> Piece:
        plain = self.plain[begin:end]
        skeleton = plain if self.plain is self.skeleton else self.skeleton[begin:end]
        return Piece(plain, skeleton, _unless_one(self.lengths[begin:end]) if self.lengths is not None else None)

    def and_then(self, more: Piece) -> Piece:
        plain = self.plain + more.plain
        same = self.plain is self.skeleton and more.plain is more.skeleton
        skeleton = plain if same else self.skeleton + more.skeleton
        lengths = None if self.lengths is None and more.lengths is None else self.widths + more.widths
        return Piece(plain, skeleton, lengths)

    def widened(self, at: int, by: int) -> Piece:
        """With `by` more characters of the original at one place."""
        widths = list(self.widths)
        widths[at] += by
        return self._replace(lengths=tuple(widths))


class _Added(NamedTuple):
    """What is new: behind `kept` characters of what is held, and behind `gone` of the original that may leave."""

    piece: Piece
    kept: int
    gone: int = 0


def piece(form: Canonical, begin: int = 0) -> Piece:
    """The characters from `begin` on. Those of one cluster leave together, with the last."""
    plain = form.plain[begin:]
    skeleton = plain if form.skeleton is form.plain else form.skeleton[begin:]
    if isinstance(form.offsets, range):
        return Piece(plain, skeleton, None)
    lengths = tuple(after - at for at, after in pairwise(form.offsets[begin:]))
    return Piece(plain, skeleton, _unless_one(lengths))


def _unless_one(lengths: tuple[int, ...]) -> tuple[int, ...] | None:
    return None if lengths.count(1) == len(lengths) else lengths


_NOTHING = Piece("", "", None)


@lru_cache(MAX_REMEMBERED)
def _read(text: str) -> Piece:
    return piece(canonical(text))


@lru_cache(MAX_REMEMBERED)
def _simple(text: str) -> tuple[str, str] | None:
    """Plain form and skeleton, where each of their characters stands for one of the text; else None."""
    read = _read(text)
    simple = read.lengths is None and len(read.plain) == len(text) and not may_grow(text[0])
    return (read.plain, read.skeleton) if simple else None


class Pending:
    """Begins empty, and is told all that is said."""

    def __init__(self) -> None:
        self._held = _NOTHING
        self._after_space = False

    def begin(self, whole: Canonical, held: int) -> None:
        """With what of a text stands behind `held`."""
        self._held = piece(whole, held)
        self._after_space = whole.plain.endswith(" ")

    def feed(self, literals: Literals, before: str, text: str) -> tuple[int, int] | None:
        """How many characters may leave of what is held and of `text`, and how many of their canonical form; `before`
        is what was said last. None if it must be read with more care, and then nothing has changed: a literal is
        complete, or it is an uncommon text."""
        own, own_skeleton, lengths = self._held
        forms: tuple[str, str] | None
        if text.isascii() and text.isprintable() and "  " not in text:
            plain = text.lower()
            forms = plain, plain
        else:
            forms = _simple(text) if len(text) <= MAX_PIECE else None
        if forms is None or lengths is not None or (forms[0][0] == " " and self._after_space):
            return self._feed_with_care(literals, before, text)
        plain, skeleton = forms
        same = own is own_skeleton and plain is skeleton
        plain = own + plain
        skeleton = plain if same else own_skeleton + skeleton
        if literals.occurs(plain, skeleton):
            return None
        leaves = literals.held(plain, skeleton)
        self._after_space = plain[-1] == " "
        if leaves == len(plain):
            self._held = _NOTHING
        else:
            left = plain[leaves:]
            self._held = Piece(left, left if same else skeleton[leaves:], None)
        return leaves, leaves

    def _feed_with_care(self, literals: Literals, before: str, text: str) -> tuple[int, int] | None:
        added = self._added(before, text) if len(text) <= MAX_PIECE else None
        if added is None:
            return None
        held = self._held if added.kept == len(self._held.plain) else self._held.cut(0, added.kept)
        held = held.and_then(added.piece) if held.plain else added.piece
        if literals.occurs(held.plain, held.skeleton):
            return None
        leaves = literals.held(held.plain, held.skeleton)
        self._after_space = held.plain[-1] == " " if held.plain else self._after_space
        self._held = held.cut(leaves)
        return added.gone + (leaves if held.lengths is None else sum(held.lengths[:leaves])), leaves

    def _added(self, before: str, text: str) -> _Added | None:
        if may_grow(text[0]):
            return self._grown(before, text)
        held, read = self._held, _read(text)
        if read.lengths is not None and sum(read.lengths) != len(text):
            return None  # begins with what is left out
        if not (read.plain[:1] == " " and self._after_space):
            return _Added(read, len(held.plain))
        space = read.widths[0]  # one more in a row of white space
        if not held.plain:
            return _Added(read.cut(1), 0, space)
        return _Added(held.cut(len(held.plain) - 1).widened(0, space).and_then(read.cut(1)), len(held.plain) - 1)

    def _grown(self, before: str, text: str) -> _Added | None:
        """A text that begins with what is written onto the character before it, which is read once more."""
        base = _last_cluster(before)
        if not base:
            return None
        was, now = _read(base), _read(base + text)
        count = len(was.plain)
        if not count or (" " in was.plain and not base[0].isspace()):
            return None
        held = self._held
        if held.plain:
            kept = len(held.plain) - count
            more = sum(held.widths[kept:]) - len(base)  # of a row of white space
            return _Added(now.widened(0, more) if more else now, kept) if kept >= 0 else None
        marks = next((at for at, one in enumerate(text) if not may_grow(one)), len(text))
        if len(_read(base + text[:marks]).plain) != count:
            return None
        return _Added(now.cut(count), 0, sum(now.widths[:count]) - len(base))


def _last_cluster(text: str) -> str:
    """Empty where there is none, or it is longer than _MAX_CLUSTER."""
    for at in range(len(text) - 1, max(-1, len(text) - 1 - _MAX_CLUSTER), -1):
        if not may_grow(text[at]):
            return text[at:]
    return ""
