"""A prompt's parts made to fit the model's context: counted by its own tokenizer where bytes leave a doubt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from app.domain.budget import FRAME_TOKENS, MESSAGE_TOKENS, PASSAGE_TOKENS, estimate, fit
from app.ports import TokenCounter
from app.prompts import build_messages
from app.state import Turn
from contracts.chat import Route
from contracts.conversation import Conversation, Message
from contracts.retrieval import Passage
from observability import names
from observability.metrics import Metrics, NullMetrics


@dataclass(frozen=True, slots=True)
class PromptBudget:
    """`context_tokens` are for prompt and answer together, `answer_tokens` of them the longest answer."""

    counter: TokenCounter
    context_tokens: int
    answer_tokens: int
    metrics: Metrics = field(default_factory=NullMetrics)

    async def fitted(
        self, turn: Turn, route: Route, conversation: Conversation, passages: Sequence[Passage]
    ) -> tuple[Conversation, tuple[Passage, ...]]:
        """What of the conversation and the passages goes into the prompt: the oldest turns go first, then the lowest
        passages. A question that does not fit alone is the engine's to refuse, which counts exactly."""
        request = turn.request
        room = self.context_tokens - min(request.max_tokens or self.answer_tokens, self.answer_tokens)
        alone = conversation.model_copy(update={"before": ()})
        shown = build_messages(route, request.query, (), locale=request.locale, conversation=alone)
        fixed = [message["content"] for message in shown]
        fixed += [orjson.dumps(tool.model_dump(exclude_none=True)).decode() for tool in request.options.tools]
        fixed += [call.arguments for message in conversation.after for call in message.tool_calls]
        groups = _groups(conversation.before)
        said = ["\n".join(map(_text, group)) for group in groups]
        texts = [*fixed, *said, *(passage.text for passage in passages)]
        frame = FRAME_TOKENS + MESSAGE_TOKENS * (len(fixed) + len(conversation.before))
        if sum(len(text.encode()) for text in texts) + frame + PASSAGE_TOKENS * len(passages) <= room:
            return conversation, tuple(passages)  # no tokenizer makes more tokens than there are bytes
        counts = await self._count(turn, texts)
        sure, behind = len(fixed), len(fixed) + len(groups)
        turns = [n + MESSAGE_TOKENS * len(group) for n, group in zip(counts[sure:behind], groups, strict=True)]
        found = fit(
            room,
            sum(counts[:sure]) + FRAME_TOKENS + MESSAGE_TOKENS * sure,
            turns,
            [count + PASSAGE_TOKENS for count in counts[behind:]],
        )
        kept = tuple(message for group in groups[found.first_turn :] for message in group)
        if left_out := len(conversation.before) - len(kept):
            self.metrics.count(names.PROMPT_TRIMMED, left_out, what="messages")
        if found.passages < len(passages):
            self.metrics.count(names.PROMPT_TRIMMED, len(passages) - found.passages, what="passages")
        return conversation.model_copy(update={"before": kept}), tuple(passages[: found.passages])

    async def _count(self, turn: Turn, texts: Sequence[str]) -> list[int]:
        """The platform's tokenizer is not that of a tenant's own engine."""
        if turn.request.external is not None:
            return [estimate(text) for text in texts]
        return await self.counter.count(turn.caller.context, texts)


def _groups(messages: Sequence[Message]) -> list[list[Message]]:
    """Turns: a question and what followed it, which stay or go together."""
    found: list[list[Message]] = []
    for message in messages:
        if message.role == "user" or not found:
            found.append([])
        found[-1].append(message)
    return found


def _text(message: Message) -> str:
    return "\n".join((message.content, *(f"{call.name}{call.arguments}" for call in message.tool_calls)))
