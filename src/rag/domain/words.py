"""A text cut into words as a lexical index wants them: whatever the language, no dictionary, linear in the text.

Case, width and compatibility forms are folded, and so are the accents of Latin and Greek letters (a question is typed
without them) and the points of Hebrew and Arabic. Scripts that put no spaces between words are cut into characters and
pairs of characters.
"""

from __future__ import annotations

import re
from itertools import pairwise
from unicodedata import normalize

MAX_WORD_CHARS = 64
"""Of a longer run, such as a key in base64, the beginning is its word."""

MAX_TEXT_CHARS = 65_536
"""Twice the longest question; a few characters stand for eighteen others each. The rest of a text is not looked at."""

_SPACELESS = (
    r"\u0e01-\u0e3a\u0e40-\u0edf"  # Thai, Lao
    r"\u1000-\u109f\u1780-\u17d3"  # Myanmar, Khmer
    r"\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"  # Japanese syllables
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
    r"\uac00-\ud7a3"  # Korean: it has spaces, but puts particles at the ends of words
)
_MARKS = (
    r"\u0300-\u036f\u0483-\u0487"
    r"\u0900-\u0963\u0966-\u0dff"  # the Indic scripts: their vowel signs are no letters to `re`
    r"\u0f18-\u0fbc\u135d-\u135f\u1712-\u1714\u17dd\u180b-\u180d\u1ab0-\u1aff\u1b00-\u1b44\ua8e0-\ua8f1"
)
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_RUN = re.compile(rf"([{_SPACELESS}]+)|(?:[^\W_{_SPACELESS}]|[{_MARKS}])+")
_ACCENTED = re.compile(r"([a-z\u00df-\u024f\u0370-\u03ff\u1f00-\u1fff])[\u0300-\u036f]+")
_IO, _IE = "\N{CYRILLIC SMALL LETTER IO}", "\N{CYRILLIC SMALL LETTER IE}"  # one is mostly written as the other
_POINTS = re.compile(r"[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u065f\u0670]+")
_MANY_MARKS = re.compile(r"([^\w\s\x00-\u02ff]{16})[^\w\s\x00-\u02ff]+")


def words(text: str) -> list[str]:
    """In the order of the text, folded, as often as they stand in it; not yet stemmed."""
    if text.isascii():
        return [_bounded(word) for word in _ASCII_WORD.findall(text.lower())]
    found: list[str] = []
    for run in _RUN.finditer(_folded(text)):
        if run.group(1) is None:
            found.append(_bounded(run.group()))
        else:
            found.extend(_grams(run.group()))
    return found


def _folded(text: str) -> str:
    # The marks behind one letter are put in order by insertion: a run of thousands would take quadratic time.
    whole = normalize("NFKC", _MANY_MARKS.sub(r"\1", text))[:MAX_TEXT_CHARS]
    apart = normalize("NFKD", whole.casefold())
    plain = normalize("NFC", _POINTS.sub("", _ACCENTED.sub(r"\1", apart)))
    return plain.replace(_IO, _IE)


def _bounded(word: str) -> str:
    return word[:MAX_WORD_CHARS]


def _grams(run: str) -> list[str]:
    """Each character, and each pair of neighbours."""
    return [*run, *map("".join, pairwise(run))]
