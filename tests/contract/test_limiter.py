"""Rate limits: the Lua script in Valkey and its twin in memory admit exactly what the limit allows."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator

import pytest

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from router.adapters.memory_limiter import MemoryLimiter
from router.adapters.valkey_limiter import ValkeyLimiter
from router.domain.limits import Window
from router.ports import RateLimiter
from stores.valkey import Valkey

SHORT = Window("short", 3, 1)
LONG = Window("long", 5, 600)


@pytest.fixture(params=["memory", "valkey"])
async def limiter(request: pytest.FixtureRequest) -> AsyncIterator[RateLimiter]:
    if request.param == "memory":
        yield MemoryLimiter()
        return
    valkey = Valkey(request.getfixturevalue("valkey_url"))
    yield ValkeyLimiter(valkey)
    await valkey.close()


@pytest.fixture
def tenant() -> TenantId:
    return TenantId(f"c-{secrets.token_hex(6)}")


async def test_a_burst_admits_exactly_the_limit(limiter: RateLimiter, tenant: TenantId) -> None:
    decisions = await asyncio.gather(*(limiter.take(tenant, [LONG]) for _ in range(500)))
    assert sum(decision.allowed for decision in decisions) == LONG.limit


async def test_waiting_as_told_succeeds(limiter: RateLimiter, tenant: TenantId) -> None:
    for _ in range(SHORT.limit):
        assert (await limiter.take(tenant, [SHORT])).allowed
    refused = await limiter.take(tenant, [SHORT])
    assert refused.refused_by == SHORT
    assert 0 < refused.retry_after_s <= SHORT.seconds * (1 + 1 / 60)
    await asyncio.sleep(refused.retry_after_s)
    assert (await limiter.take(tenant, [SHORT])).allowed


async def test_a_refused_request_counts_in_no_window(limiter: RateLimiter, tenant: TenantId) -> None:
    for _ in range(10):
        last = await limiter.take(tenant, [SHORT, LONG])
    assert last.refused_by == SHORT
    assert [state.remaining for state in last.states] == [0, LONG.limit - SHORT.limit]


async def test_the_longest_wait_is_the_one_told(limiter: RateLimiter, tenant: TenantId) -> None:
    for _ in range(LONG.limit):
        await limiter.take(tenant, [LONG])
    for _ in range(SHORT.limit):
        await limiter.take(tenant, [SHORT])
    refused = await limiter.take(tenant, [SHORT, LONG])
    assert refused.refused_by == LONG
    assert 500 < refused.retry_after_s <= 610


async def test_tenants_do_not_share_a_window(limiter: RateLimiter, tenant: TenantId) -> None:
    for _ in range(LONG.limit):
        await limiter.take(tenant, [LONG])
    assert not (await limiter.take(tenant, [LONG])).allowed
    for other in (f"{tenant}-x", str(tenant)[:-1]):
        assert (await limiter.take(TenantId(other), [LONG])).allowed


async def test_the_headers_tell_the_tightest_window(limiter: RateLimiter, tenant: TenantId) -> None:
    decision = await limiter.take(tenant, [SHORT, LONG])
    headers = decision.headers()
    assert (headers["ratelimit-limit"], headers["ratelimit-remaining"]) == ("3", "2")
    assert 1 <= int(headers["ratelimit-reset"]) <= 2


async def test_a_lowered_limit_holds_at_once(limiter: RateLimiter, tenant: TenantId) -> None:
    for _ in range(4):
        await limiter.take(tenant, [LONG])
    refused = await limiter.take(tenant, [Window("long", 2, 600)])
    assert not refused.allowed
    assert refused.states[0].remaining == 0


async def test_a_valkey_that_hangs_costs_two_seconds_and_no_more(tenant: TenantId) -> None:
    """A listener that never accepts: connecting succeeds, no answer ever comes."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        valkey = Valkey(f"redis://127.0.0.1:{silent.getsockname()[1]}")
        async with asyncio.timeout(4):
            with pytest.raises(DependencyDownError):
                await ValkeyLimiter(valkey).take(tenant, [SHORT])
        await valkey.close()


async def test_without_valkey_the_answer_is_a_stated_error_and_soon(tenant: TenantId) -> None:
    valkey = Valkey("unix:///nonexistent/valkey.sock")
    async with asyncio.timeout(2):
        with pytest.raises(DependencyDownError):
            await ValkeyLimiter(valkey).take(tenant, [SHORT])
    await valkey.close()
