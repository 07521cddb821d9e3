"""The answer, sent on token by token."""

from __future__ import annotations

import time
from dataclasses import dataclass

from langgraph.runtime import Runtime

from app.domain.tool_calls import ToolCalls
from app.ports import Engine
from app.prompts import build_messages
from app.state import Turn, TurnState
from contracts.chat import MetaEvent, ToolCallsEvent


@dataclass(frozen=True, slots=True)
class Generate:
    engine: Engine

    async def __call__(self, state: TurnState, runtime: Runtime[Turn]) -> TurnState:
        turn = runtime.context
        progress, sink, request = turn.progress, turn.sink, turn.request
        passages = state.get("passages", ())
        flagged = state.get("flagged", frozenset())
        messages = build_messages(
            state["route"],
            request.query,
            passages,
            locale=request.locale,
            flagged=flagged,
            conversation=request.conversation,
        )
        pieces: list[str] = []
        calls = ToolCalls()
        finish_reason = "stop"
        model = request.options.model or state["route"].model or request.model
        async with self.engine.generate(
            turn.caller.context,
            messages,
            options=request.options.model_copy(update={"model": model}) if model else request.options,
            adapters=request.adapters,
            max_tokens=request.max_tokens,
            priority=request.priority,
        ) as generation:
            await sink.put(
                MetaEvent(
                    route=state["route"].name,
                    route_score=state["route_score"],
                    model=generation.model,
                    chunk_ids=progress.chunk_ids,
                )
            )
            async for delta in generation:
                text, progress.tokens, finished, called = delta
                if finished:
                    finish_reason = finished
                for piece in called:
                    calls.add(piece)
                if text or called:
                    if progress.first_token_at is None:
                        progress.first_token_at = time.perf_counter()
                    pieces.append(text)
                    await sink.put(delta)  # with a piece of a call, its text is empty: it says what was used so far
        if whole := calls.whole():
            await sink.put(ToolCallsEvent(calls=whole))
        return {"answer": "".join(pieces), "finish_reason": finish_reason}
