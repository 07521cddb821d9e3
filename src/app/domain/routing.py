"""Which route a query belongs to, and whether the tenant allows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contracts.chat import Refusal, Route
from contracts.routes import BUILT_IN_ROUTES, GENERAL

NEAREST = 2
"""A route's score is the mean of its nearest two examples: one stray example alone does not decide.

Measured on tests/support/labelled_queries.py (all-MiniLM-L6-v2): right for every threshold from .24 to .32;
with the nearest one alone only at .32.
"""

_GENERAL_ROUTE = next(route for route in BUILT_IN_ROUTES if route.name == GENERAL)
_NOT_ALLOWED = "I am sorry, I cannot help with that here."
_BLOCKED = "I am sorry, I cannot help with that here: what it needs is switched off."


@dataclass(frozen=True, slots=True)
class Choice:
    """`score` is the chosen route's, or the best that fell short when the choice is GENERAL; -1 to 1.

    `runner_up` is the best of the other routes that have a score.
    """

    route: Route
    score: float
    runner_up: str | None = None
    runner_up_score: float | None = None


def examples_of(route: Route) -> tuple[str, ...]:
    """What a query is compared with: the examples, else the description. GENERAL is chosen by exclusion only."""
    if route.name == GENERAL:
        return ()
    return route.examples or ((route.description,) if route.description else ())


def route_score(similarities: Sequence[float]) -> float:
    """Mean of the `NEAREST` highest cosines."""
    nearest = sorted(similarities, reverse=True)[:NEAREST]
    return sum(nearest) / len(nearest)


def contrasted(score: float, counter: Sequence[float]) -> float:
    """A route's score, given the query's cosines with what only looks like the route: as it is, or below nothing by how
    much nearer the nearest of these is."""
    nearest = max(counter, default=-1.0)
    return score if score > nearest else score - nearest


def choose_route(routes: Sequence[Route], scores: Mapping[str, float], *, threshold: float) -> Choice:
    """The best-scoring route at or above `threshold`, else GENERAL. Of equals the first in `routes` wins."""
    ranked = sorted(
        (route for route in routes if route.name in scores), key=lambda route: scores[route.name], reverse=True
    )
    best_score = scores[ranked[0].name] if ranked else 0.0
    if ranked and best_score >= threshold:
        chosen, others = ranked[0], ranked[1:]
    else:
        chosen, others = next((route for route in routes if route.name == GENERAL), _GENERAL_ROUTE), ranked
    if not others:
        return Choice(chosen, best_score)
    return Choice(chosen, best_score, others[0].name, scores[others[0].name])


def guessed_route(routes: Sequence[Route], *, allowed_routes: Sequence[str]) -> Choice | None:
    """Where the query cannot be compared with anything: GENERAL if it is allowed, else the only route that is. None
    where there are several, and one would be as good a guess as another."""
    if GENERAL in allowed_routes:
        return choose_route(routes, {}, threshold=0.0)
    allowed = [route for route in routes if route.name in allowed_routes]
    return Choice(allowed[0], 0.0) if len(allowed) == 1 else None


def refuse_route(route: Route, *, allowed_routes: Sequence[str], blocked_tools: Sequence[str]) -> Refusal | None:
    """Why the tenant does not serve this route, or nothing. The messages name neither a route nor a tool."""
    if route.name not in allowed_routes:
        return Refusal(reason="route_not_allowed", rule_id="allowed_routes", stage="route", message=_NOT_ALLOWED)
    if not set(route.tools).isdisjoint(blocked_tools):
        return Refusal(reason="blocked_tool", rule_id="blocked_tools", stage="route", message=_BLOCKED)
    return None
