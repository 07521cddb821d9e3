"""Words reduced to their stems by Snowball's algorithms, as tantivy carries them; the script says whose they are.

Without stems nDCG@10 falls from .435 to .361 on one of the sets we measure with (benchmarks/README.md). English rules
on another language that is written in Latin letters do little harm: both sides get the same.
"""

from __future__ import annotations

from collections.abc import Callable

import tantivy

VERSION = "words-1"
"""Of words and stems together. An index made with another is built anew: a question's words would miss its own."""

_LANGUAGES = ((0x250, "english"), (0x370, None), (0x400, "greek"), (0x530, "russian"), (0x600, None), (0x700, "arabic"))
"""Up to which code point a word's first letter says that the word is of which language."""


class Stemmer:
    """Safe from several threads."""

    def __init__(self) -> None:
        self._of = {name: _stemmer(name) for _, name in _LANGUAGES if name}

    def __call__(self, word: str) -> str:
        """The stem of one folded word; the word itself where there is no rule for its script."""
        first = ord(word[0])
        language = next((name for end, name in _LANGUAGES if first < end), None)
        return self._of[language](word) if language else word


def _stemmer(language: str) -> Callable[[str], str]:
    whole = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.raw()).filter(tantivy.Filter.stemmer(language)).build()

    def stem(word: str) -> str:
        return (whole.analyze(word) or [word])[0]

    return stem
