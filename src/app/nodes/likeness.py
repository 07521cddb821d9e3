"""How much a query is like each route, by all that a turn's routes and the known questions say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from app.domain.judgement import Judgement
from app.domain.routing import contrasted, examples_of, route_score
from app.ports import Vector
from contracts.chat import Route


@dataclass(frozen=True, slots=True)
class Likeness:
    """`rows` are the vectors of each route's examples, `counter` those of what only looks like it; `judged` the routes
    that `judgement` speaks for instead. `vectors` has the queries', by their text."""

    model: str
    vectors: Mapping[str, Vector]
    rows: Mapping[str, Vector]
    counter: Mapping[str, Vector]
    judgement: Judgement | None = None
    judged: frozenset[str] = frozenset()

    @classmethod
    def of(cls, routes: Iterable[Route], model: str, vectors: Mapping[str, Vector]) -> Likeness:
        rows, counter = {}, {}
        for route in routes:
            rows[route.name] = np.stack([vectors[text] for text in examples_of(route)])
            if route.counter_examples:
                counter[route.name] = np.stack([vectors[text] for text in route.counter_examples])
        return cls(model, vectors, rows, counter)

    def scores(self, query: str, *, threshold: float) -> dict[str, float]:
        """Of each route, as `choose_route` compares them."""
        vector = self.vectors[query]
        scores = {name: route_score((matrix @ vector).tolist()) for name, matrix in self.rows.items()}
        for name in scores.keys() & self.counter.keys():
            scores[name] = contrasted(scores[name], (self.counter[name] @ vector).tolist())
        if self.judgement is not None:
            said = self.judgement.scores(query, vector, threshold=threshold)
            scores |= {name: said[name] for name in self.judged}
        return scores
