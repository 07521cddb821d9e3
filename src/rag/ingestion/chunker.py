"""Pieces become chunks that the embedding model reads to their end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rag.domain.extracted import Piece
from rag.domain.spans import Span, fitting

LEAD_CHARS = 200
"""Of a table's header: some fifty tokens at most, so that the rows keep the greater part."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A chunk's place, the path of headings above it, and what is embedded before its text."""

    span: Span
    heading: str
    context: str


class Chunker:
    """`count` gives the model's tokens of each text; `max_tokens` is what it reads of one, its own marks left out."""

    def __init__(self, count: Callable[[Sequence[str]], list[int]], max_tokens: int) -> None:
        self._count = count
        self._max_tokens = max_tokens

    def cuts(self, text: str, pieces: Sequence[Piece]) -> list[Cut]:
        """In order; each with its context has at most `max_tokens`. CPU-bound: a second for some thousand pieces."""
        contexts = [context_of(piece) for piece in pieces]
        known = sorted(set(contexts))
        tokens = dict(zip(known, self._count(known), strict=True)) if known else {}
        spans = [Span(piece.start, piece.end) for piece in pieces]
        room = [max(self._max_tokens // 2, self._max_tokens - tokens[context]) for context in contexts]
        fitted = fitting(text, spans, max_tokens=room, count=self._count)
        return [Cut(span, pieces[at].heading, contexts[at]) for at, span in fitted]


def context_of(piece: Piece) -> str:
    """A table's header for rows that stand without it, and nothing else.

    Not the title and not the headings: measured on the English XQuAD, in chunks of 350 characters, nDCG@10 was .952
    without and .949 with a fitting title before each text; in whole paragraphs .942 and .935, and .932 with a file's
    name. The heading is kept beside the chunk, for whoever shows or weighs it.
    """
    return piece.lead[:LEAD_CHARS]


def embedded_text(context: str, text: str) -> str:
    return f"{context}\n\n{text}" if context else text
