"""The answer, sent on token by token."""

from __future__ import annotations

import time
from dataclasses import dataclass

from langgraph.runtime import Runtime

from app.ports import Engine, ExternalEngines
from app.prompts import build_messages
from app.state import Turn, TurnState
from contracts.chat import MetaEvent
from contracts.errors import UpstreamError
from contracts.external import ExternalEngine
from contracts.tenant import TenantId


@dataclass(frozen=True, slots=True)
class Generate:
    engine: Engine
    external: ExternalEngines | None = None

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
        finish_reason = "stop"
        engine, model = self.engine, request.options.model or state["route"].model or request.model
        if request.external is not None:
            engine, model = await self._external(turn.caller.context.tenant_id, request.external), None
        async with engine.generate(
            turn.caller.context,
            messages,
            options=request.options.model_copy(update={"model": model}),
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
                text, progress.tokens, finished = delta
                if finished:
                    finish_reason = finished
                if text:
                    if progress.first_token_at is None:
                        progress.first_token_at = time.perf_counter()
                    pieces.append(text)
                    await sink.put(delta)
        return {"answer": "".join(pieces), "finish_reason": finish_reason}

    async def _external(self, tenant_id: TenantId, engine: ExternalEngine) -> Engine:
        if self.external is None:
            raise UpstreamError("this platform has no engines of tenants' own")
        return await self.external.of(tenant_id, engine)
