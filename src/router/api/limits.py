"""What is left."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from fastapi import APIRouter
from pydantic import BaseModel

from router.api.dependencies import CallerDep, ServicesDep
from router.domain.admission import MONTHLY_BUDGET, LimitState, Refusal
from router.domain.pricing import usd
from servicekit.problems import OPENAPI_ERRORS

api = APIRouter(tags=["usage"], responses=OPENAPI_ERRORS)


class LimitItem(BaseModel):
    """`monthly_budget_usd` in USD, the others in requests or tokens. `reset_s`: until the oldest of what is counted
    leaves; 0 when nothing is."""

    name: str
    limit: int | float
    remaining: int | float
    reset_s: float


class RefusalItem(BaseModel):
    """`retry_after_s` null: the request asks for more than the whole limit, and never fits."""

    limit: str
    at: datetime
    tokens: int
    cost_usd: float
    retry_after_s: float | None


class LimitsAnswer(BaseModel):
    limits: list[LimitItem]
    last_refusal: RefusalItem | None


@api.get("/tenant/{tenant_id}/limits")
async def limits(caller: CallerDep, found: ServicesDep) -> LimitsAnswer:
    """Every limit as it is now, and what the last request that was refused asked for. Looking counts nothing."""
    standing = await found.limits.standing(caller)
    last = standing.last_refusal
    return LimitsAnswer(
        limits=[_limit(state) for state in standing.limits], last_refusal=_refusal(last) if last else None
    )


def _limit(state: LimitState) -> LimitItem:
    money = state.name == MONTHLY_BUDGET
    return LimitItem(
        name=state.name,
        limit=usd(state.limit) if money else state.limit,
        remaining=usd(state.remaining) if money else state.remaining,
        reset_s=round(state.reset_s, 3),
    )


def _refusal(refusal: Refusal) -> RefusalItem:
    return RefusalItem(
        limit=refusal.limit,
        at=datetime.fromtimestamp(refusal.at, UTC),
        tokens=refusal.tokens,
        cost_usd=usd(refusal.cost_nano_usd),
        retry_after_s=None if math.isinf(refusal.retry_after_s) else refusal.retry_after_s,
    )
