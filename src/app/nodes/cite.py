"""The end of an answer: what it rests on, what it used, and why it stopped."""

from __future__ import annotations

from langgraph.runtime import Runtime

from app.domain.citations import cite
from app.state import Turn, TurnState
from contracts.chat import CitationsEvent, DoneEvent, UsageEvent


async def cite_passages(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    turn = runtime.context
    citations = cite(state["answer"], state.get("passages", ()), state.get("flagged", frozenset()))
    turn.progress.citations = [citation.chunk_id for citation in citations]
    await turn.sink.put(CitationsEvent(citations=citations))
    await turn.sink.put(UsageEvent(usage=turn.progress.usage()))
    await turn.sink.put(DoneEvent(finish_reason=state["finish_reason"]))
    return {}
