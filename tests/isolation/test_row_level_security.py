"""PostgreSQL itself keeps tenants apart, whatever a service forgets."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from contracts.tenant import TenantId
from stores.postgres import Database
from tenancy.config import TenantConfig, Tier
from tenancy.keys import new_key
from tenancy.postgres_tenants import PostgresTenantStore

WITH_TENANT = text(
    "SELECT c.relname, c.relrowsecurity FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND c.relname <> 'alembic_version'"
)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
async def tenant(database: Database) -> TenantId:
    tenant = TenantId(f"rls-{secrets.token_hex(4)}")
    await PostgresTenantStore(database).create(tenant, Tier.BASIC, TenantConfig(), new_key())
    return tenant


async def test_every_table_has_row_level_security_and_shows_nothing_without_a_tenant(
    database: Database, tenant: TenantId
) -> None:
    async with database.no_tenant() as connection:
        tables = (await connection.execute(WITH_TENANT)).all()
        assert len(tables) >= 5
        for table, secured in tables:
            assert secured, f"{table} has no row-level security"
            count = await connection.execute(text(f'SELECT count(*) FROM "{table}"'))  # noqa: S608  from pg_class
            assert count.scalar_one() == 0, table


async def test_the_service_role_cannot_step_around_it(database: Database) -> None:
    async with database.no_tenant() as connection:
        role = (
            await connection.execute(
                text("SELECT rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = current_user")
            )
        ).one()
        owned = await connection.execute(text("SELECT count(*) FROM pg_tables WHERE tableowner = current_user"))
        assert tuple(role) == (False, False, False)
        assert owned.scalar_one() == 0


async def test_a_row_of_another_tenant_can_be_neither_seen_nor_written(database: Database, tenant: TenantId) -> None:
    other = TenantId(f"{tenant}-x")
    async with database.tenant(other) as connection:
        seen = await connection.execute(text("SELECT count(*) FROM tenants WHERE tenant_id = :t"), {"t": str(tenant)})
        changed = await connection.execute(
            text("UPDATE tenants SET tier = 'pro' WHERE tenant_id = :t"), {"t": str(tenant)}
        )
        assert (seen.scalar_one(), changed.rowcount) == (0, 0)
    with pytest.raises(DBAPIError, match="row-level security"):
        async with database.tenant(other) as connection:
            await connection.execute(
                text("INSERT INTO tenants (tenant_id, tier, config_version) VALUES (:t, 'pro', 1)"),
                {"t": f"{tenant}-y"},
            )


async def test_the_tenant_of_one_transaction_does_not_leak_into_the_next(database: Database, tenant: TenantId) -> None:
    async with database.tenant(tenant) as connection:
        assert (await connection.execute(text("SELECT count(*) FROM tenants"))).scalar_one() == 1
    async with database.no_tenant() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM tenants"))).scalar_one() == 0
