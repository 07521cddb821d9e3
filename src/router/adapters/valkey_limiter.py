"""The rate limiter in Valkey: one Lua script, one round trip a request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contracts.tenant import TenantId
from router.domain.limits import BUCKETS_PER_WINDOW, Decision, Window, WindowState
from stores.valkey import Valkey

_SCRIPT = Path(__file__).with_name("sliding_windows.lua")
_MICRO = 1_000_000


class ValkeyLimiter:
    """While Valkey is down requests are refused with 503 (DependencyDownError): closed, within half a second."""

    def __init__(self, valkey: Valkey) -> None:
        self._script = valkey.script(_SCRIPT)

    async def take(self, tenant_id: TenantId, windows: Sequence[Window]) -> Decision:
        keys = [("rate", window.name) for window in windows]
        args: list[int] = []
        for window in windows:
            length = window.seconds * _MICRO
            args += [window.limit, length, length // BUCKETS_PER_WINDOW]
        full, wait, *rest = await self._script(tenant_id, keys, args)
        states = tuple(
            WindowState(window, remaining, reset / _MICRO)
            for window, remaining, reset in zip(windows, rest[::2], rest[1::2], strict=True)
        )
        if not full:
            return Decision(states)
        return Decision(states, windows[full - 1], wait / _MICRO)
