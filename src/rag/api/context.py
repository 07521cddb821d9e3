"""What every endpoint needs of a request: the proved tenant, and the service."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from contracts.context import TenantContext
from rag.service import RagService
from servicekit.edge import service_context
from servicekit.tokens import TokenVerifier


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
