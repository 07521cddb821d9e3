"""The change counter in PostgreSQL: one query for all tenants, whatever their number."""

from __future__ import annotations

from sqlalchemy import text

from contracts.tenant import TenantId
from stores.patience import bounded
from stores.postgres import CHECK_S, Database

_LAST = text("SELECT last_change()")
_AFTER = text("SELECT last_change() AS counter, c.subject FROM (SELECT) one LEFT JOIN changes_after(:seq) c ON true")


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
        subjects = [row.subject for row in rows if row.subject is not None]
        return int(rows[0].counter), [TenantId(subject) if subject else None for subject in subjects]
