"""What a turn has used so far, by the events of the orchestrator: what is billed, whatever of it the client sees."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.chat import MetaEvent, TokenEvent, TurnEvent, Usage, UsageEvent


@dataclass(slots=True)
class Meter:
    """`counted`: the numbers are the engine's last word. Of a turn that was left they are what its last token said."""

    route: str = ""
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    counted: bool = False

    def add(self, event: TurnEvent) -> None:
        if isinstance(event, TokenEvent):
            self.prompt_tokens, self.completion_tokens = event.prompt_tokens, event.completion_tokens
        elif isinstance(event, MetaEvent):
            self.route, self.model = event.route, event.model
        elif isinstance(event, UsageEvent):
            usage, self.counted = event.usage, True
            self.prompt_tokens, self.completion_tokens = usage.prompt_tokens, usage.completion_tokens
            self.cached_tokens = usage.cached_tokens

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def usage(self) -> Usage:
        return Usage.of(self.prompt_tokens, self.completion_tokens, self.cached_tokens)
