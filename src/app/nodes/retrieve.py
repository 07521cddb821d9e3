"""The tenant's passages that are near enough to the query and fit into the prompt."""

from __future__ import annotations

from dataclasses import dataclass, field

from langgraph.runtime import Runtime

from app.domain.follow_up import searched
from app.domain.passages import select_passages
from app.domain.untrusted import treat
from app.nodes.time_share import bounded
from app.ports import AWAY, Retriever
from app.state import Turn, TurnState
from contracts.errors import DependencyDownError
from contracts.retrieval import Passage
from observability import names
from observability.metrics import Metrics, NullMetrics
from observability.tracing import span


@dataclass(frozen=True, slots=True)
class Retrieve:
    """`within_s` bounds the step; a quarter of the time that is left is always its most. A tenant's own
    `min_passage_score` goes before `min_score`."""

    retriever: Retriever
    passages: int
    min_score: float
    max_bytes: int
    within_s: float = 10.0
    metrics: Metrics = field(default_factory=NullMetrics)

    async def __call__(self, state: TurnState, runtime: Runtime[Turn]) -> TurnState:
        turn = runtime.context
        request = turn.request
        min_score = self.min_score if request.min_passage_score is None else request.min_passage_score
        with span("retrieve"):
            found = await self._found(state, turn)
        relevant = [passage for passage in found if passage.score >= min_score]
        treated = treat(relevant, injection=request.passage_injection, links=request.strip_passage_links)
        if treated.flagged:
            self.metrics.count(names.PASSAGE_FLAGGED, len(treated.flagged), action=request.passage_injection)
        chosen = select_passages(treated.passages, min_score=min_score, max_bytes=self.max_bytes)
        turn.progress.chunk_ids = [passage.chunk_id for passage in chosen]
        if not chosen and not turn.progress.degraded:
            self.metrics.count(names.NOTHING_FOUND, outcome=request.when_nothing_found)
        return {"passages": chosen, "flagged": treated.flagged}

    async def _found(self, state: TurnState, turn: Turn) -> list[Passage]:
        """Nothing where the RAG service is away and the turn may do without it. It is not asked a second time when the
        question could not even be embedded. Raises DependencyDownError where the turn may not."""
        request = turn.request
        if not turn.progress.degraded:
            try:
                return await self.retriever.search(
                    bounded(turn.caller, self.within_s),
                    searched(request.query, request.conversation),
                    state["vector"],
                    self.passages,
                    ranking=request.ranking,
                )
            except AWAY:
                turn.progress.degraded = True
        if state["route"].retrieve_required or request.when_nothing_found == "say_so":
            raise DependencyDownError("the documents are out of reach", retry_after_s=1.0)
        self.metrics.count(names.DEGRADED, step="retrieve")
        return []
