"""What was said before, as far as the model's context has room for it beside the question."""

from __future__ import annotations

from dataclasses import dataclass

from langgraph.runtime import Runtime

from app.fitting import PromptBudget
from app.state import Turn, TurnState
from observability.tracing import span


@dataclass(frozen=True, slots=True)
class Memory:
    budget: PromptBudget

    async def __call__(self, state: TurnState, runtime: Runtime[Turn]) -> TurnState:
        turn = runtime.context
        with span("memory"):
            conversation, _ = await self.budget.fitted(turn, state["route"], turn.request.conversation, ())
        return {"conversation": conversation}
