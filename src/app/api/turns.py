"""`POST /v1/turns`: one question, answered as a stream of events."""

from __future__ import annotations

from fastapi import APIRouter, Request

from app.api.caller import Asking
from app.api.turn_response import TurnResponse
from app.api.turn_route import TurnRoute
from app.service import TurnService
from contracts.chat import TurnRequest
from servicekit.problems import OPENAPI_ERRORS

router = APIRouter(prefix="/v1", tags=["turns"], route_class=TurnRoute)


@router.post(
    "/turns",
    status_code=200,  # which FastAPI would else look for among what a TurnResponse is made of, in vain
    response_class=TurnResponse,
    responses={**OPENAPI_ERRORS, 200: {"content": {"application/x-ndjson": {}}, "description": "TurnEvent lines"}},
)
async def post_turn(body: TurnRequest, caller: Asking, request: Request) -> TurnResponse:
    turns: TurnService = request.app.state.turns
    return TurnResponse(turns.turn(caller, body))
