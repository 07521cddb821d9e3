"""Valkey (or Redis 7+): one client a process, keys built from a TenantId, failures turned into one error."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId

TIMEOUT_S = 0.5
"""One exchange with the server."""
CALL_TIMEOUT_S = 2.0
"""One call in all: waiting for a connection, connecting, sending a script that the server does not have yet."""


def tenant_key(tenant_id: TenantId, *parts: str) -> str:
    """`atrium:{t1}:rate:requests_per_minute`. The braces keep all keys of a tenant in one cluster slot."""
    return ":".join((f"atrium:{{{tenant_id}}}", *parts))


class Valkey:
    """No call takes longer than two seconds, and none is retried: the caller's mode for an outage decides.

    More callers than connections wait for one, within that time.
    """

    def __init__(self, url: str, *, max_connections: int = 50) -> None:
        pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
            url,
            max_connections=max_connections,
            timeout=CALL_TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._client: Redis = Redis.from_pool(pool)

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
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await self._script(keys=[tenant_key(tenant_id, *parts) for parts in keys], args=list(args))
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            raise DependencyDownError(
                "Valkey is out of reach", details={"dependency": "valkey"}, retry_after_s=1
            ) from error
