"""`POST /v1/turns`: one question, answered as a stream of events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request

from app.api.turn_response import TurnResponse
from app.ports import Caller
from app.service import TurnService
from contracts.chat import TurnRequest
from contracts.errors import UnauthenticatedError
from servicekit.edge import service_context
from servicekit.problems import OPENAPI_ERRORS
from servicekit.tokens import TokenVerifier

RAG_TOKEN_HEADER = "x-atrium-rag-token"  # noqa: S105  the name of a header


async def caller(request: Request, x_atrium_rag_token: Annotated[str, Header()] = "") -> Caller:
    """Who asks, from the service token. The RAG service verifies the other token: here it is only passed on.

    `async` although nothing is awaited: FastAPI would run a plain function in a thread, at twice the request's cost.
    """
    verifier: TokenVerifier = request.app.state.verifier
    context = service_context(verifier, request)
    if not x_atrium_rag_token:
        raise UnauthenticatedError(f"the header {RAG_TOKEN_HEADER} is missing")
    return Caller(context, x_atrium_rag_token)


router = APIRouter(prefix="/v1", tags=["turns"])


@router.post(
    "/turns",
    response_class=TurnResponse,
    responses={**OPENAPI_ERRORS, 200: {"content": {"application/x-ndjson": {}}, "description": "TurnEvent lines"}},
)
async def post_turn(body: TurnRequest, caller: Annotated[Caller, Depends(caller)], request: Request) -> TurnResponse:
    turns: TurnService = request.app.state.turns
    return TurnResponse(turns.turn(caller, body))
