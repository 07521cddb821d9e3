"""The tenant's passages that are near enough to the query and fit into the prompt."""

from __future__ import annotations

from dataclasses import dataclass, field

from langgraph.runtime import Runtime

from app.domain.passages import select_passages
from app.domain.untrusted import treat
from app.ports import Retriever
from app.state import Turn, TurnState
from observability import names
from observability.metrics import Metrics, NullMetrics


@dataclass(frozen=True, slots=True)
class Retrieve:
    retriever: Retriever
    passages: int
    min_score: float
    max_bytes: int
    metrics: Metrics = field(default_factory=NullMetrics)

    async def __call__(self, state: TurnState, runtime: Runtime[Turn]) -> TurnState:
        turn = runtime.context
        request = turn.request
        found = await self.retriever.search(
            turn.caller, request.query, state["vector"], self.passages, ranking=request.ranking
        )
        relevant = [passage for passage in found if passage.score >= self.min_score]
        treated = treat(relevant, injection=request.passage_injection, links=request.strip_passage_links)
        if treated.flagged:
            self.metrics.count(names.PASSAGE_FLAGGED, len(treated.flagged), action=request.passage_injection)
        chosen = select_passages(treated.passages, min_score=self.min_score, max_bytes=self.max_bytes)
        turn.progress.chunk_ids = [passage.chunk_id for passage in chosen]
        return {"passages": chosen, "flagged": treated.flagged}
