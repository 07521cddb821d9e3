"""What an answer rests on."""

from __future__ import annotations

from collections.abc import Sequence

from langgraph.runtime import Runtime

from app.domain.citations import cite, sources
from app.state import Turn, TurnState
from contracts.chat import Citation, CitationsEvent, Source
from observability.tracing import span


async def cite_passages(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    turn, passages = runtime.context, state.get("passages", ())
    with span("cite"):
        citations = cite(
            state["answer"],
            passages,
            state.get("flagged", frozenset()),
            question=turn.request.query,
            marked=state["marked"],
        )
    await tell_cited(turn, citations=citations, sources=sources(passages))
    return {}


async def tell_cited(turn: Turn, *, citations: list[Citation], sources: Sequence[Source]) -> None:
    turn.progress.citations = [citation.chunk_id for citation in citations]
    await turn.sink.put(CitationsEvent(citations=citations, sources=list(sources)))
