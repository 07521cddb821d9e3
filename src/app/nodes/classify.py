"""Which route the query belongs to. Embeds the query once; retrieval uses the same vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from langgraph.runtime import Runtime

from app.domain.routing import choose_route, examples_of, refuse_route, route_score
from app.nodes.example_vectors import ExampleVectors
from app.ports import Caller, Embedder, Vector
from app.state import Turn, TurnState
from contracts.chat import Route


@dataclass(frozen=True, slots=True)
class Classify:
    embedder: Embedder
    threshold: float
    example_vectors: ExampleVectors = field(default_factory=ExampleVectors)

    async def __call__(self, state: TurnState, runtime: Runtime[Turn]) -> TurnState:
        turn = runtime.context
        request, context = turn.request, turn.caller.context
        vector, scores = await self._score(turn.caller, request.query, request.routes)
        choice = choose_route(request.routes, scores, threshold=self.threshold)
        turn.progress.route = choice.route.name
        return {
            "route": choice.route,
            "route_score": choice.score,
            "vector": vector,
            "refusal": refuse_route(
                choice.route, allowed_routes=context.allowed_routes, blocked_tools=request.blocked_tools
            ),
        }

    async def _score(
        self, caller: Caller, query: str, routes: Sequence[Route]
    ) -> tuple[Vector | None, dict[str, float]]:
        """The query's vector (none where no route has an example to compare it with), and every route's score."""
        examples = {route.name: texts for route in routes if (texts := examples_of(route))}
        if not examples:
            return None, {}
        vector, vectors = await self._embed(caller, query, examples)
        return vector, {
            name: route_score((np.stack([vectors[text] for text in texts]) @ vector).tolist())
            for name, texts in examples.items()
        }

    async def _embed(
        self, caller: Caller, query: str, examples: Mapping[str, Sequence[str]]
    ) -> tuple[Vector, dict[str, Vector]]:
        """The query's vector and every example's; what is not known yet is asked for together with the query."""
        tenant_id = caller.context.tenant_id
        texts = dict.fromkeys(text for of_route in examples.values() for text in of_route)
        vectors = self.example_vectors.known(tenant_id, texts)
        missing = [text for text in texts if text not in vectors]
        query_vector, *new = await self.embedder.embed(caller, [query, *missing])
        found = dict(zip(missing, new, strict=True))
        self.example_vectors.keep(tenant_id, found)
        return query_vector, vectors | found
