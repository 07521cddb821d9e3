"""What the router needs of the outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from contracts.chat import TurnEvent, TurnRequest
from contracts.classification import ClassifyRequest, ClassifyResponse
from contracts.context import TenantContext
from contracts.retrieval import (
    DocumentInfo,
    DocumentPage,
    DocumentReceipt,
    IngestRequest,
    SearchRequest,
    SearchResponse,
)
from contracts.tenant import TenantId
from router.domain.limits import Decision, Window


class RateLimiter(Protocol):
    async def take(self, tenant_id: TenantId, windows: Sequence[Window]) -> Decision:
        """Count one request in every window, or in none if one is full. Raises DependencyDownError."""
        ...


class Orchestrator(Protocol):
    def turn(
        self, context: TenantContext, request: TurnRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[TurnEvent]]:
        """The events of one turn, each as soon as it is there; leaving the context early stops the work.

        Entering raises what went wrong before the engine took the request.
        """
        ...

    async def classify(self, context: TenantContext, request: ClassifyRequest) -> ClassifyResponse:
        """One decision a query, in their order; nothing is answered, counted or kept.

        Raises UpstreamError, UpstreamTimeoutError, and what the orchestrator raised.
        """
        ...


class Documents(Protocol):
    """The RAG service. Raises NotFoundError for what the tenant does not have."""

    async def add(self, context: TenantContext, document: IngestRequest) -> DocumentReceipt: ...

    async def list(self, context: TenantContext, after: str, limit: int) -> DocumentPage: ...

    async def get(self, context: TenantContext, document_id: str) -> DocumentInfo: ...

    async def delete(self, context: TenantContext, document_id: str) -> None: ...

    async def search(self, context: TenantContext, request: SearchRequest) -> SearchResponse: ...
