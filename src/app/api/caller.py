"""Who asks the orchestrator: proved by the service token, with the token for the RAG service beside it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Request

from app.ports import Caller
from contracts.errors import UnauthenticatedError
from servicekit.edge import service_context
from servicekit.tokens import TokenVerifier

RAG_TOKEN_HEADER = "x-atrium-rag-token"  # noqa: S105  the name of a header  # nosec B105


async def caller(request: Request, x_atrium_rag_token: Annotated[str, Header()] = "") -> Caller:
    """Who asks, from the service token. The RAG service verifies the other token: here it is only passed on.

    `async` although nothing is awaited: FastAPI would run a plain function in a thread, at twice the request's cost.
    """
    verifier: TokenVerifier = request.app.state.verifier
    context = service_context(verifier, request)
    if not x_atrium_rag_token:
        raise UnauthenticatedError(f"the header {RAG_TOKEN_HEADER} is missing")
    return Caller(context, x_atrium_rag_token)


Asking = Annotated[Caller, Depends(caller)]
