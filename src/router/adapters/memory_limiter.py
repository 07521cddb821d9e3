"""The rate limiter in memory: the same rule as the Lua script, for tests and for one process alone."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

from contracts.tenant import TenantId
from router.domain.limits import BUCKETS_PER_WINDOW, Decision, Window, WindowState


class MemoryLimiter:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: dict[tuple[TenantId, str], Counter[int]] = {}

    async def take(self, tenant_id: TenantId, windows: Sequence[Window]) -> Decision:
        now = self._clock()
        refused: Window | None = None
        wait = 0.0
        for window in windows:
            until_free = self._until_free(tenant_id, window, now)
            if until_free > wait:
                refused, wait = window, until_free
        if refused is None:
            for window in windows:
                self._buckets(tenant_id, window, now)[int(now // _step(window))] += 1
        states = tuple(self._state(tenant_id, window, now) for window in windows)
        return Decision(states, refused, wait)

    def _buckets(self, tenant_id: TenantId, window: Window, now: float) -> Counter[int]:
        buckets = self._counts.setdefault((tenant_id, window.name), Counter())
        oldest = (now - window.seconds) // _step(window)
        for bucket in [bucket for bucket in buckets if bucket < oldest]:
            del buckets[bucket]
        return buckets

    def _until_free(self, tenant_id: TenantId, window: Window, now: float) -> float:
        buckets = self._buckets(tenant_id, window, now)
        needed = buckets.total() - window.limit + 1
        for bucket in sorted(buckets):
            if needed <= 0:
                break
            needed -= buckets[bucket]
            if needed <= 0:
                return (bucket + 1) * _step(window) + window.seconds - now
        return 0.0

    def _state(self, tenant_id: TenantId, window: Window, now: float) -> WindowState:
        buckets = self._buckets(tenant_id, window, now)
        reset = (min(buckets) + 1) * _step(window) + window.seconds - now if buckets else 0.0
        return WindowState(window, max(0, window.limit - buckets.total()), reset)


def _step(window: Window) -> float:
    return window.seconds / BUCKETS_PER_WINDOW
