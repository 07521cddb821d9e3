"""Tenants' metrics in PostgreSQL, summed there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Row, text

from contracts.tenant import TenantId
from stores.patience import bounded
from stores.postgres import CALL_S, STATEMENT_TIMEOUT_S, Database
from tenancy.metrics import Histogram, MetricsRow, Numbers, Sample, Step
from tenancy.metrics_ports import MetricsGroup

_ADD = "SELECT add_tenant_metrics(%s::jsonb)"
_FORGET = "SELECT forget_tenant_metrics(%s, %s, %s)"
_AT_ONCE = 10_000
_SUMS = (
    "sum(requests)::bigint AS requests, sum(prompt_tokens)::bigint AS prompt_tokens,"
    " sum(cached_tokens)::bigint AS cached_tokens, sum(completion_tokens)::bigint AS completion_tokens,"
    " sum(cost_nano_usd)::bigint AS cost_nano_usd, sum_counters(refusals) AS refusals,"
    " sum_counters(throttled) AS throttled, sum_counters(errors) AS errors,"
    " sum_counts(latency) AS latency, sum_counts(first_token) AS first_token"
)
_FLEET = text(
    "SELECT tenant, at, route, requests, prompt_tokens, cached_tokens, completion_tokens, cost_nano_usd, refusals,"
    " throttled, errors, latency, first_token FROM fleet_metrics(:first, :end, :by, :limit)"
)
_COLUMNS = {MetricsGroup.AT: "at", MetricsGroup.ROUTE: "route"}


class PostgresMetrics:
    def __init__(self, database: Database) -> None:
        self._database = database

    @bounded(CALL_S, "postgres")
    async def add(self, samples: Sequence[Sample]) -> None:
        await self._database.across_tenants(_ADD, orjson.dumps([_written(sample) for sample in samples]).decode())

    @bounded(CALL_S, "postgres")
    async def rows(
        self,
        tenant_id: TenantId,
        step: Step,
        first: datetime,
        end: datetime,
        group_by: Sequence[MetricsGroup],
        *,
        limit: int,
    ) -> list[MetricsRow]:
        columns = [_COLUMNS[name] for name in group_by]
        by = ", ".join(columns)
        statement = text(
            f"SELECT {', '.join([*columns, _SUMS])} FROM tenant_metrics"
            " WHERE tenant_id = :tenant AND step = :step AND at >= :first AND at < :end"
            f"{f' GROUP BY {by} ORDER BY {by}' if columns else ' HAVING count(*) > 0'} LIMIT :limit"
        )
        values = {"tenant": str(tenant_id), "step": str(step), "first": first, "end": end, "limit": limit}
        async with self._database.tenant(tenant_id) as connection:
            return [_row(row, columns) for row in await connection.execute(statement, values)]

    @bounded(STATEMENT_TIMEOUT_S, "postgres")
    async def fleet(
        self, first: datetime, end: datetime, group_by: Sequence[MetricsGroup], *, limit: int
    ) -> list[MetricsRow]:
        values = {"first": first, "end": end, "by": [str(name) for name in group_by], "limit": limit}
        async with self._database.no_tenant() as connection:
            found = (await connection.execute(_FLEET, values)).all()
        return [_row(row, [str(name) for name in group_by]) for row in found]

    @bounded(CALL_S, "postgres")
    async def forget(self, *, hours_before: datetime, days_before: datetime) -> int:
        return int(await self._database.across_tenants(_FORGET, hours_before, days_before, _AT_ONCE))


def _written(sample: Sample) -> dict[str, Any]:
    numbers = sample.numbers
    return {
        "tenant_id": str(sample.tenant_id),
        "born": sample.born,
        "step": sample.step,
        "at": sample.at,
        "route": sample.route,
        "requests": numbers.requests,
        "prompt_tokens": numbers.prompt_tokens,
        "cached_tokens": numbers.cached_tokens,
        "completion_tokens": numbers.completion_tokens,
        "cost_nano_usd": numbers.cost_nano_usd,
        "refusals": _kept(numbers.refusals),
        "throttled": _kept(numbers.throttled),
        "errors": _kept(numbers.errors),
        "latency": numbers.latency.counts,
        "first_token": numbers.first_token.counts,
    }


def _kept(reasons: Counter[str]) -> dict[str, int]:
    """PostgreSQL keeps no NUL."""
    return {reason.replace("\x00", "\ufffd"): count for reason, count in reasons.items()}


def _row(row: Row[Any], group: Sequence[str]) -> MetricsRow:
    values = row._mapping
    numbers = Numbers(
        values["requests"],
        values["prompt_tokens"],
        values["cached_tokens"],
        values["completion_tokens"],
        values["cost_nano_usd"],
        _counter(values["refusals"]),
        _counter(values["throttled"]),
        _counter(values["errors"]),
        Histogram(values["latency"]),
        Histogram(values["first_token"]),
    )
    return MetricsRow(tuple(_text(values[name]) for name in group), numbers)


def _counter(kept: dict[str, int | None]) -> Counter[str]:
    return Counter({reason: int(count) for reason, count in kept.items() if count})


def _text(value: str | datetime) -> str:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
