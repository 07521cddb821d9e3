"""The end of a turn for which nothing was found, where the tenant wants to be told so: no engine is asked."""

from __future__ import annotations

from langgraph.runtime import Runtime

from app.nodes.cite import tell_cited
from app.nodes.meta import meta_of
from app.ports import Delta
from app.state import Turn, TurnState
from app.templates import template_for


async def say_nothing_found(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    turn = runtime.context
    template = template_for(state["route"].name, turn.request.locale)
    await turn.sink.put(meta_of(state, turn))
    await turn.sink.put(Delta(template.nothing_found, turn.progress.tokens))
    await tell_cited(turn, citations=[], sources=[])
    return {"finish_reason": "stop"}
