"""What a tenant has, as members of its export: each read page by page from whoever keeps it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from contracts.tenant import TenantId
from router.ports import Documents
from router.service.contexts import ContextFactory
from tenancy.audit import Actor
from tenancy.conversations import Conversations
from tenancy.ports import AuditLog, KeyStore, TenantStore
from tenancy.usage_ports import Ledger

_PAGE = 200
_PATIENCE = timedelta(seconds=60)
_WHO = Actor("export", "service", request_id="export")


class ConfigRows:
    """Every version, newest first."""

    name = "config_versions"

    def __init__(self, store: TenantStore) -> None:
        self._store = store

    async def rows(self, tenant_id: TenantId, born: datetime) -> AsyncIterator[Mapping[str, Any]]:
        before = None
        while entries := await self._store.versions(tenant_id, before=before, limit=_PAGE, born=born):
            for entry in entries:
                yield asdict(entry)
            before = entries[-1].version


class KeyRows:
    """What may be shown of the keys: not their hashes."""

    name = "keys"

    def __init__(self, store: KeyStore) -> None:
        self._store = store

    async def rows(self, tenant_id: TenantId, born: datetime) -> AsyncIterator[Mapping[str, Any]]:
        for key in await self._store.list(tenant_id, born=born):
            yield asdict(key)


class DocumentRows:
    """Every document with its text in passages, which overlap: `start` and `end` say where each belongs."""

    name = "documents"

    def __init__(self, documents: Documents, contexts: ContextFactory) -> None:
        self._documents = documents
        self._contexts = contexts

    async def rows(self, tenant_id: TenantId, born: datetime) -> AsyncIterator[Mapping[str, Any]]:
        after: str | None = ""
        while after is not None:
            context = self._contexts.for_platform(tenant_id, _WHO, _PATIENCE, born=born)
            page = await self._documents.list(context, after, _PAGE)
            for document in page.items:
                context = self._contexts.for_platform(tenant_id, _WHO, _PATIENCE, born=born)
                passages = await self._documents.passages(context, document.document_id)
                yield {**document.model_dump(), "passages": [passage.model_dump() for passage in passages]}
            after = page.next


class AuditRows:
    """The audit log, oldest first: `atrium audit verify --file` checks its chain."""

    name = "audit"

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    async def rows(self, tenant_id: TenantId, born: datetime) -> AsyncIterator[Mapping[str, Any]]:
        after = 0
        while events := await self._log.page(tenant_id, after=after, limit=_PAGE, born=born):
            for event in events:
                yield event.as_json()
            after = events[-1].seq


class UsageRows:
    """Every event of the ledger, in order of its id; one that is open has no outcome yet."""

    name = "usage"

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def rows(self, tenant_id: TenantId, born: datetime) -> AsyncIterator[Mapping[str, Any]]:
        after = ""
        while page := await self._ledger.rows(tenant_id, after=after, limit=_PAGE, born=born):
            for row in page:
                event = asdict(row.event)
                del event["tenant_born"]
                yield {
                    **event,
                    "tenant_id": row.event.tenant_id,
                    "renewed_at": row.renewed_at,
                    "settled_at": row.settled_at,
                }
            after = page[-1].event.event_id


class ConversationRows:
    """Every turn that is kept, in order of user, session and number; with the first of a session that is read, its
    summary."""

    name = "conversations"

    def __init__(self, store: Conversations) -> None:
        self._store = store

    async def rows(self, tenant_id: TenantId, born: datetime) -> AsyncIterator[Mapping[str, Any]]:
        after = ("", "", 0)
        while page := await self._store.rows(tenant_id, after=after, limit=_PAGE, born=born):
            for session, turn in page:
                whose = {"user_id": session.user_id, "session_id": session.session_id}
                first = after[:2] != (session.user_id, session.session_id)
                yield {**whose, **asdict(turn), **({"summary": session.summary} if first and session.summary else {})}
                after = (session.user_id, session.session_id, turn.number)
