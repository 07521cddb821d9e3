"""What the client has been told in a turn so far: events in, the whole answer out."""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts.chat import (
    Citation,
    CitationsEvent,
    DoneEvent,
    ErrorEvent,
    MetaEvent,
    Refusal,
    RefusalEvent,
    Source,
    TokenEvent,
    ToolCallsEvent,
    TurnEvent,
)
from contracts.conversation import ToolCall


@dataclass(slots=True)
class Transcript:
    """Folds the events of one turn. After a refusal the answer is what the refusal says to the user."""

    meta: MetaEvent = field(default_factory=lambda: MetaEvent(route="", route_score=0.0, model=""))
    tool_calls: tuple[ToolCall, ...] = ()
    citations: list[Citation] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    timings_ms: dict[str, float] = field(default_factory=dict)
    refusal: Refusal | None = None
    error: ErrorEvent | None = None
    finish_reason: str = ""
    _texts: list[str] = field(default_factory=list)

    def add(self, event: TurnEvent) -> None:
        if isinstance(event, TokenEvent):
            self._texts.append(event.text)
        elif isinstance(event, MetaEvent):
            self.meta = event
        elif isinstance(event, ToolCallsEvent):
            self.tool_calls = event.calls
        elif isinstance(event, CitationsEvent):
            self.citations, self.sources = event.citations, event.sources
        elif isinstance(event, DoneEvent):
            self.timings_ms, self.finish_reason = event.timings_ms, event.finish_reason
        elif isinstance(event, RefusalEvent):
            self.refusal, self.tool_calls = event.refusal, ()
        elif isinstance(event, ErrorEvent):
            self.error = event

    @property
    def answer(self) -> str:
        return self.refusal.message if self.refusal else "".join(self._texts)
