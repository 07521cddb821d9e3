"""`POST /v1/classify`: the route of each of many queries, as a turn would choose it; nothing is answered."""

from __future__ import annotations

from fastapi import APIRouter, Request

from app.api.caller import Asking
from app.nodes.classify import Classified, Classify
from contracts.classification import ClassifyRequest, ClassifyResponse, RouteDecision
from servicekit.edge import while_awaited
from servicekit.problems import OPENAPI_ERRORS

router = APIRouter(prefix="/v1", tags=["classification"], responses=OPENAPI_ERRORS)


@router.post("/classify")
async def post_classify(body: ClassifyRequest, caller: Asking, request: Request) -> ClassifyResponse:
    classify: Classify = request.app.state.classify
    work = classify.classify(
        caller,
        body.queries,
        routes=body.routes,
        allowed_routes=body.allowed_routes,
        blocked_tools=body.blocked_tools,
    )
    found = await while_awaited(request, caller.context, work)
    return ClassifyResponse(decisions=[_decision(one) for one in found])


def _decision(one: Classified) -> RouteDecision:
    choice = one.choice
    return RouteDecision(
        route=choice.route.name,
        score=choice.score,
        runner_up=choice.runner_up,
        runner_up_score=choice.runner_up_score,
        refusal=one.refusal,
    )
