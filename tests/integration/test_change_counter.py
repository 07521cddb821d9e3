"""The change counter in PostgreSQL: in the order of commit, for all that routers remember, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import pytest
from sqlalchemy import text

from contracts.context import Role
from contracts.tenant import TenantId
from observability.metrics import NullMetrics
from rag.adapters.postgres_chunks import PostgresChunkStore
from rag.domain.corpus import Chunk, Document
from stores.postgres import Database
from support.announcements import NoAnnouncements
from support.catalog import waits_for_a_lock
from support.postgres import Addresses
from support.tenants import ALICE, TenantStores, opened, postgres_stores
from tenancy.audit import Deed
from tenancy.config import TenantConfig
from tenancy.feed import ChangeFeed
from tenancy.keys import NewKey, new_key
from tenancy.live import LiveKeys, LiveTenants
from tenancy.ports import TenantState
from tenancy.postgres_changes import PostgresChangeLog
from tenancy.postgres_deletions import PostgresDeletionStore

_SUSPEND = text("UPDATE tenants SET state = 'suspended' WHERE tenant_id = :tenant")


class World(NamedTuple):
    database: Database
    stores: TenantStores
    changes: PostgresChangeLog
    deletions: PostgresDeletionStore
    owner_url: str


@pytest.fixture
async def world(own_database: Addresses) -> AsyncIterator[World]:
    """On a database of its own: what changes there is what the test changes."""
    async with opened(own_database.url) as database:
        changes, deletions = PostgresChangeLog(database), PostgresDeletionStore(database)
        yield World(database, postgres_stores(database), changes, deletions, own_database.owner_url)


async def test_two_that_commit_in_the_opposite_order_of_their_writes_are_both_seen(world: World) -> None:
    first, second = await world.stores.add(), await world.stores.add()
    seq = await world.changes.last()
    async with world.database.tenant(first) as early:
        await early.execute(_SUSPEND, {"tenant": str(first)})
        async with world.database.tenant(second) as late:
            await late.execute(_SUSPEND, {"tenant": str(second)})
            assert await world.changes.after(seq) == (seq, [])
        between, told = await world.changes.after(seq)
        assert told == [second]
    assert await world.changes.after(between) == (between + 1, [first])
    assert await world.changes.last() == between + 1


async def test_one_that_has_its_number_is_waited_for_by_those_that_come_after(world: World) -> None:
    """A number is never seen while a smaller one is not: the poller between the two would miss that for good."""
    first, second = await world.stores.add(), await world.stores.add()
    seq = await world.changes.last()
    async with world.database.tenant(first) as early:
        await early.execute(_SUSPEND, {"tenant": str(first)})
        await early.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))  # draws its number now, and commits later
        late = asyncio.create_task(world.stores.tenants.set_state(second, TenantState.SUSPENDED, by=ALICE))
        await waits_for_a_lock(world.owner_url, early)
        assert await world.changes.after(seq) == (seq, [])
    await late
    assert await world.changes.after(seq) == (seq + 2, [first, second])


async def test_a_poller_misses_none_of_many_writers(world: World) -> None:
    tenants = [await world.stores.add() for _ in range(12)]
    seq, told, done = await world.changes.last(), list[TenantId | None](), asyncio.Event()
    start = seq

    async def poll() -> None:
        nonlocal seq
        while True:
            over = done.is_set()
            reached, subjects = await world.changes.after(seq)
            assert reached - seq >= len(subjects)
            seq = reached
            told.extend(subjects)
            if over:
                return

    async def write(tenant: TenantId) -> None:
        for state in (TenantState.SUSPENDED, TenantState.ACTIVE, TenantState.SUSPENDED):
            await world.stores.tenants.set_state(tenant, state, by=ALICE)

    polling = asyncio.create_task(poll())
    await asyncio.gather(*map(write, tenants))
    done.set()
    await polling
    assert set(told) == set(tenants)
    assert seq == start + 3 * len(tenants)


async def test_what_is_rolled_back_is_not_told(world: World) -> None:
    tenant = await world.stores.add()
    seq = await world.changes.last()

    async def broken_off() -> None:
        async with world.database.tenant(tenant) as connection:
            await connection.execute(_SUSPEND, {"tenant": str(tenant)})
            raise ValueError("broken off")

    with pytest.raises(ValueError, match="broken off"):
        await broken_off()
    assert await world.changes.after(seq) == (seq, [])


class Subject(NamedTuple):
    """A tenant with a key and a document, and the platform with two keys."""

    world: World
    tenant: TenantId
    key: NewKey
    platform_key: NewKey

    async def write_config(self) -> None:
        await self.world.stores.tenants.write_config(self.tenant, TenantConfig(), by=ALICE)

    async def suspend(self) -> None:
        await self.world.stores.tenants.set_state(self.tenant, TenantState.SUSPENDED, by=ALICE)

    async def rotate(self) -> None:
        await self._rotate(self.tenant, self.key)

    async def rotate_the_platforms(self) -> None:
        await self._rotate(None, self.platform_key)

    async def revoke(self) -> None:
        await self.world.stores.keys.revoke(self.tenant, self.key.key_id, by=ALICE)

    async def revoke_the_platforms(self) -> None:
        await self.world.stores.keys.revoke(None, self.platform_key.key_id, by=ALICE)

    async def mark(self) -> None:
        await self.world.deletions.begin(self.tenant, by=ALICE)

    async def delete(self) -> None:
        await self.mark()
        while await self.world.deletions.purge(self.tenant, 1):
            pass
        seq = await self.world.changes.last()
        await self.world.deletions.finish(self.tenant, by=ALICE, proof={})
        assert await self.world.changes.after(seq) == (seq + 1, [self.tenant])

    async def upload(self) -> None:
        chunks = [Chunk("c", 0, "text", 0, 4)]
        document = Document("d", "Title", "a.txt", {}, b"h" * 32, 9)
        store = PostgresChunkStore(self.world.database)
        await store.put(self.tenant, document, chunks, np.ones((1, 4), dtype=np.float16), "model")
        await store.delete(self.tenant, "d")

    async def touch(self) -> None:
        await self.world.stores.keys.touch({self.key.key_id: datetime.now(UTC)})

    async def audit(self) -> None:
        await self.world.stores.audit.append(self.tenant, Deed(ALICE, "tenant.export", "tenant"))

    async def add_key(self) -> None:
        await self.world.stores.keys.add(
            self.tenant, new_key(), label="k", role=Role.SERVICE, expires_at=None, by=ALICE
        )

    async def create(self) -> None:
        await self.world.stores.add()

    async def _rotate(self, tenant: TenantId | None, key: NewKey) -> None:
        until = datetime.now(UTC) + timedelta(hours=1)
        await self.world.stores.keys.rotate(tenant, key.key_id, new_key(), old_until=until, expires_at=None, by=ALICE)


@pytest.fixture
async def subject(world: World) -> Subject:
    tenant, key = await world.stores.add_with_key()
    platform_key = new_key()
    await world.stores.keys.add_first_platform_key(platform_key, "first")
    await world.stores.keys.add(None, new_key(), label="second", role=Role.PLATFORM_ADMIN, expires_at=None, by=ALICE)
    return Subject(world, tenant, key, platform_key)


Act = Callable[[Subject], Awaitable[None]]


@pytest.mark.parametrize(
    "act", [Subject.write_config, Subject.suspend, Subject.rotate, Subject.revoke, Subject.mark, Subject.delete]
)
async def test_what_routers_remember_of_a_tenant_is_told_when_it_changes(subject: Subject, act: Act) -> None:
    seq = await subject.world.changes.last()
    await act(subject)
    _, told = await subject.world.changes.after(seq)
    assert told == [subject.tenant]


@pytest.mark.parametrize("act", [Subject.rotate_the_platforms, Subject.revoke_the_platforms])
async def test_a_change_of_the_platforms_keys_is_told_as_the_platforms(subject: Subject, act: Act) -> None:
    seq = await subject.world.changes.last()
    await act(subject)
    assert await subject.world.changes.after(seq) == (seq + 1, [None])


@pytest.mark.parametrize("act", [Subject.upload, Subject.touch, Subject.audit, Subject.add_key, Subject.create])
async def test_nothing_else_is_told(subject: Subject, act: Act) -> None:
    """An upload a second would otherwise make every router read the tenant every second."""
    seq = await subject.world.changes.last()
    await act(subject)
    assert await subject.world.changes.after(seq) == (seq, [])


async def test_caches_on_another_replica_see_what_the_counter_tells(subject: Subject) -> None:
    world = subject.world
    feed = ChangeFeed(world.changes, NoAnnouncements(), NullMetrics())
    tenants = LiveTenants(world.stores.tenants, lambda found: found.revision.state, feed=feed)
    keys = LiveKeys(world.stores.keys, feed=feed)
    await feed.ask()
    assert await tenants.get(subject.tenant) is TenantState.ACTIVE
    assert await keys.holder(subject.key.text) is not None
    await subject.suspend()
    await subject.revoke()
    await feed.ask()
    assert await tenants.get(subject.tenant) is TenantState.SUSPENDED
    assert await keys.holder(subject.key.text) is None
    await subject.delete()
    await feed.ask()
    assert await tenants.get(subject.tenant) is None


async def test_a_counter_that_was_set_back_says_so(world: World) -> None:
    tenant = await world.stores.add()
    await world.stores.tenants.set_state(tenant, TenantState.SUSPENDED, by=ALICE)
    seq = await world.changes.last()
    assert await world.changes.after(seq + 50) == (seq, [])


async def test_the_keys_of_a_tenant_that_is_being_deleted_are_no_news(world: World) -> None:
    tenant = await world.stores.add()
    for _ in range(20):
        await world.stores.keys.add(tenant, new_key(), label="x", role=Role.SERVICE, expires_at=None, by=ALICE)
    job = await world.deletions.begin(tenant, by=ALICE)
    seq = await world.changes.last()
    async with world.deletions.held(job):
        while await world.deletions.purge(tenant, 1_000):
            pass
        assert await world.changes.after(seq) == (seq, [])
        await world.deletions.finish(tenant, by=ALICE, proof={})
    assert await world.changes.after(seq) == (seq + 1, [tenant])
