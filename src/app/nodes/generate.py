"""The answer, sent on token by token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from langgraph.runtime import Runtime

from app.domain.marks import MarkFilter
from app.engines import Engines
from app.fitting import PromptBudget
from app.nodes.meta import meta_of
from app.nodes.relay import Relay
from app.ports import Message
from app.prompts import build_messages
from app.state import Turn, TurnState
from app.templates import VERSION
from contracts.retrieval import Passage
from observability.tracing import note_span


@dataclass(frozen=True, slots=True)
class Generate:
    engines: Engines
    budget: PromptBudget

    async def __call__(self, state: TurnState, runtime: Runtime[Turn]) -> TurnState:
        turn = runtime.context
        progress, request = turn.progress, turn.request
        conversation, passages = await self.budget.fitted(
            turn, state["route"], state.get("conversation", request.conversation), state.get("passages", ())
        )
        progress.chunk_ids = [passage.chunk_id for passage in passages]
        flagged = state.get("flagged", frozenset())
        messages = build_messages(
            state["route"],
            request.query,
            passages,
            locale=request.locale,
            flagged=flagged,
            conversation=conversation,
        )
        progress.prompt = VERSION
        began = time.perf_counter()
        try:
            return await self._generated(state, turn, messages, passages)
        finally:
            ended, first = time.perf_counter(), progress.first_token_at
            note_span("first token", began, first or ended)
            if first is not None:
                note_span("stream", first, ended)

    async def _generated(
        self, state: TurnState, turn: Turn, messages: Sequence[Message], passages: tuple[Passage, ...]
    ) -> TurnState:
        sink, request = turn.sink, turn.request
        # Without retrieval there is nothing to cite, and `[1]` is whatever the model means by it; so it is in JSON.
        cites = "passages" in state and request.options.response_format is None
        marks = MarkFilter(len(passages)) if cites else None
        relay = Relay(sink, turn.progress, marks)
        engine, model = await self.engines.of(turn, state["route"])
        async with engine.generate(
            turn.caller.context,
            messages,
            options=request.options.model_copy(update={"model": model}),
            adapters=request.adapters,
            max_tokens=request.max_tokens,
            priority=request.priority,
        ) as generation:
            await sink.put(meta_of(state, turn, model=generation.model))
            await asyncio.create_task(relay.run(generation))  # cancelled with this one, which then waits for its end
        await relay.finish()
        shown: TurnState = {"passages": passages} if "passages" in state else {}
        return {
            **shown,
            "answer": relay.answer,
            "marked": marks.cited if marks else (),
            "finish_reason": relay.finish_reason,
        }
