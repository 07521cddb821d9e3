"""Old turns are removed: of each tenant those that were asked longer ago than its `retention_days`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from contracts.errors import NotFoundError
from router.domain.policy import Policy
from tenancy.conversations import Conversations, Oldest
from tenancy.live import LiveTenants

EVERY_S = 300.0
TENANTS_AT_ONCE, TURNS_AT_ONCE = 500, 1_000
STEPS = 20
"""Of one tenant in one round: what is left comes in the next, so that no tenant holds up the others."""
PAUSE_S = 0.05


class Retention:
    def __init__(
        self,
        store: Conversations,
        tenants: LiveTenants[Policy],
        now: Callable[[], datetime],
        *,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._store = store
        self._tenants = tenants
        self._now = now
        self._pause_s = pause_s

    async def run(self) -> None:
        """A round over all tenants. Raises DependencyDownError: the next round goes on."""
        after = ""
        while page := await self._store.oldest(after, TENANTS_AT_ONCE):
            for oldest in page:
                with suppress(NotFoundError):  # deleted meanwhile
                    await self._expire(oldest)
            after = str(page[-1].tenant_id)
        await self._store.end_erasures()

    async def _expire(self, oldest: Oldest) -> None:
        policy = await self._tenants.get(oldest.tenant_id)
        if policy is None or policy.revision.born != oldest.born:
            return
        before = self._now() - timedelta(days=policy.config.retention_days)
        for _ in range(STEPS if oldest.at < before else 0):
            removed = await self._store.expire(oldest.tenant_id, before, TURNS_AT_ONCE, born=oldest.born)
            if removed < TURNS_AT_ONCE:
                return
            await asyncio.sleep(self._pause_s)
