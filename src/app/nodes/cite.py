"""The end of an answer: what it rests on, what it used, and why it stopped."""

from __future__ import annotations

from collections.abc import Sequence

from langgraph.runtime import Runtime

from app.domain.citations import cite, sources
from app.state import Turn, TurnState
from contracts.chat import Citation, CitationsEvent, DoneEvent, Source, UsageEvent


async def cite_passages(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    turn, passages = runtime.context, state.get("passages", ())
    citations = cite(
        state["answer"],
        passages,
        state.get("flagged", frozenset()),
        question=turn.request.query,
        marked=state["marked"],
    )
    await end(turn, citations=citations, sources=sources(passages), finish_reason=state["finish_reason"])
    return {}


async def end(turn: Turn, *, citations: list[Citation], sources: Sequence[Source], finish_reason: str) -> None:
    """The last events of an answer that is whole."""
    turn.progress.citations = [citation.chunk_id for citation in citations]
    await turn.sink.put(CitationsEvent(citations=citations, sources=list(sources)))
    await turn.sink.put(UsageEvent(usage=turn.progress.usage()))
    await turn.sink.put(DoneEvent(finish_reason=finish_reason, timings_ms=turn.progress.steps.ms()))
