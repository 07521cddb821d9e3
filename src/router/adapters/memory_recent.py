"""Recent requests in memory: for tests, and for one process alone."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from contracts.tenant import TenantId
from router.domain.recent_request import MAX_KEPT, RecentRequest


@dataclass(slots=True)
class _Kept:
    expires_at: float
    requests: deque[RecentRequest] = field(default_factory=lambda: deque(maxlen=MAX_KEPT))


class MemoryRecentRequests:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[TenantId, _Kept] = {}

    async def note(self, tenant_id: TenantId, request: RecentRequest, *, keep_for: timedelta) -> None:
        kept = self._live(tenant_id)
        kept.expires_at = self._clock() + keep_for.total_seconds()
        kept.requests.appendleft(request.shortened())
        while kept.requests[-1].at < request.at - keep_for:
            kept.requests.pop()

    async def last(self, tenant_id: TenantId, count: int, *, not_older_than: datetime) -> list[RecentRequest]:
        newest = list(self._live(tenant_id).requests)[:count]
        return [request for request in newest if request.at >= not_older_than]

    async def forget(self, tenant_id: TenantId) -> None:
        self._kept.pop(tenant_id, None)

    def _live(self, tenant_id: TenantId) -> _Kept:
        kept = self._kept.get(tenant_id)
        if kept is None or kept.expires_at <= self._clock():
            kept = self._kept[tenant_id] = _Kept(self._clock())
        return kept
