"""PostgreSQL itself keeps tenants apart, whatever a service forgets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from psycopg import errors, sql
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from contracts.tenant import TenantId
from stores.postgres import Database
from support.catalog import faults, functions_open_to_all, tables_with_a_tenant
from support.postgres import Addresses
from support.tenants import ALICE, TenantStores, fresh_tenant, opened, postgres_stores
from tenancy.config import TenantConfig
from tenancy.ports import TenantState
from tenancy.postgres_deletions import PostgresDeletionStore


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as database:
        yield database


@pytest.fixture
def stores(database: Database) -> TenantStores:
    return postgres_stores(database)


@pytest.fixture
async def tenant(stores: TenantStores) -> TenantId:
    return await stores.add()


@pytest.fixture
def owner(postgres: Addresses) -> Iterator[psycopg.Connection]:
    """As the schema's owner; what it does is rolled back."""
    with psycopg.connect(postgres.owner_url) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def service(database_url: str) -> Iterator[psycopg.Connection]:
    """As a service, without the doors of `stores`; what it does is rolled back."""
    with psycopg.connect(database_url) as connection:
        yield connection
        connection.rollback()


def count(connection: psycopg.Connection, table: str) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    assert row is not None
    return int(row[0])


def become(connection: psycopg.Connection, tenant: TenantId | None, *, platform: bool = False) -> None:
    connection.execute(
        "SELECT set_config('app.tenant_id', %s, true), set_config('app.platform', %s, true)",
        (str(tenant or ""), "on" if platform else "off"),
    )


def test_every_table_is_secured_as_the_catalog_says(owner: psycopg.Connection) -> None:
    assert len(tables_with_a_tenant(owner)) >= 8
    assert faults(owner) == []


@pytest.mark.parametrize(
    ("statements", "fault"),
    [
        ("", "visits: no row-level security"),
        ("ENABLE", "visits: row-level security is not forced"),
        ("ENABLE, FORCE", "visits: no policy for the rows of app.tenant_id"),
        ("ENABLE, FORCE, POLICY true", "visits: the policy p shows what is neither the tenant's nor the platform's"),
        ("ENABLE, FORCE, POLICY tenant_id <> current_setting('app.nobody')", "visits: the policy p shows what is"),
    ],
)
def test_a_new_table_that_is_not_secured_is_found(owner: psycopg.Connection, statements: str, fault: str) -> None:
    owner.execute("CREATE TABLE visits (tenant_id text NOT NULL, page text)")
    owner.execute("GRANT SELECT ON visits TO atrium_app")
    for statement in filter(None, statements.split(", ")):
        if statement.startswith("POLICY"):
            owner.execute(f"CREATE POLICY p ON visits USING ({statement.removeprefix('POLICY ')})".encode())
        else:
            owner.execute(f"ALTER TABLE visits {statement} ROW LEVEL SECURITY".encode())
    assert [found for found in faults(owner) if found.startswith(fault)]


def test_a_new_table_that_is_secured_is_none(owner: psycopg.Connection) -> None:
    owner.execute("CREATE TABLE visits (tenant_id text NOT NULL, page text)")
    owner.execute("ALTER TABLE visits ENABLE ROW LEVEL SECURITY")
    owner.execute("ALTER TABLE visits FORCE ROW LEVEL SECURITY")
    owner.execute("CREATE POLICY p ON visits USING (tenant_id = current_setting('app.tenant_id', true))")
    assert faults(owner) == []


def test_a_function_that_runs_as_the_owner_is_safe_to_call(owner: psycopg.Connection) -> None:
    """Its search path is its own, and nobody may call it whom the migrations do not name."""
    assert functions_open_to_all(owner) == []
    owner.execute("CREATE FUNCTION careless() RETURNS integer LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'")
    assert functions_open_to_all(owner) == ["careless"]


@pytest.mark.usefixtures("tenant")
def test_a_connection_that_says_nothing_sees_nothing(owner: psycopg.Connection, service: psycopg.Connection) -> None:
    """Neither does one that says it is nobody, nor one that says it is a tenant that does not exist."""
    tables = tables_with_a_tenant(owner)
    assert {"tenants", "tenant_configs", "api_keys", "audit_events", "audit_heads"} <= set(tables)
    assert all(count(owner, table) for table in ("tenants", "tenant_configs", "api_keys", "audit_events"))
    assert [count(service, table) for table in tables] == [0] * len(tables)
    for nobody in (None, fresh_tenant()):
        become(service, nobody)
        assert [count(service, table) for table in tables] == [0] * len(tables)


