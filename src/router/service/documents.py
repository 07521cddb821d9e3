"""Documents and search: the RAG service does the work, the router says for whom."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

from contracts.context import Role, TenantContext
from contracts.errors import DependencyDownError
from contracts.retrieval import (
    ChunkInfo,
    ChunkPage,
    DocumentInfo,
    DocumentPage,
    DocumentReceipt,
    DocumentState,
    IngestRequest,
    Passage,
    SearchRequest,
    SearchResponse,
)
from router.domain.caller import Caller
from router.ports import Documents
from router.service.contexts import Asker, ContextFactory
from router.service.guarding import Guarding
from tenancy.audit import Deed
from tenancy.ports import AuditLog

Quoted = TypeVar("Quoted", Passage, ChunkInfo)

WITHDRAWAL = timedelta(seconds=40)
PAUSES_S = (0.2, 1.0)
"""Between the tries of an audit event, each of which is bounded by its store."""
_WRITERS = {Role.TENANT_ADMIN, Role.PLATFORM_ADMIN, Role.SERVICE}
"""Who may write documents sees them as they are. Others see no more of them than an answer would say."""


class DocumentService:
    """What changes a tenant's documents is written into its audit log: ids and counts, never a text."""

    def __init__(
        self,
        documents: Documents,
        contexts: ContextFactory,
        audit: AuditLog,
        guarding: Guarding,
        *,
        timeout: timedelta,
        ingest_timeout: timedelta,
    ) -> None:
        self._documents = documents
        self._contexts = contexts
        self._audit = audit
        self._guarding = guarding
        self._timeout = timeout
        self._ingest_timeout = ingest_timeout

    async def add(self, caller: Caller, document: IngestRequest) -> DocumentReceipt:
        receipt = await self._documents.add(self._context(caller, self._ingest_timeout), document)
        details: dict[str, int | str] = {"seq": receipt.seq, "chunks": receipt.chunks}
        if receipt.state != "ready":
            details["state"] = receipt.state
        await self._note(caller, "document.put", receipt.document_id, details)
        return receipt

    async def list(self, caller: Caller, after: str, limit: int, state: DocumentState | None) -> DocumentPage:
        page = await self._documents.list(self._context(caller, self._timeout), after, limit, state)
        return page.model_copy(update={"items": [await self._described(caller, one) for one in page.items]})

    async def get(self, caller: Caller, document_id: str) -> DocumentInfo:
        found = await self._documents.get(self._context(caller, self._timeout), document_id)
        return await self._described(caller, found)

    async def chunks(self, caller: Caller, document_id: str, after: int, limit: int) -> ChunkPage:
        page = await self._documents.chunks(self._context(caller, self._timeout), document_id, after, limit)
        if caller.principal.role in _WRITERS:
            return page
        return page.model_copy(update={"items": [await self._quoted(caller, one) for one in page.items]})

    async def delete(self, caller: Caller, document_id: str) -> None:
        """One that is being committed is waited for."""
        await self._documents.delete(self._context(caller, self._timeout + WITHDRAWAL), document_id)
        await self._note(caller, "document.delete", document_id, {})

    async def search(self, caller: Caller, request: SearchRequest) -> SearchResponse:
        found = await self._documents.search(self._context(caller, self._timeout), request)
        if caller.principal.role in _WRITERS:
            return found
        return SearchResponse(passages=[await self._quoted(caller, one) for one in found.passages])

    async def _quoted(self, caller: Caller, one: Quoted) -> Quoted:
        """Under the output rules of the caller's tenant."""
        told = {
            name: await self._guarding.quoted(caller.policy, getattr(one, name))
            for name in ("title", "heading", "text")
            if name in type(one).model_fields
        }
        return one.model_copy(update=told)

    async def _described(self, caller: Caller, one: DocumentInfo) -> DocumentInfo:
        if caller.principal.role in _WRITERS:
            return one
        told = {name: await self._guarding.quoted(caller.policy, getattr(one, name)) for name in ("title", "filename")}
        return one.model_copy(update=told | {"metadata": await self._value(caller, one.metadata)})

    async def _value(self, caller: Caller, value: Any) -> Any:
        """Of metadata. Names stay: they are the tenant's own fields."""
        match value:
            case str():
                return await self._guarding.quoted(caller.policy, value)
            case dict():
                return {name: await self._value(caller, item) for name, item in value.items()}
            case list():
                return [await self._value(caller, item) for item in value]
        return value

    async def _note(self, caller: Caller, action: str, document_id: str, details: dict[str, int | str]) -> None:
        """Tried again, as what it tells of is committed. Where it fails for good the client gets the error, and the
        same request again writes the event."""
        deed = Deed(caller.actor(), action, f"document/{document_id}", details=details)
        for pause in PAUSES_S:
            with suppress(DependencyDownError):
                await self._audit.append(caller.tenant_id, deed, born=caller.born)
                return
            await asyncio.sleep(pause)
        await self._audit.append(caller.tenant_id, deed, born=caller.born)

    def _context(self, caller: Caller, within: timedelta) -> TenantContext:
        asker = Asker(user_id=caller.principal.name, session_id=caller.request_id)
        return self._contexts.build(caller, asker, within)
