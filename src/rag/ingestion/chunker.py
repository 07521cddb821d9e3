"""A parsed document becomes chunks that the embedding model reads to their end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rag.domain.spans import Span, fitting, overlapping, spans_of
from rag.ingestion.parsing import Parsed
from rag.ingestion.splitting import split

PIECE_CHARS = 700
"""About 160 tokens of English: with the overlap well inside a window of 256."""

OVERLAP_CHARS = 100


class Chunker:
    """`count` gives the model's tokens of each text; `max_tokens` is what it reads of one, its own marks left out."""

    def __init__(self, count: Callable[[Sequence[str]], list[int]], max_tokens: int) -> None:
        self._count = count
        self._max_tokens = max_tokens

    def spans(self, parsed: Parsed) -> list[Span]:
        """At most PIECE_CHARS + OVERLAP_CHARS characters and `max_tokens` tokens each, in order of appearance.

        CPU-bound: the largest file takes a second or two.
        """
        pieces = split(parsed.text, parsed.format, size=PIECE_CHARS)
        spans = spans_of(pieces, parsed.text, size=PIECE_CHARS)
        spans = overlapping(parsed.text, spans, OVERLAP_CHARS)
        return fitting(parsed.text, spans, max_tokens=self._max_tokens, count=self._count)
