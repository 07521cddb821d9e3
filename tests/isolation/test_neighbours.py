"""Tenants whose ids are each other's beginning, or a number: none ever sees or loses what is another's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from contracts.context import Role
from contracts.errors import NotFoundError
from contracts.tenant import TenantId
from rag.adapters.postgres_chunks import PostgresChunkStore
from rag.adapters.postgres_jobs import PostgresJobStore
from rag.adapters.postgres_marks import PostgresMarks
from rag.domain.corpus import Chunk, Document
from rag.domain.jobs import Job, JobState
from rag.domain.snapshot import Mark
from stores.objects import Objects
from stores.objects_folder import FolderObjects
from stores.objects_memory import MemoryObjects
from stores.postgres import Database
from stores.valkey import Valkey
from support.catalog import tables_with_a_tenant
from support.chunks import whole
from support.conversations import fill_conversations
from support.postgres import Addresses, running_valkey
from support.tenants import ALICE, opened, postgres_stores
from support.usage import MAY_4, an_event
from tenancy.config import TenantConfig
from tenancy.keys import new_key
from tenancy.metrics import Numbers, Sample, Step
from tenancy.postgres_deletions import PostgresDeletionStore
from tenancy.postgres_ledger import PostgresLedger
from tenancy.postgres_metrics import PostgresMetrics

NEIGHBOURS = tuple(TenantId(text) for text in ("a", "aa", "a-b", "ab", "1", "12"))
_PART = text("INSERT INTO ingest_parts VALUES (:tenant, :document, :job, 0, 'hash', 'vectors')")
SET = 'for _, key in ipairs(KEYS) do redis.call("SET", key, "1") end'


async def fill(database: Database, tenant: TenantId, number: int) -> None:
    """`number` of everything, beside what every tenant has; the same ids in each tenant."""
    stores, chunks = postgres_stores(database), PostgresChunkStore(database)
    await stores.add(tenant, TenantConfig(display_name=f"of {tenant}"))
    for one in range(number):
        await stores.keys.add(tenant, new_key(), label=f"of {tenant}", role=Role.SERVICE, expires_at=None, by=ALICE)
        await stores.tenants.write_config(tenant, TenantConfig(display_name=f"of {tenant}"), by=ALICE)
        document = Document(f"d{one}", f"of {tenant}", "a.txt", {}, b"h" * 32, 9)
        vectors = np.ones((1, 4), dtype=np.float16)
        for _ in range(2):
            await chunks.put(tenant, document, [Chunk(f"c{one}", 0, f"of {tenant}", 0, 4)], vectors, "model")
        mark = Mark(await chunks.version(tenant), b"d" * 32, 1)
        await PostgresMarks(database).advance(tenant, f"model {one}", mark)
        await PostgresLedger(database).write([an_event(tenant, f"e{one}", route=f"R{one}")])
        await fill_conversations(database, tenant, one)
        record = await stores.tenants.read(tenant)
        assert record is not None
        sample = Sample(tenant, record.revision.born, Step.DAY, MAY_4, f"R{one}", Numbers(requests=1))
        await PostgresMetrics(database).add([sample])
        large = Document(f"large{one}", f"of {tenant}", "a.txt", {}, b"h" * 32, 9)
        job = Job(f"job{one}", large, JobState.QUEUED, 0, None, None, datetime.now(UTC))
        await PostgresJobStore(database).enqueue(tenant, job, b"text")
        async with database.tenant(tenant) as connection:
            await connection.execute(_PART, {"tenant": str(tenant), "document": f"large{one}", "job": f"job{one}"})


@pytest.fixture
async def database(own_database: Addresses) -> AsyncIterator[Database]:
    async with opened(own_database.url) as database:
        for number, tenant in enumerate(NEIGHBOURS, 1):
            await fill(database, tenant, number)
        yield database


def rows(addresses: Addresses, tenant: TenantId | None) -> dict[str, dict[str, int]]:
    """Rows by table and tenant, as a service sees them that was told `tenant` and forgets to ask for it."""
    found: dict[str, dict[str, int]] = {}
    with psycopg.connect(addresses.owner_url) as owner, psycopg.connect(addresses.url) as service:
        service.execute("SELECT set_config('app.tenant_id', %s, true)", (str(tenant or ""),))
        for table in tables_with_a_tenant(owner):
            statement = sql.SQL("SELECT tenant_id, count(*) FROM {} GROUP BY 1").format(sql.Identifier(table))
            found[table] = dict(service.execute(statement).fetchall())
    return found


@pytest.mark.usefixtures("database")
def test_a_table_shows_each_its_own_rows(own_database: Addresses) -> None:
    for number, tenant in enumerate(NEIGHBOURS, 1):
        found = rows(own_database, tenant)
        assert found.pop("deletions") == {}
        sums = ("usage_events", "usage_by_day", "usage_by_user", "usage_by_user_month", "tenant_metrics")
        said = ("conversations", "conversation_turns", "conversation_erasures")
        counts = dict.fromkeys(
            ("documents", "chunks", "chunk_tombstones", "snapshots", "ingest_jobs", "ingest_parts", *said, *sums),
            number,
        )
        counts |= {"tenants": 1, "audit_heads": 1, "api_keys": number + 1, "tenant_configs": number + 1}
        assert found == {table: {str(tenant): counts.get(table, 2 * number + 1)} for table in found}


async def test_every_store_shows_each_its_own(database: Database) -> None:
    stores, chunks = postgres_stores(database), PostgresChunkStore(database)
    for number, tenant in enumerate(NEIGHBOURS, 1):
        documents = await chunks.documents(tenant, after="", limit=99)
        assert [document.title for document in documents] == [f"of {tenant}"] * number
        assert [passage.text for passage in await chunks.passages(tenant, "d0")] == [f"of {tenant}"]
        corpus = await whole(chunks, tenant, "model", 4)
        assert {record.tenant_id for record in corpus.records} == {tenant}
        assert [info.label for info in await stores.keys.list(tenant)][1:] == [f"of {tenant}"] * number
        versions = await stores.tenants.versions(tenant, before=None, limit=99)
        assert {entry.config["display_name"] for entry in versions} == {f"of {tenant}"}
        events = await stores.audit.page(tenant, after=0, limit=99)
        assert {event.tenant_id for event in events} == {tenant}
        assert len(events) == 2 * number + 1
        if number < len(NEIGHBOURS):
            with pytest.raises(NotFoundError):
                await stores.tenants.version(tenant, number + 2)


async def test_who_is_deleted_takes_nothing_of_the_others_along(own_database: Addresses, database: Database) -> None:
    deletions = PostgresDeletionStore(database)
    left = list(NEIGHBOURS)
    while left:
        before = [rows(own_database, tenant) for tenant in left[1:]]
        gone = left.pop(0)
        await deletions.begin(gone, by=ALICE)
        while await deletions.purge(gone, 2):
            pass
        await deletions.finish(gone, by=ALICE, proof={})
        assert [rows(own_database, tenant) for tenant in left] == before
        assert not any(rows(own_database, gone).values())


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[Valkey]:
    with running_valkey(tmp_path / "valkey") as server:
        valkey = Valkey(server.url)
        yield valkey
        await valkey.close()


async def test_a_tenant_that_is_forgotten_takes_no_key_of_the_others_along(valkey: Valkey, tmp_path: Path) -> None:
    (tmp_path / "set.lua").write_text(SET)
    put = valkey.script(tmp_path / "set.lua")
    for number, tenant in enumerate(NEIGHBOURS, 1):
        await put(tenant, [("rate", str(other), str(one)) for one in range(number) for other in NEIGHBOURS], [])
    counts = {tenant: number * len(NEIGHBOURS) for number, tenant in enumerate(NEIGHBOURS, 1)}
    for gone in NEIGHBOURS:
        assert {tenant: await valkey.count_keys(tenant) for tenant in NEIGHBOURS} == counts
        assert await valkey.forget_tenant(gone) == counts[gone]
        counts[gone] = 0
    assert not any([await valkey.count_keys(tenant) for tenant in NEIGHBOURS])


@pytest.mark.parametrize("kind", ["memory", "folder"])
async def test_a_tenants_objects_are_its_own(kind: str, tmp_path: Path) -> None:
    objects: Objects = MemoryObjects() if kind == "memory" else FolderObjects(tmp_path / "objects")
    for number, tenant in enumerate(NEIGHBOURS, 1):
        for one in range(number):
            await objects.put(tenant, f"uploads/{one}", str(tenant).encode())
    left = list(NEIGHBOURS)
    while left:
        for tenant in left:
            keys = await objects.list(tenant)
            assert len(keys) == NEIGHBOURS.index(tenant) + 1
            assert {await objects.get(tenant, key) for key in keys} == {str(tenant).encode()}
        gone = left.pop(0)
        assert await objects.delete_all(gone) == NEIGHBOURS.index(gone) + 1
        assert await objects.list(gone) == []
    await objects.close()
