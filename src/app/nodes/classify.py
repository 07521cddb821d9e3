"""Which route a query belongs to. Embeds the query once; retrieval uses the same vector."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from langgraph.runtime import Runtime

from app.domain.routing import Choice, choose_route, examples_of, refuse_route, route_score
from app.nodes.example_vectors import ExampleVectors
from app.ports import Caller, Embedder, Vector
from app.state import Turn, TurnState
from contracts.chat import Refusal, Route


@dataclass(frozen=True, slots=True)
class Classified:
    """`vector` is the query's own; none where no route has an example to compare it with."""

    choice: Choice
    vector: Vector | None
    refusal: Refusal | None


@dataclass(frozen=True, slots=True)
class Classify:
    embedder: Embedder
    threshold: float
    example_vectors: ExampleVectors = field(default_factory=ExampleVectors)

    async def __call__(self, state: TurnState, runtime: Runtime[Turn]) -> TurnState:
        turn = runtime.context
        (found,) = await self.classify(
            turn.caller,
            [turn.request.query],
            routes=turn.request.routes,
            allowed_routes=turn.caller.context.allowed_routes,
            blocked_tools=turn.request.blocked_tools,
        )
        turn.progress.route = found.choice.route.name
        return {
            "route": found.choice.route,
            "route_score": found.choice.score,
            "vector": found.vector,
            "refusal": found.refusal,
        }

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
        examples = {route.name: texts for route in routes if (texts := examples_of(route))}
        vectors = await self._embed(caller, queries, examples) if examples else {}
        rows = {name: np.stack([vectors[text] for text in texts]) for name, texts in examples.items()}
        found: list[Classified] = []
        for query in queries:
            if found:
                await asyncio.sleep(0)  # each takes up to half a millisecond, and answers are being streamed meanwhile
            vector = vectors.get(query)
            choice = choose_route(routes, _scores(rows, vector), threshold=self.threshold)
            refusal = refuse_route(choice.route, allowed_routes=allowed_routes, blocked_tools=blocked_tools)
            found.append(Classified(choice, vector, refusal))
        return found

    async def _embed(
        self, caller: Caller, queries: Iterable[str], examples: Mapping[str, Sequence[str]]
    ) -> dict[str, Vector]:
        """Every query's vector and every example's; what is not known yet is asked for together with the queries."""
        tenant_id = caller.context.tenant_id
        texts = dict.fromkeys(text for of_route in examples.values() for text in of_route)
        known = self.example_vectors.known(tenant_id, texts)
        asked = list(dict.fromkeys(queries))
        missing = [text for text in texts if text not in known]
        new = await self.embedder.embed(caller, [*asked, *missing])
        found = dict(zip(missing, new[len(asked) :], strict=True))
        self.example_vectors.keep(tenant_id, found)
        return known | found | dict(zip(asked, new, strict=False))


def _scores(rows: Mapping[str, Vector], vector: Vector | None) -> dict[str, float]:
    if vector is None:
        return {}
    return {name: route_score((matrix @ vector).tolist()) for name, matrix in rows.items()}
