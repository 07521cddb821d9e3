"""The rate limiter in memory: the same rule as the Lua script, for tests and for one process alone."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from contracts.tenant import TenantId
from router.domain.limits import Decision, Window
from router.domain.sliding_windows import SlidingWindows


class MemoryLimiter:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tenants: defaultdict[TenantId, SlidingWindows] = defaultdict(SlidingWindows)

    async def take(self, tenant_id: TenantId, windows: Sequence[Window]) -> Decision:
        return self._tenants[tenant_id].take(windows, self._clock())
