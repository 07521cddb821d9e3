"""The audit log: a tenant's, and the platform's own."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from contracts.tenant import TenantId
from router.api.dependencies import CallerDep, ServicesDep
from router.service.audit import AuditService
from servicekit.problems import OPENAPI_ERRORS

api = APIRouter(tags=["audit"], responses=OPENAPI_ERRORS)

Limit = Annotated[int, Query(ge=1, le=1_000)]
Before = Annotated[int | None, Query(ge=1, le=2**62, description="newest first, those below this seq")]
After = Annotated[int | None, Query(ge=0, le=2**62, description="oldest first, those behind this seq")]


class AuditItem(BaseModel):
    """`hash` is SHA-256 over `prev_hash`, a line feed, and the other fields as JSON with sorted keys and no spaces.
    `details` is text where it is no JSON any more: somebody has changed it."""

    tenant_id: TenantId | None
    seq: int
    at: str
    actor: str
    role: str
    address: str
    request_id: str
    action: str
    resource: str
    before_hash: str | None
    after_hash: str | None
    details: dict[str, Any] | str
    prev_hash: str
    hash: str


class ChainHead(BaseModel):
    seq: int
    hash: str


class AuditPage(BaseModel):
    """`next` goes into `after` if that was given, else into `before`; null on the last page."""

    items: list[AuditItem]
    next: int | None
    head: ChainHead


@api.get("/tenant/{tenant_id}/audit")
async def tenant_audit(
    caller: CallerDep, found: ServicesDep, before: Before = None, after: After = None, limit: Limit = 100
) -> AuditPage:
    """Who changed what, when, from where: newest first, or oldest first with `after`."""
    return await _page(found.audit, caller.tenant_id, before, after, limit, caller.born)


@api.get("/audit")
async def platform_audit(
    found: ServicesDep, before: Before = None, after: After = None, limit: Limit = 100
) -> AuditPage:
    """The platform's own chain: its keys, and the receipts of deleted tenants."""
    return await _page(found.audit, None, before, after, limit)


async def _page(
    audit: AuditService,
    tenant_id: TenantId | None,
    before: int | None,
    after: int | None,
    limit: int,
    born: datetime | None = None,
) -> AuditPage:
    # The head first: events that are added meanwhile are behind it, none before it can be missing.
    head = await audit.head(tenant_id, born=born)
    if after is not None:
        events = await audit.page(tenant_id, after=after, limit=limit, born=born)
    else:
        events = await audit.recent(tenant_id, before=before, limit=limit, born=born)
    more = len(events) == limit and (after is not None or events[-1].seq > 1)
    return AuditPage(
        items=[AuditItem(**event.as_json()) for event in events],
        next=events[-1].seq if more else None,
        head=ChainHead(seq=head.seq, hash=head.hash),
    )
