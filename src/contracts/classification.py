"""`/v1/classify`: which route each of many queries would take, under terms that need not be in force."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from contracts.chat import Query, Refusal, Route

MAX_QUERIES = 200


class ClassifyRequest(BaseModel):
    """Router to orchestrator: queries, and the part of a config that decides over their routes.

    The allowed routes are here and not in the service token: they are those of a config that nobody has saved yet.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    queries: tuple[Query, ...] = Field(min_length=1, max_length=MAX_QUERIES)
    routes: tuple[Route, ...]
    allowed_routes: tuple[str, ...]
    blocked_tools: tuple[str, ...] = ()


class RouteDecision(BaseModel):
    """What a turn would begin with. Scores are means of cosines, -1 to 1.

    `score` is the chosen route's, or the best that fell short where the choice is GENERAL. `runner_up` is the best
    other route that was compared: after a GENERAL by exclusion it is the one that fell short.
    """

    model_config = ConfigDict(frozen=True)

    route: str
    score: float
    runner_up: str | None = None
    runner_up_score: float | None = None
    refusal: Refusal | None = None


class ClassifyResponse(BaseModel):
    """One decision a query, in the order of the queries."""

    model_config = ConfigDict(frozen=True)

    decisions: list[RouteDecision]
