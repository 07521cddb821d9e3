"""What tokens cost."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.chat import Usage

_PER_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens."""

    prompt: float
    completion: float

    def of(self, usage: Usage) -> float:
        """USD, rounded to a billionth."""
        cost = usage.prompt_tokens * self.prompt + usage.completion_tokens * self.completion
        return round(cost / _PER_MILLION, 9)
