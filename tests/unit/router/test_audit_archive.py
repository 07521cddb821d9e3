"""The archive of the audit log: every event once, in order, whatever is broken off or done twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from router.service import audit_archive
from router.service.audit_archive import AuditArchive
from stores.objects_memory import MemoryObjects
from support.tenants import ALICE, fresh_tenant
from tenancy.audit import AuditEvent, Deed, event_from_json, find_breach
from tenancy.config import TenantConfig
from tenancy.keys import new_key
from tenancy.memory_audit import MemoryAuditLog
from tenancy.memory_keys import MemoryKeyStore
from tenancy.memory_tenants import MemoryTenantStore
from tenancy.ports import TenantRecord, TenantState

DAY = timedelta(days=1)
NIGHT = datetime(2031, 5, 6, 2, 0, tzinfo=UTC)


class Objects(MemoryObjects):
    """`before_put` happens while an object is on its way."""

    def __init__(self) -> None:
        super().__init__()
        self.before_put: Callable[[], Awaitable[None]] | None = None

    async def put(self, tenant_id: TenantId, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        if self.before_put:
            await self.before_put()
        return await super().put(tenant_id, key, data, if_absent=if_absent)


class Tenants(MemoryTenantStore):
    """One may be marked as being deleted, or be gone."""

    state: TenantState | None = TenantState.ACTIVE
    born_later = timedelta(0)

    async def read(self, tenant_id: TenantId) -> TenantRecord | None:
        found = await super().read(tenant_id)
        if found is None or self.state is None:
            return None
        born = found.revision.born + self.born_later
        return replace(found, revision=replace(found.revision, state=self.state, born=born))


class World:
    def __init__(self) -> None:
        self.log = MemoryAuditLog()
        self.tenants = Tenants(MemoryKeyStore(self.log))
        self.objects = Objects()
        self.now = NIGHT
        self.archive = self.another()

    def another(self) -> AuditArchive:
        return AuditArchive(self.log, self.tenants, self.objects, now=lambda: self.now)

    async def add(self, events: int) -> TenantId:
        tenant = fresh_tenant()
        await self.tenants.create(tenant, TenantConfig(), new_key(), by=ALICE)
        self.write(tenant, events - 1)
        return tenant

    def write(self, tenant: TenantId, events: int) -> None:
        for number in range(events):
            self.log.write(tenant, Deed(ALICE, "config.write", f"config/{number}", details={"comment": "ü🦉\u2028"}))

    async def archived(self, tenant: TenantId) -> list[AuditEvent]:
        """Every event that is archived, once; its chain is whole."""
        found: dict[int, AuditEvent] = {}
        for key in await self.objects.list(tenant):
            data = await self.objects.get(tenant, key)
            assert data is not None
            events = [event_from_json(json.loads(line)) for line in data.decode().removesuffix("\n").split("\n")]
            assert key == f"audit/{events[0].seq:012}-{events[-1].seq:012}.jsonl"
            for event in events:
                assert found.setdefault(event.seq, event) == event
        assert find_breach(found.values(), await self.log.head(tenant)) is None
        return list(found.values())


@pytest.fixture
def world() -> World:
    return World()


async def test_each_run_archives_what_is_new(world: World) -> None:
    first, second = await world.add(3), await world.add(1)
    assert await world.archive.run() == 4
    assert await world.archive.run() == 0
    world.write(first, 2)
    assert await world.archive.run() == 2
    keys = ["audit/000000000001-000000000003.jsonl", "audit/000000000004-000000000005.jsonl"]
    assert await world.objects.list(first) == keys
    assert await world.archived(first) == world.log.chains[first]
    assert await world.archived(second) == world.log.chains[second]


async def test_other_objects_are_not_taken_for_archives(world: World) -> None:
    tenant = await world.add(2)
    for key in ("audit/readme", "audit/000000000001-000000000009.json", "audit/1-9.jsonl"):
        await world.objects.put(tenant, key, b"x")
    assert await world.archive.run() == 2


async def test_two_that_archive_at_once_lose_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_archive, "_EVENTS_AT_ONCE", 2)
    tenant = await world.add(7)

    async def another_event() -> None:
        if len(world.log.chains[tenant]) < 12:
            world.write(tenant, 1)
        await asyncio.sleep(0)

    world.objects.before_put = another_event
    await asyncio.gather(world.archive.run(), world.another().run())
    await world.archive.run()
    assert await world.archived(tenant) == world.log.chains[tenant]


@pytest.mark.parametrize("puts", [0, 1, 2])
async def test_one_that_was_broken_off_between_pages_is_continued(
    world: World, monkeypatch: pytest.MonkeyPatch, puts: int
) -> None:
    monkeypatch.setattr(audit_archive, "_EVENTS_AT_ONCE", 2)
    tenant, left = await world.add(5), [None] * puts

    async def break_off() -> None:
        if not left:
            raise DependencyDownError("down")
        left.pop()

    world.objects.before_put = break_off
    with pytest.raises(DependencyDownError):
        await world.archive.run()
    assert len(await world.objects.list(tenant)) == puts
    world.objects.before_put = None
    assert await world.another().run() == 5 - 2 * puts
    assert await world.archived(tenant) == world.log.chains[tenant]


async def test_many_tenants_are_read_page_by_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_archive, "_TENANTS_AT_ONCE", 2)
    tenants = [await world.add(1) for _ in range(5)]
    assert await world.archive.run() == 5
    assert [len(await world.objects.list(tenant)) for tenant in tenants] == [1] * 5


async def test_it_works_once_a_night(world: World) -> None:
    tenant = await world.add(1)
    world.now = NIGHT - timedelta(minutes=1)
    await world.archive.run_if_due()
    assert await world.objects.list(tenant) == []
    for nights in (1, 1, 1, 2, 2):
        world.now = NIGHT + nights * DAY
        await world.archive.run_if_due()
        assert len(await world.objects.list(tenant)) == nights
        world.write(tenant, 1)


async def test_a_night_that_failed_is_tried_again(world: World) -> None:
    tenant = await world.add(1)

    async def down() -> None:
        raise DependencyDownError("down")

    world.objects.before_put = down
    with pytest.raises(DependencyDownError):
        await world.archive.run_if_due()
    world.objects.before_put = None
    await world.archive.run_if_due()
    assert len(await world.objects.list(tenant)) == 1


async def test_nothing_is_archived_of_a_tenant_that_is_being_deleted(world: World) -> None:
    tenant = await world.add(3)
    world.tenants.state = TenantState.DELETING
    assert await world.archive.run() == 0
    assert await world.objects.list(tenant) == []


@pytest.mark.parametrize("state", [TenantState.DELETING, None])
async def test_a_tenant_that_is_deleted_while_it_is_archived_leaves_nothing(
    world: World, state: TenantState | None
) -> None:
    tenant = await world.add(3)

    async def delete() -> None:
        world.tenants.state = state

    world.objects.before_put = delete
    assert await world.archive.run() == 0
    assert await world.objects.list(tenant) == []


async def test_nor_does_it_when_another_of_its_id_is_there_already(world: World) -> None:
    tenant = await world.add(3)

    async def delete_and_create() -> None:
        world.tenants.born_later = timedelta(seconds=1)

    world.objects.before_put = delete_and_create
    assert await world.archive.run() == 0
    assert await world.objects.list(tenant) == []


async def test_a_tenant_that_is_suspended_is_archived(world: World) -> None:
    await world.add(3)
    world.tenants.state = TenantState.SUSPENDED
    assert await world.archive.run() == 3
