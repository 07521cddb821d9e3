"""The end of a turn whose route the tenant does not serve."""

from __future__ import annotations

from langgraph.runtime import Runtime

from app.nodes.meta import meta_of
from app.state import Turn, TurnState
from contracts.chat import RefusalEvent


async def refuse(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    refusal = state["refusal"]
    assert refusal is not None  # noqa: S101  the graph comes here for no other reason; narrows the type
    turn = runtime.context
    turn.progress.refusal_reason = refusal.reason
    await turn.sink.put(meta_of(state, turn))
    await turn.sink.put(RefusalEvent(refusal=refusal))
    return {}
