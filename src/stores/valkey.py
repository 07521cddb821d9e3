"""Valkey (or Redis 7+): one client a process, keys built from a TenantId, failures turned into one error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
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
QUIET_S = 5.0
"""How long to wait for a message before looking whether the connection still lives."""

_CHANGES = "atrium:changes"
"""A pub/sub channel, not a key: it holds nothing."""
_SCAN = 1_000


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
        self._url = url
        self._client: Redis = Redis.from_pool(pool)

    def script(self, path: Path) -> Script:
        """A Lua script that Valkey runs as one atomic step; sent once, then called by its hash."""
        return Script(self._client, path.read_text(encoding="utf-8"))

    async def tell_change(self, text: str) -> None:
        """To all who listen with `told_changes`. Raises DependencyDownError."""
        with _out_of_reach():
            async with asyncio.timeout(TIMEOUT_S):
                await self._client.publish(_CHANGES, text)

    async def told_changes(self, *, quiet_s: float = QUIET_S) -> AsyncIterator[str]:
        """Each text as it is told, on a connection of its own, until that breaks: raises DependencyDownError.

        A server that says nothing for `quiet_s`, and for as long again after it was asked, counts as broken.
        """
        listener = Redis.from_url(self._url, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0))
        async with listener, listener.pubsub() as channel:
            with _out_of_reach():
                await channel.subscribe(_CHANGES)
            asked = False
            while True:
                with _out_of_reach():
                    message = await channel.get_message(timeout=quiet_s)
                    if message is None:
                        if asked:
                            raise TimeoutError("the server does not answer a ping")
                        async with asyncio.timeout(TIMEOUT_S):
                            await channel.ping()
                    asked = message is None
                if message is not None and message["type"] == "message":
                    yield bytes(message["data"]).decode(errors="replace")

    async def forget_tenant(self, tenant_id: TenantId) -> int:
        """Delete every key of the tenant; returns how many there were. Raises DependencyDownError."""
        removed = 0
        with _out_of_reach():
            async for keys in self._pages(tenant_id):
                removed += await self._client.unlink(*keys)
        return removed

    async def count_keys(self, tenant_id: TenantId) -> int:
        """Keys that the tenant has. Raises DependencyDownError."""
        with _out_of_reach():
            return sum([len(keys) async for keys in self._pages(tenant_id)])

    async def check(self) -> None:
        """For `/readyz`: raises when Valkey does not answer."""
        await self._client.ping()

    async def close(self) -> None:
        await self._client.aclose()

    async def _pages(self, tenant_id: TenantId) -> AsyncIterator[list[bytes]]:
        """The tenant's keys, some at a time; a tenant id has no character that a pattern would read otherwise."""
        cursor = 0
        while True:
            cursor, keys = await self._client.scan(cursor, match=tenant_key(tenant_id, "*"), count=_SCAN)
            if keys:
                yield [key if isinstance(key, bytes) else key.encode() for key in keys]
            if cursor == 0:
                return


class Script:
    def __init__(self, client: Redis, source: str) -> None:
        self._script = client.register_script(source)

    async def __call__(self, tenant_id: TenantId, keys: Sequence[tuple[str, ...]], args: Sequence[int | str]) -> Any:
        """Run for one tenant; `keys` are the parts behind the tenant's prefix.

        Raises DependencyDownError when Valkey is out of reach.
        """
        with _out_of_reach():
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await self._script(keys=[tenant_key(tenant_id, *parts) for parts in keys], args=list(args))


@contextmanager
def _out_of_reach() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:  # TimeoutError is an OSError
        raise DependencyDownError(
            "Valkey is out of reach", details={"dependency": "valkey"}, retry_after_s=1
        ) from error
