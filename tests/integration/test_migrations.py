"""The migrations, on a database with data: down, up again, and as an owner who is no superuser."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import psycopg
import pytest
from alembic import command
from alembic.config import Config

from cli.local.postgres import ROOT, SERVICE_ROLE, migrate
from contracts.tenant import TenantId
from rag.adapters.postgres_chunks import PostgresChunkStore
from rag.domain.corpus import Chunk, Document
from stores.postgres import Database
from support.catalog import faults
from support.postgres import Addresses
from support.tenants import ALICE, opened, postgres_stores
from tenancy.audit import find_breach
from tenancy.config import TenantConfig, Tier
from tenancy.keys import new_key
from tenancy.ports import TenantState
from tenancy.postgres_changes import PostgresChangeLog
from tenancy.postgres_deletions import PostgresDeletionStore


def migrate_to(addresses: Addresses, revision: str) -> None:
    config = Config(ROOT / "alembic.ini")
    config.attributes["database_url"] = addresses.owner_url
    (command.downgrade if revision != "head" else command.upgrade)(config, revision)


async def upload(database: Database, tenant: TenantId) -> None:
    vectors = np.ones((1, 4), dtype=np.float16)
    document = Document("d", "Title", "a.txt", {}, b"h" * 32, 9)
    await PostgresChunkStore(database).put(tenant, document, [Chunk("c", 0, "text", 0, 4)], vectors, "model")


async def walk(database: Database) -> None:
    """A tenant's whole life, through every function that looks across tenants."""
    stores, changes = postgres_stores(database), PostgresChangeLog(database)
    tenant, key = await stores.add_with_key()
    await upload(database, tenant)
    assert tenant in [row.tenant_id for row in await stores.tenants.list("", 99)]
    holder = await stores.keys.find(key.key_hash)
    assert holder is not None
    assert holder.tenant_id == tenant
    await stores.keys.touch({key.key_id: datetime.now(UTC)})
    assert (await stores.keys.list(tenant))[0].last_used_at is not None
    seq = await changes.last()
    assert await stores.tenants.write_config(tenant, TenantConfig(), by=ALICE) == 2
    await stores.tenants.set_state(tenant, TenantState.SUSPENDED, by=ALICE)
    assert await changes.after(seq) == (seq + 2, [tenant])
    events = await stores.audit.page(tenant, after=0, limit=9)
    assert len(events) == 3
    assert find_breach(events, await stores.audit.head(tenant)) is None
    deletions = PostgresDeletionStore(database)
    await deletions.begin(tenant, by=ALICE)
    done = await deletions.finish(tenant, by=ALICE, proof={})
    assert done is not None
    assert done.removed == {
        **{f"postgres.{table}": 1 for table in ("chunks", "documents", "api_keys", "audit_heads", "tenants")},
        "postgres.tenant_configs": 2,
        "postgres.audit_events": 3,
    }
    assert await stores.tenants.read(tenant) is None


async def test_down_and_up_again_with_data(own_database: Addresses) -> None:
    async with opened(own_database.url) as database:
        stores, platform_key = postgres_stores(database), new_key()
        tenant, key = await stores.add_with_key()
        await stores.tenants.write_config(tenant, TenantConfig(tier=Tier.PRO), by=ALICE)
        await stores.keys.add_first_platform_key(platform_key, "first")
        await upload(database, tenant)
    for _ in range(2):
        migrate_to(own_database, "0001")
        with psycopg.connect(own_database.owner_url) as owner:
            rows = "SELECT (SELECT count(*) FROM tenant_configs), (SELECT count(*) FROM chunks), tier FROM tenants"
            assert owner.execute(rows).fetchall() == [(2, 1, "pro")]
            assert owner.execute("SELECT tenant_id FROM find_api_key(%s)", (key.key_hash,)).fetchone() == (str(tenant),)
        migrate_to(own_database, "head")
    with psycopg.connect(own_database.owner_url) as owner:
        assert faults(owner) == []
    async with opened(own_database.url) as database:
        stores = postgres_stores(database)
        found = await stores.tenants.read(tenant)
        assert found is not None
        assert (found.revision.version, found.config.tier) == (2, Tier.PRO)
        assert await stores.tenants.write_config(tenant, TenantConfig(), by=ALICE) == 3
        assert [info.key_id for info in await stores.keys.list(tenant)] == [key.key_id]
        assert not await stores.keys.add_first_platform_key(new_key(), "second")
        events = await stores.audit.page(tenant, after=0, limit=9)
        assert [event.action for event in events] == ["config.write"]  # an older schema keeps no audit log
        await walk(database)


async def test_down_to_nothing_and_up(own_database: Addresses) -> None:
    migrate_to(own_database, "base")
    migrate_to(own_database, "head")
    async with opened(own_database.url) as database:
        await walk(database)


@pytest.fixture
def plain_owner(postgres: Addresses) -> Iterator[Addresses]:
    """A database whose owner is no superuser, as on RDS: row-level security holds for it too, where it is forced."""
    name = f"t{secrets.token_hex(4)}"
    url = postgres.url.replace("/atrium?", f"/{name}?")
    with psycopg.connect(postgres.owner_url, autocommit=True) as root:
        root.execute(f"CREATE ROLE {name} LOGIN NOSUPERUSER NOBYPASSRLS".encode())
        root.execute(f"CREATE DATABASE {name} OWNER {name}".encode())
        try:
            yield Addresses(url, url.replace(f"{SERVICE_ROLE}@", f"{name}@"))
        finally:
            root.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
            root.execute(f"DROP ROLE {name}".encode())


async def test_an_owner_who_is_no_superuser_is_enough(plain_owner: Addresses) -> None:
    migrate(plain_owner.owner_url)
    async with opened(plain_owner.url) as database:
        await walk(database)
        stores = postgres_stores(database)
        assert await stores.keys.add_first_platform_key(new_key(), "first")
        assert not await stores.keys.add_first_platform_key(new_key(), "second")
    migrate_to(plain_owner, "0001")
    migrate_to(plain_owner, "head")
    async with opened(plain_owner.url) as database:
        await walk(database)
