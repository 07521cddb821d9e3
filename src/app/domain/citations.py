"""Which of the passages an answer is said to rest on."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from contracts.chat import Citation
from contracts.retrieval import Passage

SNIPPET_CHARS = 240
_MARK = re.compile(r"\[(\d{1,3})\]", re.ASCII)


def cited_numbers(answer: str, passages: int) -> list[int]:
    """The numbers marked `[n]` that exist (1 to `passages`), each once, in the order of their first mark."""
    found = (int(mark) for mark in _MARK.findall(answer))
    return list(dict.fromkeys(number for number in found if 1 <= number <= passages))


def cite(answer: str, passages: Sequence[Passage], flagged: Collection[str] = ()) -> list[Citation]:
    """The passages that the answer marks; where it marks none, all that were given to the model. Those of the chunks
    `flagged` say so."""
    numbers = cited_numbers(answer, len(passages)) or range(1, len(passages) + 1)
    chosen = [passages[number - 1] for number in numbers]
    return [_citation(passage, flagged=passage.chunk_id in flagged) for passage in chosen]


def snippet(text: str) -> str:
    """The beginning of the text on one line, cut at a word where one ends near enough."""
    line = " ".join(text[: 2 * SNIPPET_CHARS].split())
    if len(line) <= SNIPPET_CHARS:
        return line
    head, space, _ = line[:SNIPPET_CHARS].rpartition(" ")
    return (head if space and len(head) > SNIPPET_CHARS // 2 else line[: SNIPPET_CHARS - 1]) + "…"


def _citation(passage: Passage, *, flagged: bool) -> Citation:
    return Citation(
        chunk_id=passage.chunk_id,
        document_id=passage.document_id,
        title=passage.title,
        score=passage.score,
        snippet=snippet(passage.text),
        flagged=flagged,
    )
