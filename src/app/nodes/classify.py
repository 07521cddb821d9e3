"""Which route a query belongs to. Embeds the query once; retrieval uses the same vector."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from langgraph.runtime import Runtime

from app.domain.follow_up import searched
from app.domain.routing import Choice, choose_route, examples_of, guessed_route, refuse_route
from app.nodes.example_vectors import ExampleVectors
from app.nodes.judgements import Judgements, is_judged
from app.nodes.likeness import Likeness
from app.nodes.time_share import bounded
from app.ports import AWAY, Caller, Embedded, Embedder, QueryVector, Vector
from app.state import Turn, TurnState
from contracts.chat import Refusal, Route
from contracts.errors import DependencyDownError, UpstreamError
from observability import names
from observability.metrics import Metrics, NullMetrics
from observability.tracing import span

PORTION = 256
"""Texts that are embedded and kept at once: who has thousands of examples does not begin with the first one again when
the time for a turn's step ends before the last."""


@dataclass(frozen=True, slots=True)
class Classified:
    """`vector` is the query's own; none where no route has an example to compare it with."""

    choice: Choice
    vector: QueryVector | None
    refusal: Refusal | None


@dataclass(slots=True)
class Classify:
    """`within_s` bounds the step in a turn; a quarter of the time that is left is always its most."""

    embedder: Embedder
    threshold: float
    within_s: float = 5.0
    metrics: Metrics = field(default_factory=NullMetrics)
    example_vectors: ExampleVectors = field(default_factory=ExampleVectors)
    _judgements: Judgements = field(init=False)
    _model: str = ""
    """The embedding model that was served last."""

    def __post_init__(self) -> None:
        self._judgements = Judgements(self.embedder)

    async def warm(self, kept: Embedded) -> None:
        """With the known questions' vectors, for which the first question need not wait then."""
        await self._judgements.warm(kept)

    async def __call__(self, state: TurnState, runtime: Runtime[Turn]) -> TurnState:
        turn = runtime.context
        with span("classify"):
            found = await self._of_turn(turn)
        choice = found.choice
        turn.progress.route, turn.progress.choice = choice.route.name, choice
        return {
            "route": choice.route,
            "choice": choice,
            "vector": found.vector,
            "refusal": found.refusal,
        }

    async def _of_turn(self, turn: Turn) -> Classified:
        """While the RAG service is away: the route that a query without any likeness would take."""
        request, allowed = turn.request, turn.caller.context.allowed_routes
        try:
            (found,) = await self.classify(
                bounded(turn.caller, self.within_s),
                [searched(request.query, request.conversation)],
                routes=request.routes,
                allowed_routes=allowed,
                blocked_tools=request.blocked_tools,
            )
        except AWAY as error:
            choice = guessed_route(request.routes, allowed_routes=allowed)
            if choice is None:
                raise DependencyDownError("the question cannot be classified now", retry_after_s=1.0) from error
            turn.progress.degraded = True
            self.metrics.count(names.DEGRADED, step="classify")
            refusal = refuse_route(choice.route, allowed_routes=allowed, blocked_tools=request.blocked_tools)
            return Classified(choice, None, refusal)
        return found

    async def classify(
        self,
        caller: Caller,
        queries: Sequence[str],
        *,
        routes: Sequence[Route],
        allowed_routes: Sequence[str],
        blocked_tools: Sequence[str],
    ) -> list[Classified]:
        """One result a query, in order. Keeps the examples' vectors, no query's. Raises as `Embedder.embed` does."""
        likeness = await self._likeness(caller, queries, routes)
        found: list[Classified] = []
        for query in queries:
            if found:
                await asyncio.sleep(0)  # each takes up to half a millisecond, and answers are being streamed meanwhile
            vector = QueryVector(likeness.model, likeness.vectors[query]) if likeness else None
            scores = likeness.scores(query, threshold=self.threshold) if likeness else {}
            choice = choose_route(routes, scores, threshold=self.threshold)
            refusal = refuse_route(choice.route, allowed_routes=allowed_routes, blocked_tools=blocked_tools)
            found.append(Classified(choice, vector, refusal))
        return found

    async def _likeness(self, caller: Caller, queries: Sequence[str], routes: Sequence[Route]) -> Likeness | None:
        """None where no route has anything to compare a query with."""
        compared = [route for route in routes if examples_of(route)]
        own = [route for route in compared if not is_judged(route)]
        if not compared:
            return None
        by_own = await self._by_examples(caller, queries, own)
        if len(own) == len(compared):
            return by_own
        judgement = await self._judgements.of(caller, by_own.model)
        if judgement is None:
            return await self._by_examples(caller, queries, compared)
        judged = frozenset(route.name for route in compared) - {route.name for route in own}
        return replace(by_own, judgement=judgement, judged=judged)

    async def _by_examples(self, caller: Caller, queries: Sequence[str], routes: Sequence[Route]) -> Likeness:
        examples = {route.name: examples_of(route) for route in routes}
        against = {route.name: route.counter_examples for route in routes if route.counter_examples}
        groups = (*examples.values(), *against.values())
        model, vectors, matrices = await self._compared(caller, queries, groups)
        rows = dict(zip(examples, matrices, strict=False))
        return Likeness(model, vectors, rows, dict(zip(against, matrices[len(examples) :], strict=True)))

    async def close(self) -> None:
        await self._judgements.close()

    async def _compared(
        self, caller: Caller, queries: Sequence[str], groups: Sequence[tuple[str, ...]]
    ) -> tuple[str, dict[str, Vector], list[Vector]]:
        """The model, and by it the vectors of all queries, and of each group of examples those as the rows of one."""
        tenant_id, expected = caller.context.tenant_id, self._model
        texts = tuple(dict.fromkeys(chain.from_iterable(groups)))
        matrices = self.example_vectors.groups(expected, tenant_id, groups)
        model, vectors = await self._embed(caller, queries, texts if matrices is None else ())
        if texts and matrices is not None and model != expected:
            again, more = await self._embed(caller, (), texts)
            if again != model:
                raise UpstreamError("the embedding model was changed meanwhile")
            matrices, vectors = None, vectors | more
        if matrices is None:
            matrices = self.example_vectors.keep_groups(model, tenant_id, groups, vectors)
        return model, vectors, matrices

    async def _embed(
        self, caller: Caller, queries: Iterable[str], texts: Sequence[str]
    ) -> tuple[str, dict[str, Vector]]:
        """The model, and by it the vectors of all queries and of all examples, `texts`. What is not known yet is asked
        for together with the queries."""
        tenant_id = caller.context.tenant_id
        asked = tuple(dict.fromkeys(queries))
        expected, known = self._model, self.example_vectors.known(self._model, tenant_id, texts)
        missing = _without(texts, known)
        first = await self._kept(caller, asked, missing[: max(0, PORTION - len(asked))])
        self._model = model = first.model
        if missing or model != expected:
            known = self.example_vectors.known(model, tenant_id, texts)
        found = known | dict(zip(asked, first.vectors, strict=False))
        rest = _without(texts, found)
        for start in range(0, len(rest), PORTION):
            portion = rest[start : start + PORTION]
            more = await self._kept(caller, (), portion)
            if more.model != model:
                raise UpstreamError("the embedding model was changed meanwhile")
            found.update(zip(portion, more.vectors, strict=True))
        return model, found

    async def _kept(self, caller: Caller, queries: Sequence[str], examples: Sequence[str]) -> Embedded:
        """Vectors of both, those of the examples also kept for later."""
        answer = await self.embedder.embed(caller, [*queries, *examples])
        new = dict(zip(examples, answer.vectors[len(queries) :], strict=True))
        self.example_vectors.keep(answer.model, caller.context.tenant_id, new)
        return answer


def _without(texts: Sequence[str], known: Container[str]) -> list[str]:
    return [text for text in texts if text not in known]
