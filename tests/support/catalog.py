"""What PostgreSQL itself says of its tables and its locks, asked as the owner."""

from __future__ import annotations

import asyncio
import time

import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

WAIT_S = 20.0

_TABLES = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND c.relname <> 'alembic_version' ORDER BY 1
"""
_WITH_TENANT = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND a.attname = 'tenant_id' AND NOT a.attisdropped ORDER BY 1
"""
_BLOCKED = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
AND (%(by)s::integer IS NULL OR %(by)s = ANY (pg_blocking_pids(pid)))
"""


def tables(owner: psycopg.Connection) -> list[str]:
    return [row[0] for row in owner.execute(_TABLES)]


def tables_with_a_tenant(owner: psycopg.Connection) -> list[str]:
    return [row[0] for row in owner.execute(_WITH_TENANT)]


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
