"""How many administrative operations of one tenant a router does at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from contracts.errors import OverloadedError, RateLimitedError
from contracts.tenant import TenantId
from observability import names
from observability.metrics import Metrics
from router.domain.access import ADMINISTRATIVE, Permission
from servicekit.tenant_slots import TenantSlots

AT_ONCE = 4
"""Of the ten connections to the database: one tenant's admins never have them all."""
WAIT_S = 2.0
MAX_WAITING = 64
LIMIT = "admin_concurrency"


class AdminTurns:
    def __init__(self, metrics: Metrics, *, at_once: int = AT_ONCE, wait_s: float = WAIT_S) -> None:
        self._metrics = metrics
        self._slots = TenantSlots(at_once, waiting=MAX_WAITING)
        self._at_once = at_once
        self._wait_s = wait_s

    @asynccontextmanager
    async def held(self, tenant_id: TenantId, permission: Permission) -> AsyncIterator[None]:
        """For as long as the operation takes. Raises RateLimitedError where the tenant's others take too long."""
        if permission not in ADMINISTRATIVE:
            yield
            return
        async with AsyncExitStack() as stack:
            await self._enter(stack, tenant_id)
            yield

    async def _enter(self, stack: AsyncExitStack, tenant_id: TenantId) -> None:
        try:
            await stack.enter_async_context(self._slots.held(tenant_id, within_s=self._wait_s))
        except (TimeoutError, OverloadedError) as error:
            self._metrics.count(names.THROTTLED_COUNT, reason=LIMIT)
            raise RateLimitedError(
                f"{self._at_once} administrative operations of this tenant are under way",
                details={"limit": LIMIT, "value": self._at_once},
                retry_after_s=1,
            ) from error
