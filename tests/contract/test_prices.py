"""The price list: the store in memory and the one in PostgreSQL keep the same promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from contracts.errors import PreconditionFailedError
from router.adapters.memory_prices import MemoryPriceStore
from router.adapters.postgres_prices import PostgresPriceStore
from router.domain.pricing import Price
from router.ports import PriceStore
from support.postgres import Addresses
from support.tenants import ALICE, opened
from tenancy.memory_audit import MemoryAuditLog
from tenancy.ports import AuditLog
from tenancy.postgres_audit import PostgresAuditLog

FIRST = {"*": Price(100, 100, 400)}


class World(NamedTuple):
    prices: PriceStore
    audit: AuditLog


@pytest.fixture(params=["memory", "postgres"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        log = MemoryAuditLog()
        yield World(MemoryPriceStore(log), log)
        return
    async with opened(request.getfixturevalue("own_database").url) as database:
        yield World(PostgresPriceStore(database), PostgresAuditLog(database))


async def test_the_first_version_is_made_once_by_however_many_routers(world: World) -> None:
    assert await world.prices.latest() is None
    found = await asyncio.gather(*(world.prices.seed(FIRST, "settings") for _ in range(5)))
    assert {listed.version for listed in found} == {1}
    assert await world.prices.seed({"*": Price(9, 9, 9)}, "settings") == found[0]
    assert (found[0].prices, found[0].author) == (FIRST, "settings")
    assert await world.prices.latest() == await world.prices.version(1) == found[0]
    assert await world.audit.recent(None, before=None, limit=9) == []


async def test_a_new_version_is_a_whole_list_with_its_audit_event(world: World) -> None:
    first = await world.prices.seed(FIRST, "settings")
    second = await world.prices.add({"*": Price(1, 2, 3), "big/model": Price(4, 5, 6)}, by=ALICE)
    third = await world.prices.add({"*": Price(7, 7, 7)}, by=ALICE)
    assert (second.version, second.of("big/model"), third.of("big/model")) == (2, Price(4, 5, 6), Price(7, 7, 7))
    assert first.valid_from <= second.valid_from <= third.valid_from
    assert await world.prices.latest() == third
    assert await world.prices.version(2) == second
    assert await world.prices.version(4) is None
    assert list(await world.prices.versions(before=None, limit=2)) == [third, second]
    assert list(await world.prices.versions(before=2, limit=2)) == [first]
    events = await world.audit.page(None, after=0, limit=9)
    assert [(event.action, event.resource, event.actor) for event in events] == [
        ("prices.write", "prices/2", "alice"),
        ("prices.write", "prices/3", "alice"),
    ]
    assert events[0].as_json()["details"] == {"models": {"*": [1, 2, 3], "big/model": [4, 5, 6]}}


async def test_who_read_an_older_version_is_told(world: World) -> None:
    await world.prices.seed(FIRST, "settings")
    await world.prices.add(FIRST, by=ALICE, expected=frozenset({1, 9}))
    with pytest.raises(PreconditionFailedError):
        await world.prices.add(FIRST, by=ALICE, expected=frozenset({1}))
    assert len(await world.prices.versions(before=None, limit=9)) == 2


async def test_writers_at_once_make_versions_one_after_the_other(world: World) -> None:
    found = await asyncio.gather(*(world.prices.add({"*": Price(n, n, n)}, by=ALICE) for n in range(8)))
    assert sorted(listed.version for listed in found) == list(range(1, 9))


async def test_a_version_is_never_changed_and_only_the_platform_sees_it(own_database: Addresses) -> None:
    async with opened(own_database.url) as database:
        await PostgresPriceStore(database).seed(FIRST, "settings")
        for statement in ("UPDATE prices SET prompt = 0", "DELETE FROM prices"):
            with pytest.raises(DBAPIError, match="permission denied"):
                async with database.platform() as connection:
                    await connection.execute(text(statement))
        async with database.no_tenant() as connection:
            assert (await connection.execute(text("SELECT * FROM prices"))).all() == []
