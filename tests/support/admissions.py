"""The admission script with a clock that the test turns: the line that asks for the time is exchanged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from contracts.tenant import TenantId
from stores.valkey import Script, Valkey

_TIME = "local time = call('TIME')"
MONTH, NEXT_MONTH = "2026-10", "2026-11"
MOMENT_US = 1_792_000_000_000_000
"""14 October 2026."""


class TurnedValkey(Valkey):
    def __init__(self, url: str, clock_us: Callable[[], int]) -> None:
        super().__init__(url)
        self._clock_us = clock_us
        self._redis = Redis.from_url(url)

    def script(self, path: Path) -> TurnedScript:
        source = path.read_text(encoding="utf-8")
        assert source.count(_TIME) == 1
        return TurnedScript(
            self._redis, source.replace(_TIME, "local time = { ARGV[#ARGV - 1], ARGV[#ARGV] }"), self._clock_us
        )

    async def close(self) -> None:
        await self._redis.aclose()
        await super().close()


class TurnedScript(Script):
    def __init__(self, client: Redis, source: str, clock_us: Callable[[], int]) -> None:
        super().__init__(client, source)
        self._clock_us = clock_us

    async def __call__(self, tenant_id: TenantId, keys: Sequence[tuple[str, ...]], args: Sequence[int | str]) -> Any:
        return await super().__call__(tenant_id, keys, [*args, *divmod(self._clock_us(), 1_000_000)])
