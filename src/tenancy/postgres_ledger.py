"""The usage ledger in PostgreSQL. What is written goes through two functions of the schema's owner (migration 0003):
the service role itself may read its tenant's rows, and write none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import orjson
import psycopg
from sqlalchemy import Row, text

from contracts.tenant import TenantId
from stores.patience import bounded
from stores.postgres import CALL_S, Database
from tenancy.usage import (
    Counts,
    GroupBy,
    LedgerRow,
    MonthUsage,
    Outcome,
    PricedUsage,
    UsageEvent,
    UsageRow,
    coalesced,
    month_days,
)
from tenancy.usage_ports import STALE_S

MAX_TEXT = 256
"""Characters kept of a name, so that no client's text is too long for an index."""
_ORPHANS_AT_ONCE = 1_000

_SUMS = (
    "sum(requests)::bigint AS requests, sum(prompt_tokens)::bigint AS prompt_tokens,"
    " sum(cached_tokens)::bigint AS cached_tokens, sum(completion_tokens)::bigint AS completion_tokens,"
    " sum(cost_nano_usd)::bigint AS cost_nano_usd"
)
_EVENT = (
    "event_id, request_id, user_id, session_id, route, model, pool, prompt_tokens, cached_tokens, completion_tokens,"
    " price_version, cost_nano_usd, outcome, started_at"
)
_COLUMNS = {GroupBy.DAY: "day", GroupBy.ROUTE: "route", GroupBy.MODEL: "model", GroupBy.USER: "user_id"}

_BY_DAY = "SELECT * FROM usage_by_day WHERE day >= :first AND day < :end"
_BY_USER = "SELECT * FROM usage_by_user WHERE day >= :first AND day < :end"
_KEPT = "tenant_id, user_id, route, model, requests, prompt_tokens, cached_tokens, completion_tokens, cost_nano_usd"
_BY_USER_MONTHS = (  # whole months, and the days before and behind them
    f"SELECT {_KEPT} FROM usage_by_user_month WHERE month >= :month AND month < :month_end"
    f" UNION ALL SELECT {_KEPT} FROM usage_by_user WHERE day >= :first AND day < :month"
    f" UNION ALL SELECT {_KEPT} FROM usage_by_user WHERE day >= :month_end AND day < :end"
)

_WRITE = "SELECT record_usage(%s::jsonb)"
_CLOSE = "SELECT close_orphans(%s, %s)"
_OPEN_ROWS = (
    "FROM usage_events WHERE tenant_id = :tenant AND state = 'open'"
    " AND started_at >= CAST(:first AS timestamp) AT TIME ZONE 'UTC'"
    " AND started_at < CAST(:end AS timestamp) AT TIME ZONE 'UTC'"
)
_SPEND = text(
    "SELECT (SELECT coalesce(sum(cost_nano_usd), 0) FROM usage_by_day"
    " WHERE tenant_id = :tenant AND day >= :first AND day < :end)::bigint"
    f" + (SELECT coalesce(sum(cost_nano_usd), 0) {_OPEN_ROWS} AND renewed_at < clock_timestamp() - :stale)::bigint"
)
_LINES = text(
    f"SELECT model, price_version, {_SUMS} FROM usage_by_day"
    " WHERE tenant_id = :tenant AND day >= :first AND day < :end"
    " GROUP BY model, price_version HAVING sum(requests) > 0 ORDER BY model, price_version"
)
_OPEN = text(f"SELECT count(*) {_OPEN_ROWS}")
_ROWS = text(
    f"SELECT {_EVENT}, renewed_at, settled_at FROM usage_events WHERE tenant_id = :tenant AND event_id > :after"
    " ORDER BY event_id LIMIT :limit"
)


