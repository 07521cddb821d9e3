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

    `counted`: the engine's count has come. Of a stream that was left it has not.
    """

    route: str = ""
    model: str = ""
    chunk_ids: list[str] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    counted: bool = False
    refusal: Refusal | None = None
    error: ErrorEvent | None = None
    ended: bool = False
    _texts: list[str] = field(default_factory=list)

    def add(self, event: TurnEvent) -> None:
        if isinstance(event, TokenEvent):
            self._texts.append(event.text)
        elif isinstance(event, MetaEvent):
            self.route, self.model, self.chunk_ids = event.route, event.model, event.chunk_ids
        elif isinstance(event, CitationsEvent):
            self.citations = event.citations
        elif isinstance(event, UsageEvent):
            self.usage, self.counted = event.usage, True
        else:
            self._end(event)

    def _end(self, event: TurnEvent) -> None:
        self.ended = True
        if isinstance(event, RefusalEvent):
            self.refusal = event.refusal
        elif isinstance(event, ErrorEvent):
            self.error = event

    @property
    def answer(self) -> str:
        return self.refusal.message if self.refusal else "".join(self._texts)
