"""Pieces become chunks that the embedding model reads to their end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rag.domain.extracted import Piece
from rag.domain.spans import Span, fitting

CONTEXT_CHARS = 200
"""Of the title and of the heading path: some fifty tokens each at most, so that the text keeps the greater part."""


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

    def cuts(self, text: str, pieces: Sequence[Piece], title: str) -> list[Cut]:
        """In order; each with its context has at most `max_tokens`. CPU-bound: a second for some thousand pieces."""
        contexts = [context_of(title, piece) for piece in pieces]
        known = sorted(set(contexts))
        tokens = dict(zip(known, self._count(known), strict=True)) if known else {}
        spans = [Span(piece.start, piece.end) for piece in pieces]
        room = [max(self._max_tokens // 2, self._max_tokens - tokens[context]) for context in contexts]
        fitted = fitting(text, spans, max_tokens=room, count=self._count)
        return [Cut(span, pieces[at].heading, contexts[at]) for at, span in fitted]


def context_of(title: str, piece: Piece) -> str:
    """What a chunk is embedded with, so that it is found by what it stands under: title, headings, a table's header."""
    parts = (title[:CONTEXT_CHARS], piece.heading[-CONTEXT_CHARS:], piece.lead[:CONTEXT_CHARS])
    return "\n".join(part for part in parts if part)


def embedded_text(context: str, text: str) -> str:
    return f"{context}\n\n{text}" if context else text
