"""Deleting a tenant in PostgreSQL: in steps that may be broken off, repeated, and done by two routers at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import psycopg
import pytest
from sqlalchemy import text

from contracts.context import Role
from contracts.errors import ConflictError, NotFoundError
from contracts.tenant import TenantId
from observability.metrics import NullMetrics
from rag.adapters.postgres_chunks import PostgresChunkStore
from rag.adapters.postgres_jobs import PostgresJobStore
from rag.adapters.postgres_marks import PostgresMarks
from rag.domain.corpus import Chunk, Document
from rag.domain.jobs import Job, JobState
from rag.domain.snapshot import Mark
from router.service.deletion import DeletionService
from stores.postgres import Database
from support.announcements import NoAnnouncements
from support.catalog import rows_of_tenant, waits_for_a_lock
from support.conversations import fill_conversations
from support.policies import compiled
from support.postgres import Addresses
from support.tenants import ALICE, TenantStores, fresh_tenant, opened, postgres_stores
from support.usage import MAY_4, an_event
from tenancy import postgres_deletions
from tenancy.audit import Actor, Deed, find_breach
from tenancy.config import TenantConfig
from tenancy.feed import ChangeFeed
from tenancy.keys import new_key
from tenancy.live import LiveTenants
from tenancy.metrics import Numbers, Sample, Step
from tenancy.ports import Deletion, Onboarding, TenantRecord, TenantState
from tenancy.postgres_changes import PostgresChangeLog
from tenancy.postgres_deletions import PostgresDeletionStore
from tenancy.postgres_ledger import PostgresLedger
from tenancy.postgres_metrics import PostgresMetrics

BOB = Actor("bob", "platform_admin", request_id="request-2")
_PART = text("INSERT INTO ingest_parts VALUES (:tenant, 'large', 'job-1', 0, 'hash', 'vectors')")
NOT_THE_TENANTS = {"deletions": "the job itself, which `finish` closes"}


class World(NamedTuple):
    database: Database
    stores: TenantStores
    deletions: PostgresDeletionStore
    owner_url: str

    async def filled(self, tenant_id: TenantId | None = None) -> TenantId:
        """A tenant with rows in every table that has a tenant."""
        tenant = await self.stores.add(tenant_id)
        for number in range(4):
            await self.upload(tenant, f"d{number}")
            await self.upload(tenant, f"d{number}")
            mark = Mark(await PostgresChunkStore(self.database).version(tenant), None, 3)
            await PostgresMarks(self.database).advance(tenant, "model", mark)
            await self.stores.keys.add(tenant, new_key(), label="k", role=Role.TENANT_USER, expires_at=None, by=ALICE)
            await self.stores.tenants.write_config(tenant, TenantConfig(), by=ALICE)
            await PostgresLedger(self.database).write([an_event(tenant, user_id=f"u{number}", route=f"R{number}")])
            await fill_conversations(self.database, tenant, number)
            record = await self.stores.tenants.read(tenant)
            assert record is not None
            sample = Sample(tenant, record.revision.born, Step.DAY, MAY_4, f"R{number}", Numbers(requests=1))
            await PostgresMetrics(self.database).add([sample])
        await self.large_upload(tenant)
        return tenant

    async def large_upload(self, tenant: TenantId) -> None:
        """A job with a finished part."""
        document = Document("large", "Title", "a.txt", {}, b"h" * 32, 9)
        job = Job("job-1", document, JobState.QUEUED, 0, None, None, datetime.now(UTC))
        await PostgresJobStore(self.database).enqueue(tenant, job, b"text")
        async with self.database.tenant(tenant) as connection:
            await connection.execute(_PART, {"tenant": str(tenant)})

    async def upload(self, tenant: TenantId, document_id: str) -> None:
        chunks = [Chunk(f"{document_id}-{ordinal}", ordinal, "text", 0, 4) for ordinal in range(3)]
        vectors = np.ones((3, 4), dtype=np.float16)
        document = Document(document_id, "Title", "a.txt", {}, b"h" * 32, 9)
        await PostgresChunkStore(self.database).put(tenant, document, chunks, vectors, "model")

    def rows(self, tenant: TenantId) -> dict[str, int]:
        """How many the tenant has in each table that has a tenant, as the owner sees them."""
        with psycopg.connect(self.owner_url) as owner:
            return rows_of_tenant(owner, tenant)

    async def finished(self, tenant: TenantId, by: Actor = ALICE) -> Deletion | None:
        await self.deletions.begin(tenant, by=by)
        while await self.deletions.purge(tenant, 100):
            pass
        return await self.deletions.finish(tenant, by=by, proof={})


@pytest.fixture
async def world(postgres: Addresses) -> AsyncIterator[World]:
    async with opened(postgres.url) as database:
        yield World(database, postgres_stores(database), PostgresDeletionStore(database), postgres.owner_url)


def removed_rows(rows: Mapping[str, int]) -> dict[str, int]:
    """As a job notes them."""
    return {f"postgres.{table}": count for table, count in rows.items() if table not in NOT_THE_TENANTS}


async def test_every_table_that_has_a_tenant_is_purged_and_counted(world: World) -> None:
    """A table that comes later fails here until `filled`, `purge_tenant` and `_REMAINING` know it."""
    tenant = await world.filled()
    before = world.rows(tenant)
    assert {table for table, count in before.items() if not count} == set(NOT_THE_TENANTS)
    counted = str(postgres_deletions._REMAINING)  # what it counts is 0 then: no call shows it
    assert [table for table in removed_rows(before) if f"FROM {table.removeprefix('postgres.')} " not in counted] == []
    done = await world.finished(tenant)
    assert done is not None
    assert done.removed == removed_rows(before)
    assert set(world.rows(tenant).values()) == {0}


async def test_steps_are_bounded_and_touch_no_other_tenant(world: World) -> None:
    tenant = await world.filled()
    neighbours = [await world.filled(TenantId(f"{tenant}{end}")) for end in ("0", "-0")]
    before = [world.rows(neighbour) for neighbour in neighbours]
    await world.deletions.begin(tenant, by=ALICE)
    steps = 0
    while step := await world.deletions.purge(tenant, 3):
        assert max(step.values()) <= 3
        steps += 1
    assert steps >= 5
    left = {table: count for table, count in world.rows(tenant).items() if count}
    assert left == {"tenants": 1, "deletions": 1}
    assert await world.deletions.purge(tenant, 3) == {}
    await world.deletions.finish(tenant, by=ALICE, proof={})
    assert [world.rows(neighbour) for neighbour in neighbours] == before


@pytest.mark.parametrize("steps", range(9))
async def test_a_job_that_was_broken_off_is_taken_up_by_another_router(
    world: World, database_url: str, steps: int
) -> None:
    tenant = await world.filled()
    before = world.rows(tenant)
    job = await world.deletions.begin(tenant, by=ALICE)
    for _ in range(steps):
        await world.deletions.purge(tenant, 3)
    await world.deletions.note(tenant, {"objects": 2})
    async with opened(database_url) as other:
        deletions = PostgresDeletionStore(other)
        (found,) = [one for one in await deletions.unfinished() if one.tenant_id == tenant]
        assert (found.started_at, found.requested_by, found.request_id) == (job.started_at, "alice", "request-1")
        again = await deletions.begin(tenant, by=BOB)
        assert (again.started_at, again.requested_by) == (job.started_at, "alice")
        while await deletions.purge(tenant, 3):
            pass
        await deletions.note(tenant, {"objects": 3})
        done = await deletions.finish(tenant, by=BOB, proof={"objects": 0})
        assert done is not None
        assert done.removed == {**removed_rows(before), "objects": 5}
        assert tenant not in [one.tenant_id for one in await deletions.unfinished()]
    assert set(world.rows(tenant).values()) == {0}


async def test_the_receipt_is_in_the_platforms_log(world: World) -> None:
    tenant = await world.filled()
    before = await world.stores.audit.head(None)
    job = await world.deletions.begin(tenant, by=ALICE)
    done = await world.deletions.finish(tenant, by=BOB, proof={"objects": 0})
    assert done is not None
    assert done.started_at == job.started_at
    events = await world.stores.audit.page(None, after=before.seq, limit=9)
    assert find_breach(events, await world.stores.audit.head(None), before=before) is None
    (event,) = events
    assert (event.action, event.resource, event.actor) == ("tenant.delete", f"tenant/{tenant}", "bob")
    details = event.as_json()["details"]
    assert details == {"begun_by": "alice", "left": {"objects": 0, "postgres": 0}, "removed": dict(done.removed)}


async def test_what_does_not_exist_is_not_deleted(world: World) -> None:
    tenant = fresh_tenant()
    with pytest.raises(NotFoundError):
        await world.deletions.begin(tenant, by=ALICE)
    assert await world.deletions.purge(tenant, 9) == {}
    assert await world.deletions.finish(tenant, by=ALICE, proof={}) is None
    await world.stores.add(tenant)
    assert await world.finished(tenant) is not None
    with pytest.raises(NotFoundError):
        await world.deletions.begin(tenant, by=ALICE)


async def test_nothing_is_purged_or_removed_of_a_tenant_that_is_not_being_deleted(world: World) -> None:
    tenant = await world.filled()
    before = world.rows(tenant)
    assert await world.deletions.purge(tenant, 9) == {}
    assert await world.deletions.finish(tenant, by=ALICE, proof={}) is None
    async with world.database.tenant_as_platform(tenant) as connection:
        assert (await connection.execute(text("SELECT * FROM purge_tenant(9)"))).all() == []
        assert (await connection.execute(text("SELECT remove_purged_tenant()"))).scalar_one() is False
    assert world.rows(tenant) == before


async def test_from_the_mark_on_nothing_is_written(world: World) -> None:
    tenant, key, onboarding = fresh_tenant(), new_key(), Onboarding(tenant_hash(), b"r", b"n")
    stores = world.stores
    await stores.tenants.create(tenant, TenantConfig(), key, by=ALICE, onboarding=onboarding)
    await world.deletions.begin(tenant, by=ALICE)
    until = datetime.now(UTC) + timedelta(days=1)
    refused = [
        stores.tenants.write_config(tenant, TenantConfig(), by=ALICE),
        stores.tenants.set_state(tenant, TenantState.ACTIVE, by=ALICE),
        stores.keys.add(tenant, new_key(), label="k", role=Role.SERVICE, expires_at=None, by=ALICE),
        stores.keys.rotate(tenant, key.key_id, new_key(), old_until=until, expires_at=None, by=ALICE),
        stores.keys.revoke(tenant, key.key_id, by=ALICE),
        stores.audit.append(tenant, Deed(ALICE, "tenant.export", "tenant")),
    ]
    for outcome in await asyncio.gather(*refused, return_exceptions=True):
        assert isinstance(outcome, NotFoundError)
    with pytest.raises(ConflictError):
        await stores.tenants.create(tenant, TenantConfig(), new_key(), by=ALICE, onboarding=onboarding)
    assert await stores.tenants.onboarding(tenant) is None  # so that nobody is shown a key of what is going away
    found = await stores.tenants.read(tenant)
    assert found is not None
    assert found.revision.state is TenantState.DELETING
    assert [info.key_id for info in await stores.keys.list(tenant)] == [key.key_id]


def tenant_hash() -> bytes:
    return new_key().key_hash


async def test_two_routers_that_finish_at_once_write_one_receipt(world: World, database_url: str) -> None:
    tenant = await world.filled()
    before = await world.stores.audit.head(None)
    await world.deletions.begin(tenant, by=ALICE)
    async with opened(database_url) as other:
        outcomes = await asyncio.gather(
            *(
                PostgresDeletionStore(database).finish(tenant, by=ALICE, proof={})
                for database in (world.database, other) * 2
            )
        )
    assert sum(done is not None for done in outcomes) == 1
    assert (await world.stores.audit.head(None)).seq == before.seq + 1
    assert set(world.rows(tenant).values()) == {0}


async def test_many_routers_that_work_on_one_job_at_once_do_not_block_each_other_for_good(world: World) -> None:
    tenant = await world.filled()
    before = world.rows(tenant)
    await world.deletions.begin(tenant, by=ALICE)

    async def work_off() -> Deletion | None:
        while await world.deletions.purge(tenant, 1):
            pass
        return await world.deletions.finish(tenant, by=ALICE, proof={})

    (done,) = [done for done in await asyncio.gather(*(work_off() for _ in range(6))) if done]
    assert done.removed == removed_rows(before)


async def test_a_step_waits_for_the_job_before_it_locks_the_tenant(world: World) -> None:
    """As `finish` does: in the other order the two would wait for each other."""
    tenant = await world.filled()
    named = {"tenant": str(tenant)}
    await world.deletions.begin(tenant, by=ALICE)
    async with world.database.tenant_as_platform(tenant) as finishing:
        await finishing.execute(text("SELECT FROM deletions WHERE tenant_id = :tenant FOR UPDATE"), named)
        step = asyncio.create_task(world.deletions.purge(tenant, 3))
        await waits_for_a_lock(world.owner_url, finishing)
        await finishing.execute(text("SELECT FROM tenants WHERE tenant_id = :tenant FOR UPDATE NOWAIT"), named)
    assert await step


async def test_an_event_waits_for_the_tenant_before_it_locks_the_chain(world: World) -> None:
    """As whoever deletes the tenant does: in the other order the two would wait for each other."""
    tenant = await world.filled()
    named = {"tenant": str(tenant)}
    async with world.database.tenant(tenant) as deleting:
        await deleting.execute(text("SELECT FROM tenants WHERE tenant_id = :tenant FOR UPDATE"), named)
        event = asyncio.create_task(world.stores.audit.append(tenant, Deed(ALICE, "tenant.export", "tenant")))
        await waits_for_a_lock(world.owner_url, deleting)
        await deleting.execute(text("SELECT FROM audit_heads WHERE tenant_id = :tenant FOR UPDATE NOWAIT"), named)
    assert (await event).seq > 1


async def test_an_upload_between_the_last_step_and_the_end_is_removed_as_well(world: World) -> None:
    tenant = await world.filled()
    await world.deletions.begin(tenant, by=ALICE)
    while await world.deletions.purge(tenant, 100):
        pass
    await world.upload(tenant, "late")
    done = await world.deletions.finish(tenant, by=ALICE, proof={})
    assert done is not None
    assert (done.removed["postgres.documents"], done.removed["postgres.chunks"]) == (5, 15)
    assert set(world.rows(tenant).values()) == {0}
    with pytest.raises(NotFoundError):
        await world.upload(tenant, "later")


async def test_the_end_waits_for_an_upload_that_is_under_way(world: World) -> None:
    tenant = await world.filled()
    named = {"tenant": str(tenant)}
    await world.deletions.begin(tenant, by=ALICE)
    async with world.database.tenant(tenant) as upload:
        await upload.execute(text("UPDATE tenants SET corpus_seq = corpus_seq + 1 WHERE tenant_id = :tenant"), named)
        end = asyncio.create_task(world.deletions.finish(tenant, by=ALICE, proof={}))
        await waits_for_a_lock(world.owner_url, upload)
        insert = (
            "INSERT INTO documents"
            " (tenant_id, document_id, title, filename, metadata, content_hash, bytes, chunks, seq)"
            " VALUES (:tenant, 'late', '', '', '{}', '', 0, 0, 99)"
        )
        await upload.execute(text(insert), named)
    done = await end
    assert done is not None
    assert done.removed["postgres.documents"] == 5
    assert set(world.rows(tenant).values()) == {0}


async def test_a_tenant_of_the_same_id_starts_empty_and_the_older_job_never_harms_it(world: World) -> None:
    tenant = await world.filled()
    earlier = await world.stores.tenants.read(tenant)
    job = await world.deletions.begin(tenant, by=ALICE)
    await world.finished(tenant)
    await world.stores.add(tenant, TenantConfig(rate_limit_per_minute=3))
    assert earlier is not None
    found = await world.stores.tenants.read_unless(tenant, earlier.revision)
    assert isinstance(found, TenantRecord)
    assert found.revision.born != earlier.revision.born
    rows = {table: count for table, count in world.rows(tenant).items() if count}
    assert rows == {"tenants": 1, "tenant_configs": 1, "api_keys": 1, "audit_events": 1, "audit_heads": 1}
    async with world.deletions.held(job) as ours:
        assert not ours
    assert await world.deletions.purge(tenant, 100) == {}
    await world.deletions.note(tenant, {"objects": 1})
    assert await world.deletions.finish(tenant, by=ALICE, proof={}) is None
    assert {table: count for table, count in world.rows(tenant).items() if count} == rows
    newer = await world.deletions.begin(tenant, by=BOB)
    assert (newer.requested_by, newer.removed) == ("bob", {})
    async with world.deletions.held(job) as ours:
        assert not ours
    async with world.deletions.held(newer) as ours:
        assert ours


async def test_an_earlier_tenant_of_the_same_id_and_version_is_another(world: World) -> None:
    tenant = await world.stores.add()
    earlier = await world.stores.tenants.read(tenant)
    await world.finished(tenant)
    newer = TenantConfig(rate_limit_per_minute=3)
    await world.stores.add(tenant, newer)
    assert earlier is not None
    found = await world.stores.tenants.read_unless(tenant, earlier.revision)
    assert isinstance(found, TenantRecord)
    assert (found.config, found.revision.version) == (newer, earlier.revision.version)


class GatedTraces:
    """Objects of one tenant, whose removal the test holds up."""

    name = "objects"

    def __init__(self, tenant_id: TenantId) -> None:
        self.tenant_id = tenant_id
        self.objects = 3
        self.removals = 0
        self.began = asyncio.Event()
        self.gate = asyncio.Event()

    async def remove(self, tenant_id: TenantId) -> int:
        if tenant_id != self.tenant_id:
            return 0
        self.removals += 1
        self.began.set()
        await self.gate.wait()
        found, self.objects = self.objects, 0
        return found

    async def count(self, tenant_id: TenantId) -> int:
        return self.objects if tenant_id == self.tenant_id else 0


def service(world: World, traces: GatedTraces) -> DeletionService:
    feed = ChangeFeed(PostgresChangeLog(world.database), NoAnnouncements(), NullMetrics())
    live = LiveTenants(world.stores.tenants, compiled)
    return DeletionService(world.deletions, (traces,), live, feed, settle_s=0)


async def test_a_router_that_comes_late_removes_nothing_of_a_new_tenant_of_the_same_id(world: World) -> None:
    tenant = await world.filled()
    traces = GatedTraces(tenant)
    first = asyncio.create_task(service(world, traces).delete(tenant, by=ALICE))
    await traces.began.wait()
    second = asyncio.create_task(service(world, traces).delete(tenant, by=BOB))
    await waits_for_a_lock(world.owner_url)
    traces.gate.set()
    receipt = await first
    assert (receipt.removed["objects"], set(receipt.left.values())) == (3, {0})
    await world.stores.add(tenant)
    traces.objects = 7  # the new tenant's
    assert set((await second).left.values()) == {0}
    assert (traces.removals, traces.objects) == (1, 7)


async def test_a_deletion_that_was_broken_off_is_resumed(world: World) -> None:
    tenant = await world.filled()
    traces = GatedTraces(tenant)
    broken = asyncio.create_task(service(world, traces).delete(tenant, by=ALICE))
    await traces.began.wait()
    broken.cancel()
    with pytest.raises(asyncio.CancelledError):
        await broken
    traces.gate.set()
    await service(world, traces).resume()
    assert (traces.removals, traces.objects) == (2, 0)
    assert set(world.rows(tenant).values()) == {0}
    assert tenant not in [job.tenant_id for job in await world.deletions.unfinished()]