class PostgresLedger:
    def __init__(self, database: Database) -> None:
        self._database = database

    @bounded(CALL_S, "postgres")
    async def write(self, events: Sequence[UsageEvent]) -> None:
        try:
            written = orjson.dumps([_written(event) for event in coalesced(events)]).decode()
            await self._database.across_tenants(_WRITE, written)
        except (psycopg.DataError, psycopg.IntegrityError, orjson.JSONEncodeError) as error:
            raise ValueError("the ledger cannot keep this event") from error

    async def close_orphans(self, older_than_s: float) -> int:
        closed = 0
        while step := await self._close_some(timedelta(seconds=older_than_s)):
            closed += step
        return closed

    @bounded(CALL_S, "postgres")
    async def _close_some(self, older_than: timedelta) -> int:
        return int(await self._database.across_tenants(_CLOSE, older_than, _ORPHANS_AT_ONCE))

    @bounded(CALL_S, "postgres")
    async def month_spend(self, tenant_id: TenantId, month: str) -> int:
        first, end = month_days(month)
        values = {"tenant": str(tenant_id), "first": first, "end": end, "stale": timedelta(seconds=STALE_S)}
        async with self._database.tenant(tenant_id) as connection:
            return int((await connection.execute(_SPEND, values)).scalar_one())

    @bounded(CALL_S, "postgres")
    async def month(self, tenant_id: TenantId, month: str) -> MonthUsage:
        first, end = month_days(month)
        values = {"tenant": str(tenant_id), "first": first, "end": end}
        async with self._database.tenant(tenant_id) as connection:
            # What is open is counted first: if none is, the sums that are read then have all.
            opened = int((await connection.execute(_OPEN, values)).scalar_one())
            lines = (await connection.execute(_LINES, values)).all()
        return MonthUsage(tuple(PricedUsage(row.model, row.price_version, _counts(row)) for row in lines), opened)

    @bounded(CALL_S, "postgres")
    async def totals(
        self, tenant_id: TenantId, first: date, end: date, group_by: Sequence[GroupBy], *, limit: int
    ) -> list[UsageRow]:
        columns = ", ".join(_COLUMNS[name] for name in group_by)
        source = _BY_DAY
        if GroupBy.USER in group_by:
            source = _BY_USER if GroupBy.DAY in group_by else _BY_USER_MONTHS
        statement = text(
            f"SELECT {columns}, {_SUMS} FROM ({source}) AS kept WHERE tenant_id = :tenant"
            f" GROUP BY {columns} HAVING sum(requests) > 0 ORDER BY {columns} LIMIT :limit"
        )
        values = {"tenant": str(tenant_id), "first": first, "end": end, "limit": limit}
        values |= _whole_months(first, end)
        async with self._database.tenant(tenant_id) as connection:
            found = (await connection.execute(statement, values)).all()
        return [UsageRow(tuple(str(value) for value in row[: len(group_by)]), _counts(row)) for row in found]

    @bounded(CALL_S, "postgres")
    async def rows(
        self, tenant_id: TenantId, *, after: str, limit: int, born: datetime | None = None
    ) -> list[LedgerRow]:
        values = {"tenant": str(tenant_id), "after": after, "limit": limit}
        async with self._database.tenant(tenant_id, born=born) as connection:
            return [_ledger_row(tenant_id, row) for row in await connection.execute(_ROWS, values)]


def _whole_months(first: date, end: date) -> dict[str, date]:
    """The first days of the months that lie in the span entirely, and of the month after; `end` twice for none."""
    month = first if first.day == 1 else (first.replace(day=28) + timedelta(days=4)).replace(day=1)
    month_end = end.replace(day=1)
    return {"month": month, "month_end": month_end} if month < month_end else {"month": end, "month_end": end}


def _written(event: UsageEvent) -> dict[str, Any]:
    return {
        "tenant_id": event.tenant_id.value,
        "tenant_born": event.tenant_born,
        "event_id": _text(event.event_id),
        "request_id": _text(event.request_id),
        "user_id": _text(event.user_id),
        "session_id": _text(event.session_id),
        "route": _text(event.route),
        "model": _text(event.model),
        "pool": _text(event.pool),
        "prompt_tokens": event.prompt_tokens,
        "cached_tokens": event.cached_tokens,
        "completion_tokens": event.completion_tokens,
        "price_version": event.price_version,
        "cost_nano_usd": event.cost_nano_usd,
        "outcome": event.outcome,
        "started_at": event.started_at,
    }


def _text(value: str) -> str:
    """As PostgreSQL can keep it: a name that cannot be kept must not cost the bill."""
    if "\x00" in value or not value.isascii():
        value = value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return value[:MAX_TEXT]


def _counts(row: Row[Any]) -> Counts:
    return Counts(row.requests, row.prompt_tokens, row.cached_tokens, row.completion_tokens, row.cost_nano_usd)


def _ledger_row(tenant_id: TenantId, row: Row[Any]) -> LedgerRow:
    values = {name: value for name, value in row._mapping.items() if name not in {"renewed_at", "settled_at"}}
    values["outcome"] = Outcome(row.outcome) if row.outcome is not None else None
    return LedgerRow(UsageEvent(tenant_id=tenant_id, **values), row.renewed_at, row.settled_at)
