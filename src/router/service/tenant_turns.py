"""How many of one tenant's operations of a kind a router does at once, beside `/chat`, which has limits of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from contracts.errors import OverloadedError, RateLimitedError
from contracts.tenant import TenantId
from observability import names
from observability.metrics import Metrics
from router.domain.access import Permission
from servicekit.tenant_slots import TenantSlots


@dataclass(frozen=True, slots=True)
class Kind:
    """`limit` names it in a 429, `what` in words. `waiting` operations wait for their turn, `wait_s` at most."""

    limit: str
    what: str
    at_once: int
    waiting: int
    wait_s: float


ADMINISTRATIVE = Kind("admin_concurrency", "administrative operations", at_once=4, waiting=64, wait_s=2.0)
"""Four of the ten connections to the database: one tenant's admins never have them all."""
READING = Kind("search_concurrency", "searches and reads of documents", at_once=16, waiting=256, wait_s=5.0)
WRITING = Kind("upload_concurrency", "uploads and deletions of documents", at_once=4, waiting=32, wait_s=60.0)
"""An upload may take minutes of the embedding model, and holds its file in memory while it waits."""

KINDS: Mapping[Permission, Kind] = {
    Permission.CONFIG_READ: ADMINISTRATIVE,
    Permission.CONFIG_WRITE: ADMINISTRATIVE,
    Permission.KEYS: ADMINISTRATIVE,
    Permission.AUDIT_READ: ADMINISTRATIVE,
    Permission.EXPORT: ADMINISTRATIVE,
    Permission.SESSIONS_READ: ADMINISTRATIVE,
    Permission.SESSIONS_DELETE: ADMINISTRATIVE,
    Permission.SEARCH: READING,
    Permission.DOCUMENTS_READ: READING,
    Permission.DOCUMENTS_WRITE: WRITING,
}


class TenantTurns:
    def __init__(self, metrics: Metrics, kinds: Mapping[Permission, Kind] = KINDS) -> None:
        self._metrics = metrics
        self._kinds = kinds
        self._slots = {kind: TenantSlots(kind.at_once, waiting=kind.waiting) for kind in kinds.values()}

    @asynccontextmanager
    async def held(self, tenant_id: TenantId, permission: Permission) -> AsyncIterator[None]:
        """For as long as the operation takes. Raises RateLimitedError where the tenant's others take too long."""
        kind = self._kinds.get(permission)
        async with AsyncExitStack() as stack:
            if kind is not None:
                await self._enter(stack, kind, tenant_id)
            yield

    async def _enter(self, stack: AsyncExitStack, kind: Kind, tenant_id: TenantId) -> None:
        try:
            await stack.enter_async_context(self._slots[kind].held(tenant_id, within_s=kind.wait_s))
        except (TimeoutError, OverloadedError) as error:
            self._metrics.count(names.THROTTLED_COUNT, tenant=str(tenant_id), reason=kind.limit)
            raise RateLimitedError(
                f"{kind.at_once} {kind.what} of this tenant are under way",
                details={"limit": kind.limit, "value": kind.at_once},
                retry_after_s=1,
            ) from error
