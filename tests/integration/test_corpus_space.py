"""What thousands of single writes leave behind, in PostgreSQL and in the object store: at most twice what lives."""

from __future__ import annotations

import secrets
from pathlib import Path

import psycopg
import pytest

from contracts.tenant import TenantId
from rag.adapters.index_builder import HybridIndexBuilder
from rag.adapters.postgres_chunks import PostgresChunkStore
from rag.adapters.postgres_marks import PostgresMarks
from stores.objects_folder import FolderObjects
from support.postgres import Addresses
from support.retrieval import put_texts, replica
from support.tenants import opened, postgres_stores

_ROWS = "SELECT coalesce(sum(pg_column_size(t.*)), 0) FROM {} t WHERE tenant_id = %s"


def row_bytes(addresses: Addresses, tenant: TenantId, *tables: str) -> int:
    with psycopg.connect(addresses.owner_url) as owner:
        rows = [owner.execute(_ROWS.format(table).encode(), (str(tenant),)).fetchone() for table in tables]
    return sum(int(row[0]) for row in rows if row is not None)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("writes", "documents"), [(5_000, 200), (1_000, 1), (1_000, 130)])
async def test_rows_and_objects_end_within_twice_the_living_rows(
    own_database: Addresses, tmp_path: Path, writes: int, documents: int
) -> None:
    """Of one document, of as many as a tenant has at least for a snapshot (half of them go), and of many."""
    objects = FolderObjects(tmp_path / "objects")
    async with opened(own_database.url) as database:
        tenant = await postgres_stores(database).add()
        store = PostgresChunkStore(database)
        builder = HybridIndexBuilder()
        own = replica(
            store, PostgresMarks(database), objects=objects, disk=tmp_path / "disk", builder=builder, stored_from=64
        )
        for number in range(writes):
            await put_texts(store, tenant, f"d{number % documents}", [f"{number} {secrets.token_urlsafe(750)}"])
            if number % 100 == 99:
                await own.compactor.turn()
        for number in range(0, documents - 1, 2):
            await store.delete(tenant, f"d{number}")
        await own.compactor.turn()
        living = row_bytes(own_database, tenant, "chunks", "documents")
        rows = living + row_bytes(own_database, tenant, "chunk_tombstones", "snapshots")
        stored = sum([len(await objects.get(tenant, key) or b"") for key in await objects.list(tenant)])
        assert rows <= 1.1 * living
        assert rows + stored <= 2 * living
        found = await own.texts(tenant)
        left = set(range(documents)) - set(range(0, documents - 1, 2))
        assert sorted(int(text.split()[0]) % documents for text in found) == sorted(left)
    await objects.close()
