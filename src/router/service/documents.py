"""Documents and search: the RAG service does the work, the router says for whom."""

from __future__ import annotations

from datetime import timedelta

from contracts.context import TenantContext
from contracts.errors import NotFoundError
from contracts.retrieval import (
    DocumentInfo,
    DocumentPage,
    DocumentReceipt,
    IngestRequest,
    SearchRequest,
    SearchResponse,
)
from router.domain.access import Caller
from router.domain.policy import Policy
from router.ports import Documents
from router.service.contexts import Asker, ContextFactory
from tenancy.live import LiveConfigs


class DocumentService:
    """Every method raises NotFoundError for an unknown tenant."""

    def __init__(
        self,
        configs: LiveConfigs[Policy],
        documents: Documents,
        contexts: ContextFactory,
        *,
        timeout: timedelta,
        ingest_timeout: timedelta,
    ) -> None:
        self._configs = configs
        self._documents = documents
        self._contexts = contexts
        self._timeout = timeout
        self._ingest_timeout = ingest_timeout

    async def add(self, caller: Caller, document: IngestRequest) -> DocumentReceipt:
        return await self._documents.add(await self._context(caller, self._ingest_timeout), document)

    async def list(self, caller: Caller, after: str, limit: int) -> DocumentPage:
        return await self._documents.list(await self._context(caller, self._timeout), after, limit)

    async def get(self, caller: Caller, document_id: str) -> DocumentInfo:
        return await self._documents.get(await self._context(caller, self._timeout), document_id)

    async def delete(self, caller: Caller, document_id: str) -> None:
        await self._documents.delete(await self._context(caller, self._timeout), document_id)

    async def search(self, caller: Caller, request: SearchRequest) -> SearchResponse:
        return await self._documents.search(await self._context(caller, self._timeout), request)

    async def _context(self, caller: Caller, within: timedelta) -> TenantContext:
        policy = await self._configs.get(caller.tenant_id)
        if policy is None:
            raise NotFoundError("no such tenant")
        asker = Asker(user_id=caller.principal.name, session_id=caller.request_id)
        return self._contexts.build(policy, caller, asker, within)
