"""The change counter in PostgreSQL: one query for all tenants, whatever their number."""

from __future__ import annotations

from sqlalchemy import text

from contracts.tenant import TenantId
from stores.patience import bounded
from stores.postgres import CHECK_S, Database

_LAST = text("SELECT last_change()")
_AFTER = text("SELECT subject, seq FROM changes_after(:seq)")


class PostgresChangeLog:
    def __init__(self, database: Database) -> None:
        self._database = database

    @bounded(CHECK_S, "postgres")
    async def last(self) -> int:
        async with self._database.no_tenant() as connection:
            return int((await connection.execute(_LAST)).scalar_one())

    @bounded(CHECK_S, "postgres")
    async def after(self, seq: int) -> tuple[int, list[TenantId | None]]:
        async with self._database.no_tenant() as connection:
            rows = (await connection.execute(_AFTER, {"seq": seq})).all()
        return max((row.seq for row in rows), default=seq), [
            TenantId(row.subject) if row.subject else None for row in rows
        ]
