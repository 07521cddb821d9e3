"""What a deleted tenant leaves in the memory of the RAG service."""

from __future__ import annotations

from datetime import timedelta

from contracts.tenant import TenantId
from router.ports import Documents
from router.service.contexts import ContextFactory
from tenancy.audit import Actor

_PATIENCE = timedelta(seconds=30)
_WHO = Actor("deletion", "service", request_id="deletion")


class IndexTraces:
    """The index in the memory of one replica of the RAG service. The others cannot use theirs: every search compares
    the tenant's row first, and of a tenant that is gone there is none."""

    name = "faiss.vectors"

    def __init__(self, documents: Documents, contexts: ContextFactory) -> None:
        self._documents = documents
        self._contexts = contexts

    async def remove(self, tenant_id: TenantId) -> int:
        return await self._documents.unload(self._contexts.for_platform(tenant_id, _WHO, _PATIENCE))

    async def count(self, tenant_id: TenantId) -> int:
        return await self._documents.loaded(self._contexts.for_platform(tenant_id, _WHO, _PATIENCE))
