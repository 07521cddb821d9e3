"""What has been said in a turn so far: events in, the whole answer out."""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts.chat import (
    Citation,
    CitationsEvent,
    ErrorEvent,
    MetaEvent,
    Refusal,
    RefusalEvent,
    TokenEvent,
    TurnEvent,
    Usage,
    UsageEvent,
)


@dataclass(slots=True)
class Transcript:
    """Folds the events of one turn. After a refusal the answer is what the refusal says to the user.

    `counted`: `usage` is the engine's last word. Of a stream that was left it is what its last token said.
    """

    route: str = ""
    model: str = ""
    chunk_ids: list[str] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    counted: bool = False
    refusal: Refusal | None = None
    error: ErrorEvent | None = None
    ended: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    _texts: list[str] = field(default_factory=list)

    def add(self, event: TurnEvent) -> None:
        if isinstance(event, TokenEvent):
            self._texts.append(event.text)
            self.prompt_tokens, self.completion_tokens = event.prompt_tokens, event.completion_tokens
        elif isinstance(event, MetaEvent):
            self.route, self.model, self.chunk_ids = event.route, event.model, event.chunk_ids
        elif isinstance(event, CitationsEvent):
            self.citations = event.citations
        elif isinstance(event, UsageEvent):
            usage, self.counted = event.usage, True
            self.prompt_tokens, self.completion_tokens = usage.prompt_tokens, usage.completion_tokens
            self.cached_tokens = usage.cached_tokens
        else:
            self._end(event)

    def _end(self, event: TurnEvent) -> None:
        self.ended = True
        if isinstance(event, RefusalEvent):
            self.refusal = event.refusal
        elif isinstance(event, ErrorEvent):
            self.error = event

    @property
    def usage(self) -> Usage:
        """So far."""
        prompt, completion = self.prompt_tokens, self.completion_tokens
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,
            cached_tokens=self.cached_tokens,
        )

    @property
    def answer(self) -> str:
        return self.refusal.message if self.refusal else "".join(self._texts)
