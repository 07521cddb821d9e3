"""Which of the passages an answer is said to rest on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from app.domain.evidence import supported
from contracts.chat import Citation, Source
from contracts.retrieval import Passage

SNIPPET_CHARS = 240


def cite(
    answer: str,
    passages: Sequence[Passage],
    flagged: Collection[str] = (),
    *,
    question: str = "",
    marked: Sequence[int] = (),
) -> list[Citation]:
    """The passages that the answer marks, `marked` being their numbers; where it marks none, those that its sentences
    come from, which say so. Never a passage only because it was retrieved. Those of the chunks `flagged` say so."""
    numbers = marked or supported(answer, question, [passage.text for passage in passages])
    return [
        Citation(
            **_source(number, passages[number - 1]),
            snippet=snippet(passages[number - 1].text),
            marked=bool(marked),
            flagged=passages[number - 1].chunk_id in flagged,
        )
        for number in numbers
    ]


def sources(passages: Sequence[Passage]) -> list[Source]:
    """All that the model was given, cited or not."""
    return [Source(**_source(number, passage)) for number, passage in enumerate(passages, start=1)]


def snippet(text: str) -> str:
    """The beginning of the text on one line, cut at a word where one ends near enough."""
    line = " ".join(text[: 2 * SNIPPET_CHARS].split())
    if len(line) <= SNIPPET_CHARS:
        return line
    head, space, _ = line[:SNIPPET_CHARS].rpartition(" ")
    return (head if space and len(head) > SNIPPET_CHARS // 2 else line[: SNIPPET_CHARS - 1]) + "…"


def _source(number: int, passage: Passage) -> dict[str, Any]:
    return {
        "number": number,
        "chunk_id": passage.chunk_id,
        "document_id": passage.document_id,
        "title": passage.title,
        "score": passage.score,
    }
