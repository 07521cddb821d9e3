"""What PostgreSQL itself says of its tables and its locks, asked as the owner."""

from __future__ import annotations

import asyncio
import time

import psycopg
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.tenant import TenantId

WAIT_S = 20.0

_WITH_TENANT = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND a.attname = 'tenant_id' AND NOT a.attisdropped ORDER BY 1
"""
_SECURITY = """
SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND c.relname <> 'alembic_version' ORDER BY 1
"""
# What holds for the service role: its own policies, and those for everybody.
_POLICIES = """
SELECT tablename, policyname, coalesce(qual, ''), coalesce(with_check, qual, '') FROM pg_policies
WHERE schemaname = 'public' AND roles && ARRAY['public', 'atrium_app']::name[] ORDER BY 1, 2
"""
_OPEN_FUNCTIONS = """
SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = 'public' AND p.prosecdef AND (
  NOT 'search_path=pg_catalog, public' = ANY (coalesce(p.proconfig, '{}'))
  OR EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0)
) ORDER BY 1
"""
NOT_FORCED = {
    "api_keys": "a key's owner is found before the tenant is known, by functions that run as the schema's owner",
    "changes": "written by a trigger that runs as the schema's owner; the service role sees no row of it",
    "change_counter": "as changes",
}
PLATFORM_ONLY = {
    "deletions": "the platform's list of tenants that go away, which outlasts the tenant's own rows",
    "prices": "the platform's price list",
}
_OWN_ROWS = "(tenant_id = current_setting('app.tenant_id'::text, true))"
_PLATFORM = "(current_setting('app.platform'::text, true) = 'on'::text)"
_PLATFORM_ROWS = f"((tenant_id IS NULL) AND {_PLATFORM})"
_SAFE = {_OWN_ROWS, _PLATFORM_ROWS, "false"}
_BLOCKED = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
AND (%(by)s::integer IS NULL OR %(by)s = ANY (pg_blocking_pids(pid)))
"""


def tables_with_a_tenant(owner: psycopg.Connection) -> list[str]:
    return [row[0] for row in owner.execute(_WITH_TENANT)]


def rows_of_tenant(owner: psycopg.Connection, tenant: TenantId) -> dict[str, int]:
    """How many the tenant has in each table that has a tenant."""
    counted = {}
    for table in tables_with_a_tenant(owner):
        statement = sql.SQL("SELECT count(*) FROM {} WHERE tenant_id = %s").format(sql.Identifier(table))
        row = owner.execute(statement, (str(tenant),)).fetchone()
        assert row is not None
        counted[table] = int(row[0])
    return counted


def faults(owner: psycopg.Connection) -> list[str]:
    """Tables whose rows a forgotten `WHERE tenant_id = …` would show to another tenant."""
    found: list[str] = []
    with_tenant = tables_with_a_tenant(owner)
    policies = owner.execute(_POLICIES).fetchall()
    for table, enabled, forced in owner.execute(_SECURITY).fetchall():
        if not enabled:
            found.append(f"{table}: no row-level security")
        elif not forced and table not in NOT_FORCED:
            found.append(f"{table}: row-level security is not forced")
        own = [row for row in policies if row[0] == table and row[2] == row[3] == _OWN_ROWS]
        if table in with_tenant and not own and table not in PLATFORM_ONLY:
            found.append(f"{table}: no policy for the rows of app.tenant_id")
    for table, policy, seen, written in policies:
        safe = _SAFE | ({_PLATFORM} if table in PLATFORM_ONLY else set())
        if not {seen, written} <= safe:
            found.append(f"{table}: the policy {policy} shows what is neither the tenant's nor the platform's")
    return found


def functions_open_to_all(owner: psycopg.Connection) -> list[str]:
    """Functions that run as the owner and can be called by anybody, or be led astray by the caller's search path."""
    return [row[0] for row in owner.execute(_OPEN_FUNCTIONS)]


async def waits_for_a_lock(owner_url: str, by: AsyncConnection | None = None) -> None:
    """Until some session waits for one that the transaction `by` holds; without it, for any."""
    pid = (await by.execute(text("SELECT pg_backend_pid()"))).scalar_one() if by is not None else None
    until = time.monotonic() + WAIT_S
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner:
        while True:
            row = await (await owner.execute(_BLOCKED, {"by": pid})).fetchone()
            if row and row[0]:
                return
            assert time.monotonic() < until, "nobody waits for a lock"
            await asyncio.sleep(0.01)
