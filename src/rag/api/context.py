"""What every endpoint needs of a request: the proved tenant, the service, and an end when nobody waits any more."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request

from contracts.context import TenantContext
from contracts.errors import UpstreamTimeoutError
from rag.service import RagService
from servicekit.client import seconds_left
from servicekit.edge import service_context, until_disconnect
from servicekit.tokens import TokenVerifier

T = TypeVar("T")


async def _context(request: Request) -> TenantContext:
    verifier = request.app.state.verifier
    assert isinstance(verifier, TokenVerifier)  # noqa: S101  set by main alone; narrows the type
    return service_context(verifier, request)


async def _service(request: Request) -> RagService:
    service = request.app.state.service
    assert isinstance(service, RagService)  # noqa: S101  set by main's lifespan alone; narrows the type
    return service


Context = Annotated[TenantContext, Depends(_context)]
Service = Annotated[RagService, Depends(_service)]


async def while_awaited(request: Request, context: TenantContext, work: Coroutine[Any, Any, T]) -> T:
    """Run `work` until it is done, the client goes away, or the caller's deadline passes (UpstreamTimeoutError)."""
    try:
        async with asyncio.timeout(seconds_left(context.deadline)):
            return await until_disconnect(request, work)
    except TimeoutError as error:
        raise UpstreamTimeoutError("the deadline has passed") from error
