"""The tenant's passages that are near enough to the query and fit into the prompt."""

from __future__ import annotations

from dataclasses import dataclass

from langgraph.runtime import Runtime

from app.domain.passages import select_passages
from app.ports import Retriever
from app.state import Turn, TurnState


@dataclass(frozen=True, slots=True)
class Retrieve:
    retriever: Retriever
    passages: int
    min_score: float
    max_bytes: int

    async def __call__(self, state: TurnState, runtime: Runtime[Turn]) -> TurnState:
        turn = runtime.context
        found = await self.retriever.search(turn.caller, turn.request.query, state["vector"], self.passages)
        chosen = select_passages(found, min_score=self.min_score, max_bytes=self.max_bytes)
        turn.progress.chunk_ids = [passage.chunk_id for passage in chosen]
        return {"passages": chosen}
