"""kill -9 at every step of a tenant's deletion: it is whole until it is marked, gone once somebody goes on, with proof,
and a tenant made again under its name is empty."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from contracts.tenant import TenantId
from rag.adapters.postgres_chunks import PostgresChunkStore
from stores.objects_folder import FolderObjects
from stores.postgres import Database
from support.catalog import rows_of_tenant
from support.killed_deleter import deletions
from support.killed_process import writer
from support.postgres import Addresses
from support.retrieval import put_texts
from support.tenants import ALICE, fresh_tenant, postgres_stores
from tenancy.ports import TenantState

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MOST_STEPS = 300
DOCUMENTS = 6


def rows(owner_url: str, tenant: TenantId) -> dict[str, int]:
    """Those tables in which the tenant has any."""
    with psycopg.connect(owner_url) as owner:
        return {table: count for table, count in rows_of_tenant(owner, tenant).items() if count}


async def test_whoever_comes_after_ends_it_and_the_name_begins_anew(own_database: Addresses, tmp_path: Path) -> None:
    tenant, database = fresh_tenant(), Database(own_database.url)
    objects, chunks = FolderObjects(tmp_path / "objects"), PostgresChunkStore(database)
    stores, survivor = postgres_stores(database), deletions(database, objects)
    resumed = 0
    with writer(own_database.url, tenant, tmp_path, program="killed_deleter.py") as process:
        for fatal in range(1, MOST_STEPS):
            await stores.add(tenant)
            empty = rows(own_database.owner_url, tenant)
            for number in range(DOCUMENTS):
                await put_texts(chunks, tenant, f"d{number}", ["milk", "bread"])
                await objects.put(tenant, f"snapshots/{number}", b"index")
            before = rows(own_database.owner_url, tenant)
            assert before["chunks"] == 2 * DOCUMENTS
            _, killed = process.run(fatal)
            left = rows(own_database.owner_url, tenant)
            if "deletions" in left:
                resumed += 1
                record = await stores.tenants.read(tenant)
                assert record is None or record.revision.state is TenantState.DELETING, fatal
                await survivor.resume()
            elif left:
                assert left == before, fatal
                assert len(await objects.list(tenant)) == DOCUMENTS, fatal
                await survivor.delete(tenant, by=ALICE)
            assert rows(own_database.owner_url, tenant) == {}, fatal
            assert await objects.list(tenant) == [], fatal
            await stores.add(tenant)
            assert rows(own_database.owner_url, tenant) == empty, fatal
            await survivor.delete(tenant, by=ALICE)
            if not killed:
                break
    assert not killed
    assert resumed > 10
    await objects.close()
    await database.close()
