"""The answer, sent on token by token."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from langgraph.runtime import Runtime

from app.domain.marks import MarkFilter
from app.nodes.meta import meta_of
from app.ports import Delta, Engine, ExternalEngines, Message
from app.prompts import build_messages
from app.state import Turn, TurnState
from app.templates import VERSION
from contracts.chat import Route
from contracts.errors import UpstreamError
from observability.tracing import note_span


@dataclass(frozen=True, slots=True)
class Generate:
    engine: Engine
    external: ExternalEngines | None = None

    async def __call__(self, state: TurnState, runtime: Runtime[Turn]) -> TurnState:
        turn = runtime.context
        progress, request = turn.progress, turn.request
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
        progress.prompt = VERSION
        began = time.perf_counter()
        try:
            return await self._generated(state, turn, messages)
        finally:
            ended, first = time.perf_counter(), progress.first_token_at
            note_span("first token", began, first or ended)
            if first is not None:
                note_span("stream", first, ended)

    async def _generated(self, state: TurnState, turn: Turn, messages: Sequence[Message]) -> TurnState:
        progress, sink, request = turn.progress, turn.sink, turn.request
        # Without retrieval there is nothing to cite, and `[1]` is whatever the model means by it.
        marks = MarkFilter(len(state["passages"])) if "passages" in state else None
        pieces: list[str] = []
        finish_reason = "stop"
        engine, model = await self._engine(turn, state["route"])
        async with engine.generate(
            turn.caller.context,
            messages,
            options=request.options.model_copy(update={"model": model}),
            adapters=request.adapters,
            max_tokens=request.max_tokens,
            priority=request.priority,
        ) as generation:
            await sink.put(meta_of(state, turn, model=generation.model))
            async for delta in generation:
                text, progress.tokens, finished = delta
                if finished:
                    finish_reason = finished
                if text:
                    if progress.first_token_at is None:
                        progress.first_token_at = time.perf_counter()
                    left = marks.feed(text) if marks else text
                    if left:
                        pieces.append(left)
                        await sink.put(delta if left is text else Delta(left, progress.tokens, finished))
        if marks and (rest := marks.finish()):
            pieces.append(rest)
            await sink.put(Delta(rest, progress.tokens))
        return {
            "answer": "".join(pieces),
            "marked": marks.cited if marks else (),
            "finish_reason": finish_reason,
        }

    async def _engine(self, turn: Turn, route: Route) -> tuple[Engine, str | None]:
        """Whom to ask, and for which model; the tenant's own engine has but one."""
        request = turn.request
        if request.external is None:
            return self.engine, request.options.model or route.model or request.model
        if self.external is None:
            raise UpstreamError("this platform has no engines of tenants' own")
        return await self.external.of(turn.caller.context.tenant_id, request.external), None
