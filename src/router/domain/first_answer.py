"""What was answered to a request with an `Idempotency-Key`, kept so that a repetition gets it again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from contracts.chat import (
    Citation,
    CitationsEvent,
    DoneEvent,
    MetaEvent,
    RefusalEvent,
    Source,
    TokenEvent,
    ToolCallsEvent,
    TurnEvent,
    Usage,
    UsageEvent,
)
from contracts.conversation import ToolCall
from router.domain.caller import Caller
from router.domain.transcript import Transcript


class FirstAnswer(BaseModel):
    """Of an answer that was given whole, or of a refusal. What failed is not kept: it may be tried again."""

    model_config = ConfigDict(frozen=True)

    request_id: str
    session_id: str
    config_version: int
    cost_usd: float
    meta: MetaEvent
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    citations: list[Citation]
    sources: list[Source] = []
    usage: Usage
    end: Annotated[DoneEvent | RefusalEvent, Field(discriminator="event")]

    @classmethod
    def of(
        cls,
        caller: Caller,
        session_id: str,
        transcript: Transcript,
        usage: Usage,
        end: DoneEvent | RefusalEvent,
        cost_usd: float,
    ) -> Self:
        return cls(
            request_id=caller.request_id,
            session_id=session_id,
            config_version=caller.policy.version,
            cost_usd=cost_usd,
            meta=transcript.meta,
            text="" if isinstance(end, RefusalEvent) else transcript.answer,
            tool_calls=transcript.tool_calls,
            citations=transcript.citations,
            sources=transcript.sources,
            usage=usage,
            end=end,
        )

    def events(self) -> Iterator[TurnEvent]:
        """The turn again, its text in one piece."""
        used = self.usage
        yield self.meta
        if self.text:
            yield TokenEvent(text=self.text, prompt_tokens=used.prompt_tokens, completion_tokens=used.completion_tokens)
        if self.tool_calls:
            yield ToolCallsEvent(calls=self.tool_calls)
        if isinstance(self.end, DoneEvent):
            yield CitationsEvent(citations=self.citations, sources=self.sources)
        if used.total_tokens:
            yield UsageEvent(usage=used)
        yield self.end


def record_name(caller: Caller, key: str) -> str:
    """Of the record for a key: of this tenant, made when it was, and of this principal alone, so that nobody gets
    another one's answer by guessing its key."""
    named = "\0".join((caller.born.isoformat(), caller.principal.name, key))
    return hashlib.sha256(named.encode()).hexdigest()
