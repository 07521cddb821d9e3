"""What the graph needs from outside: an embedder, a retriever, an engine, and somewhere to send events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, NotRequired, Protocol, TypedDict

import numpy as np
import numpy.typing as npt

from app.domain.tool_calls import CallPiece
from contracts.chat import TurnEvent
from contracts.context import TenantContext
from contracts.conversation import NO_OPTIONS, Options
from contracts.errors import DependencyDownError, OverloadedError, UpstreamError, UpstreamTimeoutError
from contracts.external import ExternalEngine
from contracts.ranking import Ranking
from contracts.retrieval import Passage
from contracts.tenant import TenantId

AWAY = (UpstreamError, UpstreamTimeoutError, OverloadedError, DependencyDownError)
"""How a port says that its service is out of reach, broken or too slow: a turn may go on without it. Whatever else one
raises is about what was asked."""

Vector = npt.NDArray[np.float32]
"""One row, L2-normalised, so that a dot product is the cosine."""


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a port is asked: the verified context, and the token by which the RAG service verifies it too.

    `until`: when the step that asks must have its answer, if that is before the request's own deadline.
    """

    context: TenantContext
    rag_token: str
    until: datetime | None = None

    @property
    def deadline(self) -> datetime:
        return self.until or self.context.deadline


class FunctionCall(TypedDict):
    name: str
    arguments: str


class CalledTool(TypedDict):
    id: str
    type: Literal["function"]
    function: FunctionCall


class Message(TypedDict):
    """As OpenAI's API writes one."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: NotRequired[list[CalledTool]]
    tool_call_id: NotRequired[str]


class TokenCount(NamedTuple):
    """Tokens so far, as the engine counts them. Not pydantic: one is made per streamed token.

    `cached` of the prompt came from the prefix cache; engines tell it, if at all, at the end.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0


class Delta(NamedTuple):
    """A piece of the answer. `tokens` is what was used up to here; `finish_reason` is set on the last piece."""

    text: str
    tokens: TokenCount
    finish_reason: str | None = None
    calls: tuple[CallPiece, ...] = ()


class Embedded(NamedTuple):
    """One vector a text, in order, all of one `model`: those of two cannot be compared."""

    model: str
    vectors: list[Vector]


class QueryVector(NamedTuple):
    """A question's embedding, and what made it."""

    model: str
    vector: Vector


class Embedder(Protocol):
    async def embed(self, caller: Caller, texts: Sequence[str]) -> Embedded:
        """Raises UpstreamError, UpstreamTimeoutError, DependencyDownError, and what the service raised."""
        ...


class Retriever(Protocol):
    async def search(
        self, caller: Caller, query: str, vector: QueryVector | None, k: int, *, ranking: Ranking
    ) -> list[Passage]:
        """The `k` nearest passages of the caller's tenant, best first. Raises as `Embedder.embed` does."""
        ...


class Generation(Protocol):
    """An answer being generated: iterate once. Raises UpstreamError when it breaks, UpstreamTimeoutError when late."""

    model: str

    def __aiter__(self) -> AsyncIterator[Delta]: ...


class Engine(Protocol):
    def generate(
        self,
        context: TenantContext,
        messages: Sequence[Message],
        *,
        options: Options = NO_OPTIONS,
        adapters: Collection[str] = (),
        max_tokens: int | None = None,
        priority: int = 0,
    ) -> AbstractAsyncContextManager[Generation]:
        """Entered once an engine has taken the request; leaving it stops the generation, wherever it is.

        `options` are the client's wishes, but for the length: that is `max_tokens`, which can only lower the engine's
        own bound. Of the LoRA adapters, only those in `adapters` can be `options.model`. The lowest `priority` is
        served first.
        Entering raises PromptTooLongError, OverloadedError, PoolUnavailableError, ModelUnavailableError, UpstreamError
        or UpstreamTimeoutError; so does iterating, up to the first piece.
        """
        ...


class ExternalEngines(Protocol):
    async def of(self, tenant_id: TenantId, engine: ExternalEngine) -> Engine:
        """The tenant's own engine, to be asked as any other. Raises UpstreamError where it may not be asked, and
        DependencyDownError where its key cannot be opened now."""
        ...


class TokenCounter(Protocol):
    async def count(self, context: TenantContext, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without those of the chat format; counted by the model's own tokenizer, or, where that
        cannot be asked, estimated. Never fails."""
        ...


class Sink(Protocol):
    """Where a turn's events go, in order. Waits while the reader is behind: memory stays bounded."""

    async def put(self, event: TurnEvent | Delta) -> None:
        """A `Delta` is a `token` event: the hot path makes no further object per token."""
        ...
