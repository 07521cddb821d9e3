"""Valkey (or Redis 7+): one client a process, keys built from a TenantId, failures turned into one error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId

TIMEOUT_S = 0.5


def tenant_key(tenant_id: TenantId, *parts: str) -> str:
    """`atrium:{t1}:rate:minute`. The braces keep all keys of a tenant in one cluster slot."""
    return ":".join((f"atrium:{{{tenant_id}}}", *parts))


class Valkey:
    """No call waits longer than half a second, and none is retried: the caller's mode for an outage decides."""

    def __init__(self, url: str, *, max_connections: int = 100) -> None:
        self._client: Redis = Redis.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            max_connections=max_connections,
            retry=Retry(NoBackoff(), 0),
        )

    def script(self, path: Path) -> Script:
        """A Lua script that Valkey runs as one atomic step; sent once, then called by its hash."""
        return Script(self._client, path.read_text(encoding="utf-8"))

    async def check(self) -> None:
        """For `/readyz`: raises when Valkey does not answer."""
        await self._client.ping()

    async def close(self) -> None:
        await self._client.aclose()


class Script:
    def __init__(self, client: Redis, source: str) -> None:
        self._script = client.register_script(source)

    async def __call__(self, tenant_id: TenantId, keys: Sequence[tuple[str, ...]], args: Sequence[int | str]) -> Any:
        """Run for one tenant; `keys` are the parts behind the tenant's prefix.

        Raises DependencyDownError when Valkey is out of reach.
        """
        try:
            return await self._script(keys=[tenant_key(tenant_id, *parts) for parts in keys], args=list(args))
        except (RedisError, OSError) as error:
            raise DependencyDownError("the limit store is out of reach", retry_after_s=1) from error