def test_the_platform_sees_its_own_rows_and_no_tenants(
    owner: psycopg.Connection, service: psycopg.Connection, tenant: TenantId
) -> None:
    become(service, None, platform=True)
    for table in tables_with_a_tenant(owner):
        if table != "deletions":
            statement = sql.SQL("SELECT count(*) FROM {} WHERE tenant_id IS NOT NULL").format(sql.Identifier(table))
            assert service.execute(statement).fetchone() == (0,), table
    become(service, tenant)
    for table in ("api_keys", "audit_events", "audit_heads", "deletions"):
        statement = sql.SQL("SELECT count(*) FROM {} WHERE tenant_id IS NULL").format(sql.Identifier(table))
        assert service.execute(statement).fetchone() == (0,), table
    for table in ("changes", "change_counter"):
        assert count(service, table) == 0


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


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO api_keys (key_id, key_hash, role, label) VALUES ('k', sha256('k'), 'platform_admin', '')",
        "INSERT INTO audit_events SELECT NULL, 99, now(), '', '', '', '', '', '', NULL, NULL, '{}', '', ''",
        "INSERT INTO audit_heads VALUES (NULL, 99, '')",
        "INSERT INTO deletions VALUES ('x', '', '', now())",
        "UPDATE api_keys SET tenant_id = NULL, role = 'platform_admin'",
        "UPDATE api_keys SET tenant_id = 'somebody-else'",
    ],
)
def test_a_tenant_writes_nothing_of_the_platforms_or_anothers(
    service: psycopg.Connection, tenant: TenantId, statement: str
) -> None:
    become(service, tenant)
    with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
        service.execute(statement.encode())


@pytest.mark.parametrize("table", ["tenant_configs", "audit_events"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET tenant_id = tenant_id", "DELETE FROM {}", "TRUNCATE {}"])
def test_a_config_version_and_an_audit_event_can_be_neither_changed_nor_deleted(
    service: psycopg.Connection, tenant: TenantId, table: str, statement: str
) -> None:
    become(service, tenant, platform=True)
    with pytest.raises(errors.InsufficientPrivilege):
        service.execute(sql.SQL(statement).format(sql.Identifier(table)))


def test_nor_do_they_go_with_their_tenant(service: psycopg.Connection, tenant: TenantId) -> None:
    become(service, tenant)
    with pytest.raises(errors.InsufficientPrivilege):
        service.execute("DELETE FROM tenants")


@pytest.mark.parametrize(
    "statement",
    ["INSERT INTO changes VALUES ('x', 1)", "UPDATE change_counter SET seq = 0", "SELECT note_change()"],
)
def test_the_change_counter_is_moved_by_its_triggers_alone(service: psycopg.Connection, statement: str) -> None:
    with pytest.raises((errors.InsufficientPrivilege, errors.FeatureNotSupported)):
        service.execute(statement.encode())


async def test_a_purge_reaches_no_other_tenant(
    database: Database, stores: TenantStores, owner: psycopg.Connection, service: psycopg.Connection
) -> None:
    active, deleting, suspended = await stores.add(), await stores.add(), await stores.add()
    await PostgresDeletionStore(database).begin(deleting, by=ALICE)
    await stores.tenants.set_state(suspended, TenantState.SUSPENDED, by=ALICE)
    before = count(owner, "tenant_configs")
    for whose in (active, suspended, None):
        become(service, whose, platform=True)
        assert service.execute("SELECT * FROM purge_tenant(1000)").fetchall() == []
        assert service.execute("SELECT remove_purged_tenant()").fetchone() == (False,)
    become(service, deleting)
    removed = service.execute("SELECT name, removed FROM purge_tenant(1000)").fetchall()
    assert sorted(removed) == [("api_keys", 1), ("audit_events", 1), ("audit_heads", 1), ("tenant_configs", 1)]
    service.commit()
    assert count(owner, "tenant_configs") == before - 1
    await PostgresDeletionStore(database).finish(deleting, by=ALICE, proof={})


async def test_the_tenant_of_one_transaction_does_not_leak_into_the_next(
    database: Database, tenant: TenantId, stores: TenantStores
) -> None:
    async with database.tenant(tenant) as connection:
        assert (await connection.execute(text("SELECT count(*) FROM tenants"))).scalar_one() == 1
    async with database.no_tenant() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM tenants"))).scalar_one() == 0
    with pytest.raises(ValueError, match="broken off"):
        async with database.tenant_as_platform(tenant):
            raise ValueError("broken off")
    async with database.no_tenant() as connection:
        settings = "SELECT current_setting('app.tenant_id', true), current_setting('app.platform', true)"
        assert tuple((await connection.execute(text(settings))).one()) == ("", "off")
    assert await stores.tenants.write_config(tenant, TenantConfig(), by=ALICE) == 2
