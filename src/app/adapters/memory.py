"""The ports in memory: for tests, and to run the graph without a network."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

import numpy as np

from app.domain.tool_calls import CallPiece
from app.ports import Caller, Delta, Embedded, Message, QueryVector, TokenCount, Vector
from contracts.context import TenantContext
from contracts.conversation import NO_OPTIONS, Options
from contracts.errors import AtriumError
from contracts.ranking import Ranking
from contracts.retrieval import Passage
from contracts.tenant import TenantId

DIMENSIONS = 384
_WORD = re.compile(r"\w+")


def word_vector(text: str) -> Vector:
    """A bag of hashed words: texts are near when they share words. No meaning, but the same everywhere."""
    vector = np.zeros(DIMENSIONS, dtype=np.float32)
    for word in _WORD.findall(text.lower()):
        vector[zlib.crc32(word.encode()) % DIMENSIONS] += 1.0
    norm = float(np.linalg.norm(vector))
    return vector if norm == 0 else (vector / norm).astype(np.float32)


class MemoryEmbedder:
    """Remembers in `calls` what it was asked, each time. `model` may change at any time, `fails_with` too."""

    def __init__(self) -> None:
        self.calls: list[tuple[TenantId, tuple[str, ...]]] = []
        self.model = "words"
        self.fails_with: AtriumError | None = None

    async def embed(self, caller: Caller, texts: Sequence[str]) -> Embedded:
        self.calls.append((caller.context.tenant_id, tuple(texts)))
        if self.fails_with is not None:
            raise self.fails_with
        return Embedded(self.model, [word_vector(text) for text in texts])


class MemoryRetriever:
    """Every tenant's passages by themselves. Remembers the vectors it was given."""

    def __init__(
        self, passages: Mapping[TenantId, Sequence[Passage]], *, fails_with: AtriumError | None = None
    ) -> None:
        self._passages = passages
        self.fails_with = fails_with
        self.vectors: list[QueryVector | None] = []

    async def search(
        self, caller: Caller, query: str, vector: QueryVector | None, k: int, *, ranking: Ranking
    ) -> list[Passage]:
        self.vectors.append(vector)
        if self.fails_with is not None:
            raise self.fails_with
        near = word_vector(query) if vector is None else vector.vector
        scored = [
            passage.model_copy(update={"score": float(word_vector(passage.text) @ near)})
            for passage in self._passages.get(caller.context.tenant_id, ())
        ]
        return sorted(scored, key=lambda passage: passage.score, reverse=True)[:k]


class MemoryGeneration:
    def __init__(self, engine: MemoryEngine, prompt: int) -> None:
        self.model = engine.model
        self._engine = engine
        self._prompt = prompt

    async def __aiter__(self) -> AsyncIterator[Delta]:
        for at, token in enumerate(self._engine.tokens, start=1):
            yield Delta(token, TokenCount(self._prompt, at))
        if self._engine.calls:
            yield Delta("", TokenCount(self._prompt, len(self._engine.tokens)), calls=self._engine.calls)
        if self._engine.breaks_with is not None:
            raise self._engine.breaks_with
        if self._engine.hangs:
            await asyncio.Event().wait()
        yield Delta("", TokenCount(self._prompt, len(self._engine.tokens)), "stop")


class MemoryEngine:
    """Says `tokens`, then calls `calls`, then ends, breaks or hangs. `asked` holds the prompts, `options` the wishes,
    `adapters` what they may name, `bounds` the answers' greatest lengths and the priorities, `left` how many
    generations were closed."""

    model = "memory"

    def __init__(
        self,
        tokens: Sequence[str] = ("Hello", " there"),
        *,
        refuses_with: AtriumError | None = None,
        breaks_with: AtriumError | None = None,
        hangs: bool = False,
        calls: Sequence[CallPiece] = (),
    ) -> None:
        self.tokens = tuple(tokens)
        self.calls = tuple(calls)
        self.refuses_with = refuses_with
        self.breaks_with = breaks_with
        self.hangs = hangs
        self.asked: list[tuple[TenantContext, list[Message]]] = []
        self.left = 0
        self.bounds: list[tuple[int | None, int]] = []
        self.options: list[Options] = []
        self.adapters: list[tuple[str, ...]] = []

    @asynccontextmanager
    async def generate(
        self,
        context: TenantContext,
        messages: Sequence[Message],
        *,
        options: Options = NO_OPTIONS,
        adapters: Collection[str] = (),
        max_tokens: int | None = None,
        priority: int = 0,
    ) -> AsyncIterator[MemoryGeneration]:
        self.options.append(options)
        self.adapters.append(tuple(adapters))
        self.bounds.append((max_tokens, priority))
        self.asked.append((context, list(messages)))
        if self.refuses_with is not None:
            raise self.refuses_with
        try:
            yield MemoryGeneration(self, sum(len(message["content"].split()) for message in messages))
        finally:
            self.left += 1
