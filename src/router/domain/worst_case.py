"""What a request may cost at most, before anything of it is known but what was asked."""

from __future__ import annotations

from dataclasses import dataclass

from router.domain.asked import Asked
from router.domain.policy import Policy

_FRAME_BYTES = 1_024
"""Of a prompt beside the instruction, the question and the passages: the template, the marks, the chat format."""
_MESSAGE_BYTES = 64
"""Of the chat format around one message of a conversation."""
_MOST_GROWTH = 12
"""A placeholder has up to twelve bytes, and may stand for one: what is redacted is known only after admission."""
_BYTES_PER_TOKEN = 4
"""On average, of English text."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Tokens. `likely_prompt` is no bound: what the question and the instruction are likely to have. Not more: with a
    forecast that is too long, places are shared by whole numbers until tokens correct that, a minute later."""

    prompt: int
    answer: int
    likely_prompt: int

    @property
    def total(self) -> int:
        return self.prompt + self.answer


@dataclass(frozen=True, slots=True)
class WorstCase:
    """A bound and no estimate: no tokenizer makes more tokens than there are bytes, and no engine takes a prompt that
    leaves its context no room for the answer."""

    context_tokens: int
    answer_tokens: int
    passages_bytes: int

    def of(self, policy: Policy, asked: Asked) -> Bounds:
        asked_bytes = asked.bytes()
        messages = len(asked.conversation.before) + len(asked.conversation.after)
        sure_bytes = asked_bytes + policy.instruction_bytes + _FRAME_BYTES + _MESSAGE_BYTES * messages
        grown_bytes = asked_bytes * (_MOST_GROWTH - 1) if policy.redacts_input else 0
        answer = min(asked.options.max_tokens or self.answer_tokens, self.answer_tokens)
        most = max(1, self.context_tokens - answer)
        prompt = min(sure_bytes + grown_bytes + self.passages_bytes, most)
        likely = (asked_bytes + policy.instruction_bytes) // _BYTES_PER_TOKEN
        return Bounds(prompt, answer, min(prompt, likely))
