"""What re-embedding needs of a store: the one in memory and PostgreSQL keep the same promises."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
import pytest
from sqlalchemy import text

from contracts.errors import NotFoundError
from contracts.tenant import TenantId
from rag.adapters.memory_reembedding import KeptTenant, MemoryReembeddingStore
from rag.adapters.postgres_chunks import PostgresChunkStore
from rag.adapters.postgres_reembedding import PostgresReembeddingStore
from rag.domain.corpus import Chunk, Document
from rag.domain.vectors import HalfMatrix
from rag.reembedding import ReembeddingStore
from stores.postgres import Database
from support.chunks import whole

OLD, NEW = "old", "new"


class World(Protocol):
    store: ReembeddingStore

    async def add(self, *texts: str, model: str = OLD) -> TenantId: ...
    async def put(self, tenant_id: TenantId, chunk: str, model: str = OLD) -> None: ...
    async def searched(self, tenant_id: TenantId) -> dict[str, tuple[str, int]]:
        """Of each chunk the model and the first number of its vector."""
        ...

    async def seq(self, tenant_id: TenantId) -> int: ...


class InMemory:
    def __init__(self) -> None:
        self.memory = MemoryReembeddingStore(time.monotonic)
        self.store: ReembeddingStore = self.memory

    async def add(self, *texts: str, model: str = OLD) -> TenantId:
        tenant_id = TenantId(f"r-{secrets.token_hex(6)}")
        self.memory.tenants[tenant_id] = KeptTenant()
        for body in texts:
            await self.put(tenant_id, body, model)
        return tenant_id

    async def put(self, tenant_id: TenantId, chunk: str, model: str = OLD) -> None:
        self.memory.tenants[tenant_id].put(chunk, chunk, model, marked(0, 1)[0].tobytes())

    async def searched(self, tenant_id: TenantId) -> dict[str, tuple[str, int]]:
        chunks = self.memory.tenants[tenant_id].chunks
        return {key: (chunk.model, int(np.frombuffer(chunk.vector, "<f2")[0])) for key, chunk in chunks.items()}

    async def seq(self, tenant_id: TenantId) -> int:
        return self.memory.tenants[tenant_id].seq


class InPostgres:
    """A document a chunk, of the same name."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store: ReembeddingStore = PostgresReembeddingStore(database)
        self.chunks = PostgresChunkStore(database)

    async def add(self, *texts: str, model: str = OLD) -> TenantId:
        tenant_id = TenantId(f"r-{secrets.token_hex(6)}")
        insert = text("INSERT INTO tenants (tenant_id, tier, config_version) VALUES (:tenant, 'basic', 1)")
        async with self.database.tenant(tenant_id) as connection:
            await connection.execute(insert, {"tenant": str(tenant_id)})
        for body in texts:
            await self.put(tenant_id, body, model)
        return tenant_id

    async def put(self, tenant_id: TenantId, chunk: str, model: str = OLD) -> None:
        document = Document(chunk, chunk, "a.txt", {}, secrets.token_bytes(32), 1)
        rows = [Chunk(chunk, 0, chunk, 0, len(chunk))]
        await self.chunks.put(tenant_id, document, rows, marked(0, 1), model)

    async def searched(self, tenant_id: TenantId) -> dict[str, tuple[str, int]]:
        found: dict[str, tuple[str, int]] = {}
        for model in (OLD, NEW):
            corpus = await whole(self.chunks, tenant_id, model, 2)
            found |= {
                record.chunk_id: (model, int(row[0]))
                for record, row in zip(corpus.records, corpus.vectors, strict=True)
            }
        return found

    async def seq(self, tenant_id: TenantId) -> int:
        return (await self.chunks.version(tenant_id)).seq


