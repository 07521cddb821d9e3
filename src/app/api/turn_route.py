"""The route of `POST /v1/turns`: FastAPI describes it as any other, but its requests are read here.

FastAPI would resolve the dependencies anew for each, and make a JSON document of the body before it is checked: a fifth
of a millisecond, on the path of every question.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from app.api.caller import RAG_TOKEN_HEADER, caller
from contracts.chat import TurnRequest
from contracts.errors import InvalidRequestError
from servicekit.problems import ClientGoneError


class TurnRoute(APIRoute):
    """For endpoints with the parameters `body`, `caller` and `request`, and no other."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint: Callable[..., Coroutine[Any, Any, Response]] = self.endpoint

        async def handle(request: Request) -> Response:
            """Raises ClientGoneError, UnauthenticatedError, InvalidRequestError, RequestValidationError."""
            try:
                body = await request.body()
            except ClientDisconnect as error:
                raise ClientGoneError from error
            asking = await caller(request, request.headers.get(RAG_TOKEN_HEADER, ""))
            return await endpoint(body=read_turn(request, body), caller=asking, request=request)

        return handle


def read_turn(request: Request, body: bytes) -> TurnRequest:
    """Raises InvalidRequestError for what is not said to be JSON, RequestValidationError for a body that is no turn."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind.endswith("json"):
        raise InvalidRequestError("send the body with Content-Type: application/json")
    try:
        return TurnRequest.model_validate_json(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False)
        raise RequestValidationError([{**fault, "loc": ("body", *fault["loc"])} for fault in faults]) from error
