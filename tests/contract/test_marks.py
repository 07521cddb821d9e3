"""The marks of what is compacted: in memory and in PostgreSQL they keep the same promises."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import text

from contracts.errors import NotFoundError
from contracts.tenant import TenantId
from rag.adapters.memory_chunks import MemoryChunkStore
from rag.adapters.memory_marks import MemoryMarks
from rag.adapters.postgres_chunks import PostgresChunkStore
from rag.adapters.postgres_marks import PostgresMarks
from rag.domain.corpus import Chunk, Document
from rag.domain.snapshot import Copy, Mark
from rag.ports import ChunkStore, Marks
from stores.postgres import Database

MODEL = "model"
_ADD_TENANT = text("INSERT INTO tenants (tenant_id, tier, config_version) VALUES (:tenant, 'basic', 1)")
_DROP_TENANT = (
    text("UPDATE tenants SET state = 'deleting' WHERE tenant_id = :tenant"),
    text("SELECT purge_tenant(1000), :tenant"),
    text("SELECT remove_purged_tenant(), :tenant"),
)
NEVER = timedelta(days=1)


class World:
    """The log and its marks, and how tenants come and go."""

    def __init__(self, store: ChunkStore, marks: Marks, database: Database | None = None) -> None:
        self.store = store
        self.marks = marks
        self._database = database

    async def add(self, tenant_id: TenantId | None = None) -> TenantId:
        tenant_id = tenant_id or TenantId(f"m-{secrets.token_hex(6)}")
        if isinstance(self.store, MemoryChunkStore):
            self.store.add_tenant(tenant_id)
        else:
            await self._execute(tenant_id, drop=False)
        return tenant_id

    async def add_again(self, tenant_id: TenantId) -> None:
        if not isinstance(self.store, MemoryChunkStore):
            await self._execute(tenant_id, drop=True)
        await self.add(tenant_id)

    async def put(self, tenant_id: TenantId, document_id: str = "d", *, chunks: int = 1, model: str = MODEL) -> None:
        name = f"{tenant_id}-{document_id}-{secrets.token_hex(4)}"
        rows = [Chunk(f"{name}-{n}", n, "text", 0, 4) for n in range(chunks)]
        document = Document(document_id, "T", "a.txt", {}, b"h", 1)
        await self.store.put(tenant_id, document, rows, np.ones((chunks, 4), dtype=np.float16), model)

    async def mark_now(self, tenant_id: TenantId, *, digest: bytes | None = b"d" * 32, chunks: int = 0) -> Mark:
        return Mark(await self.store.version(tenant_id), digest, chunks)

    async def due(self, *, writes: int = 10, age: timedelta = NEVER, stored_from: int | None = 0) -> set[TenantId]:
        found = await self.marks.due(MODEL, writes=writes, age=age, stored_from=stored_from, limit=1_000)
        return set(found)

    async def _execute(self, tenant_id: TenantId, *, drop: bool) -> None:
        assert self._database is not None
        async with self._database.tenant(tenant_id) as connection:
            for statement in _DROP_TENANT if drop else (_ADD_TENANT,):
                await connection.execute(statement, {"tenant": str(tenant_id)})


@pytest.fixture(params=["memory", "postgres"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        store = MemoryChunkStore()
        yield World(store, MemoryMarks(store))
        return
    database = Database(request.getfixturevalue("database_url"))
    yield World(PostgresChunkStore(database), PostgresMarks(database), database)
    await database.close()


async def test_a_mark_goes_forward_only_and_of_two_writers_at_one_version_one_sets_it(world: World) -> None:
    tenant = await world.add()
    assert await world.marks.mark(tenant, MODEL) is None
    await world.put(tenant)
    early = await world.mark_now(tenant)
    await world.put(tenant)
    late = await world.mark_now(tenant, digest=b"e" * 32, chunks=7)
    rivals = [late, *(replace(late, digest=bytes([n]) * 32) for n in range(5))]
    won = await asyncio.gather(*(world.marks.advance(tenant, MODEL, mark) for mark in rivals))
    assert sum(won) == 1
    assert await world.marks.mark(tenant, MODEL) == rivals[won.index(True)]
    assert not await world.marks.advance(tenant, MODEL, early)
    assert await world.marks.mark(tenant, "another model") is None


async def test_a_mark_without_a_snapshot_gives_way_to_one_with_it(world: World) -> None:
    tenant = await world.add()
    await world.put(tenant)
    bare, full = await world.mark_now(tenant, digest=None), await world.mark_now(tenant)
    assert await world.marks.advance(tenant, MODEL, bare)
    assert tenant in await world.due()
    assert tenant not in await world.due(stored_from=None)
    assert await world.marks.advance(tenant, MODEL, full)
    assert tenant not in await world.due()


async def test_a_discredited_mark_is_due_at_once_and_can_be_set_again_at_the_same_version(world: World) -> None:
    tenant = await world.add()
    await world.put(tenant)
    mark = await world.mark_now(tenant)
    assert await world.marks.advance(tenant, MODEL, mark)
    await world.marks.discredit(tenant, MODEL, b"x" * 32)  # somebody speaks of another
    assert await world.marks.mark(tenant, MODEL) == mark
    await world.marks.discredit(tenant, MODEL, b"d" * 32)
    assert tenant in await world.due()
    assert await world.marks.advance(tenant, MODEL, replace(mark, digest=b"n" * 32))


async def test_a_mark_of_an_earlier_tenant_is_neither_set_nor_seen_by_a_later_one(world: World) -> None:
    tenant = await world.add()
    await world.put(tenant)
    mark = await world.mark_now(tenant)
    assert await world.marks.advance(tenant, MODEL, mark)
    await world.add_again(tenant)
    assert await world.marks.mark(tenant, MODEL) is None
    for call in (
        world.marks.advance(tenant, MODEL, mark),
        world.marks.trim(tenant, mark.version, keep=0),
        world.marks.release(tenant, mark.version.born),
    ):
        with pytest.raises(NotFoundError):
            await call
    await world.put(tenant)
    assert await world.marks.advance(tenant, MODEL, await world.mark_now(tenant))


async def test_trimming_keeps_the_newest_and_whoever_is_further_back_is_told(world: World) -> None:
    tenant = await world.add()
    versions = []
    for _ in range(6):
        await world.put(tenant)
        versions.append(await world.store.version(tenant))
    await world.marks.trim(tenant, versions[4], keep=2)  # tombstones 2, 3, 4, 5 and, above, 6
    for version, known in zip(versions, [False, False, True, True, True, True], strict=True):
        tail = await world.store.tail(tenant, version, MODEL, 4)
        assert (tail is not None) is known
        assert tail is None or len(tail.removed) == 6 - version.seq
    await world.marks.trim(tenant, versions[0], keep=0)  # never back
    assert await world.store.tail(tenant, versions[1], MODEL, 4) is None


async def test_what_is_due_are_many_writes_or_old_ones_and_nothing_that_somebody_has_claimed(world: World) -> None:
    quiet, busy, empty = await world.add(), await world.add(), await world.add()
    await world.put(quiet)
    for _ in range(3):
        await world.put(busy)
    mine = {quiet, busy, empty}
    assert await world.due(writes=3) & mine == {busy}
    assert await world.due(age=timedelta(0)) & mine == {quiet, busy}
    assert await world.marks.claim(busy, timedelta(minutes=1))
    assert not await world.marks.claim(busy, timedelta(minutes=1))
    assert await world.due(writes=1) & mine == {quiet}
    await world.marks.release(busy, (await world.store.version(busy)).born)
    assert await world.marks.claim(busy, timedelta(seconds=-1))  # it has run out
    assert await world.due(writes=1) & mine == {quiet, busy}
    await world.marks.advance(busy, MODEL, await world.mark_now(busy))
    assert await world.due(writes=1, age=timedelta(0)) & mine == {quiet}


async def test_a_large_tenant_is_due_later(world: World) -> None:
    tenant = await world.add()
    await world.put(tenant)
    await world.marks.advance(tenant, MODEL, await world.mark_now(tenant, chunks=1_000))
    for writes, due in ((9, False), (10, True)):
        while (await world.store.version(tenant)).seq <= writes:
            await world.put(tenant)
        assert (tenant in await world.due(writes=2)) is due


async def test_a_model_of_which_no_chunk_is_left_is_abandoned(world: World) -> None:
    tenant = await world.add()
    await world.put(tenant, "old", model="old")
    await world.marks.advance(tenant, "old", await world.mark_now(tenant))
    await world.put(tenant, "new")
    await world.marks.advance(tenant, MODEL, await world.mark_now(tenant))
    assert list(await world.marks.abandoned(tenant, MODEL)) == []
    await world.put(tenant, "old")
    assert list(await world.marks.abandoned(tenant, MODEL)) == ["old"]
    await world.marks.drop(tenant, "old")
    assert list(await world.marks.abandoned(tenant, MODEL)) == []
    assert await world.marks.mark(tenant, MODEL) is not None


async def test_a_small_tenant_needs_no_snapshot_unless_it_had_one_that_was_bad(
    world: World,
) -> None:
    tenant = await world.add()
    await world.put(tenant)
    await world.marks.advance(tenant, MODEL, await world.mark_now(tenant, digest=None, chunks=7))
    assert tenant not in await world.due(stored_from=8)
    assert tenant in await world.due(stored_from=7)
    await world.put(tenant)
    await world.marks.advance(tenant, MODEL, await world.mark_now(tenant, chunks=7))
    assert tenant not in await world.due(stored_from=7)
    await world.marks.discredit(tenant, MODEL, b"d" * 32)
    assert tenant in await world.due(stored_from=8)


async def test_of_copies_those_are_stale_that_are_of_no_mark_and_those_are_gone_that_are_of_no_tenant(
    world: World,
) -> None:
    kept, other, again, nobody = await world.add(), await world.add(), await world.add(), TenantId("m-nobody")
    born = {tenant: (await world.store.version(tenant)).born for tenant in (kept, other, again)}
    await world.put(kept)
    await world.marks.advance(kept, MODEL, await world.mark_now(kept))
    await world.add_again(again)
    current, old = Copy(kept, digest=b"d" * 32), Copy(kept, digest=b"o" * 32)
    found = await world.marks.stale(
        MODEL,
        [
            *(current, old, Copy(kept, born=born[kept]), Copy(other, digest=b"d" * 32), Copy(other, born=born[other])),
            *(Copy(nobody, digest=b"d" * 32), Copy(nobody, born=born[kept]), Copy(again, born=born[again])),
        ],
    )
    assert sorted((str(one.tenant_id), one.gone) for one in found) == sorted(
        [(str(kept), False), (str(other), False), (str(nobody), True), (str(nobody), True), (str(again), True)]
    )
    assert await world.marks.stale(MODEL, []) == []