@pytest.fixture(params=["memory", "postgres"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        yield InMemory()
        return
    database = Database(request.getfixturevalue("database_url"))
    yield InPostgres(database)
    await database.close()


def marked(mark: int, rows: int) -> HalfMatrix:
    return np.full((rows, 2), mark, dtype=np.float16)


async def embed_all(store: ReembeddingStore, tenant_id: TenantId, mark: int) -> datetime:
    behind = await store.behind(tenant_id, NEW, limit=100)
    await store.keep(tenant_id, NEW, behind.chunks, marked(mark, len(behind.chunks)), born=behind.born)
    return behind.born


async def test_tenants_with_chunks_of_other_models_are_found_page_by_page(world: World) -> None:
    before, after = await world.add("a", model="aaa"), await world.add("a", model="zzz")
    current, empty = await world.add("a", model=NEW), await world.add()
    found: list[TenantId] = []
    while page := await world.store.tenants_behind(NEW, after=str(found[-1]) if found else "", limit=1):
        found += page
    assert found == sorted(found)
    assert {before, after} <= set(found)
    assert not {current, empty} & set(found)


async def test_a_tenant_changes_over_with_one_sequence_when_all_is_there(world: World) -> None:
    tenant_id = await world.add("a", "b")
    await world.put(tenant_id, "c", NEW)
    born = await embed_all(world.store, tenant_id, 7)
    assert await world.searched(tenant_id) == {"a": (OLD, 0), "b": (OLD, 0), "c": (NEW, 0)}
    assert (await world.store.behind(tenant_id, NEW, limit=100)).chunks == []
    seq = await world.seq(tenant_id)
    assert await world.store.switch(tenant_id, NEW, born=born)
    assert await world.searched(tenant_id) == {"a": (NEW, 7), "b": (NEW, 7), "c": (NEW, 0)}
    assert await world.seq(tenant_id) == seq + 1
    assert tenant_id not in await world.store.tenants_behind(NEW, after="", limit=10_000)


async def test_while_one_is_missing_nothing_changes(world: World) -> None:
    tenant_id = await world.add("a", "b")
    behind = await world.store.behind(tenant_id, NEW, limit=1)
    await world.store.keep(tenant_id, NEW, behind.chunks, marked(7, 1), born=behind.born)
    seq = await world.seq(tenant_id)
    assert not await world.store.switch(tenant_id, NEW, born=behind.born)
    assert await world.searched(tenant_id) == {"a": (OLD, 0), "b": (OLD, 0)}
    assert await world.seq(tenant_id) == seq
    assert [chunk.text for chunk in (await world.store.behind(tenant_id, NEW, limit=100)).chunks] == ["b"]


async def test_a_chunk_that_was_replaced_takes_no_vector_of_the_one_before(world: World) -> None:
    tenant_id = await world.add("a")
    behind = await world.store.behind(tenant_id, NEW, limit=100)
    await world.put(tenant_id, "a")
    await world.store.keep(tenant_id, NEW, behind.chunks, marked(7, 1), born=behind.born)
    assert not await world.store.switch(tenant_id, NEW, born=behind.born)
    await embed_all(world.store, tenant_id, 8)
    assert await world.store.switch(tenant_id, NEW, born=behind.born)
    assert await world.searched(tenant_id) == {"a": (NEW, 8)}


async def test_a_third_model_begins_anew(world: World) -> None:
    tenant_id = await world.add("a")
    born = await embed_all(world.store, tenant_id, 7)
    assert [chunk.text for chunk in (await world.store.behind(tenant_id, "third", limit=9)).chunks] == ["a"]
    assert not await world.store.switch(tenant_id, "third", born=born)


async def test_one_replica_at_a_time_has_a_tenant(world: World) -> None:
    tenant_id = await world.add("a")
    assert await world.store.claim(tenant_id, NEW, "one", seconds=60)
    assert not await world.store.claim(tenant_id, NEW, "two", seconds=60)
    assert await world.store.claim(tenant_id, NEW, "one", seconds=0)
    assert await world.store.claim(tenant_id, NEW, "two", seconds=60)


async def test_a_tenant_that_is_gone_or_another_one_is_not_found(world: World) -> None:
    gone, tenant_id = TenantId("r-gone"), await world.add("a")
    behind = await world.store.behind(tenant_id, NEW, limit=9)
    another = datetime(2020, 1, 1, tzinfo=UTC)
    with pytest.raises(NotFoundError):
        await world.store.claim(gone, NEW, "one", seconds=60)
    with pytest.raises(NotFoundError):
        await world.store.behind(gone, NEW, limit=9)
    with pytest.raises(NotFoundError):
        await world.store.keep(tenant_id, NEW, behind.chunks, marked(7, 1), born=another)
    with pytest.raises(NotFoundError):
        await world.store.switch(tenant_id, NEW, born=another)
    assert not await world.store.switch(tenant_id, NEW, born=behind.born)
