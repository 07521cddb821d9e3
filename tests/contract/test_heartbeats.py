"""The routers' heartbeats: in Valkey and in memory alike."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest

from contracts.errors import DependencyDownError
from router.adapters.memory_heartbeats import MemoryHeartbeats
from router.adapters.valkey_heartbeats import ValkeyHeartbeats
from router.domain.pool_share import Demand
from router.ports import Heartbeats
from stores.valkey import Valkey
from support.server import free_port

LIVES_S = 0.5
BUSY = {"pooled": Demand(3, 7, 1.5), "big": Demand()}


@pytest.fixture
async def valkey(valkey_url: str) -> AsyncIterator[Valkey]:
    valkey = Valkey(valkey_url)
    yield valkey
    await valkey.close()


@pytest.fixture(params=["memory", "valkey"])
async def heartbeats(request: pytest.FixtureRequest) -> AsyncIterator[Heartbeats]:
    if request.param == "memory":
        yield MemoryHeartbeats(lives_s=LIVES_S)
        return
    valkey = Valkey(request.getfixturevalue("valkey_url"))
    yield ValkeyHeartbeats(valkey, lives_s=LIVES_S)
    await valkey.close()


@pytest.fixture
def ids() -> tuple[str, str]:
    """Of this test alone: the store is shared, and forgets them by itself."""
    return f"a-{secrets.token_hex(4)}", f"b-{secrets.token_hex(4)}"


async def test_each_hears_what_the_others_told_last(heartbeats: Heartbeats, ids: tuple[str, str]) -> None:
    one, other = ids
    await heartbeats.beat(one, {})
    await heartbeats.beat(one, BUSY)
    heard = await heartbeats.beat(other, {"pooled": Demand(1, 0, 2.0)})
    assert heard[one] == BUSY
    assert heard[other] == {"pooled": Demand(1, 0, 2.0)}


async def test_who_leaves_is_gone_at_once(heartbeats: Heartbeats, ids: tuple[str, str]) -> None:
    one, other = ids
    await heartbeats.beat(one, BUSY)
    await heartbeats.leave(one)
    assert one not in await heartbeats.beat(other, {})
    await heartbeats.leave(one)


async def test_who_falls_silent_is_gone_after_its_time(heartbeats: Heartbeats, ids: tuple[str, str]) -> None:
    one, other = ids
    await heartbeats.beat(one, BUSY)
    await asyncio.sleep(LIVES_S / 2)
    assert one in await heartbeats.beat(other, {})
    await asyncio.sleep(LIVES_S / 2 + 0.05)
    assert set(await heartbeats.beat(other, {})) & {one, other} == {other}


async def test_a_beat_of_another_version_is_a_router_without_demand(valkey: Valkey, ids: tuple[str, str]) -> None:
    one, other = ids
    for text in ("not json", "[]", '{"pooled": 7}', '{"pooled": [1]}'):
        await valkey.beat(one, text, lives_s=LIVES_S)
        assert (await ValkeyHeartbeats(valkey, lives_s=LIVES_S).beat(other, {}))[one] == {}


async def test_an_outage_is_told() -> None:
    valkey = Valkey(f"redis://127.0.0.1:{free_port()}")
    heartbeats = ValkeyHeartbeats(valkey)
    with pytest.raises(DependencyDownError):
        await heartbeats.beat("a", {})
    with pytest.raises(DependencyDownError):
        await heartbeats.leave("a")
    await valkey.close()
