"""The ledger's writer while PostgreSQL hangs, and while it is gone: nothing is lost, nothing is counted twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import psycopg
import pytest

from cli.local.postgres import Postgres
from contracts.tenant import TenantId
from observability.metrics import NullMetrics
from observability.names import Metric
from router.service.group_commit import Pace
from router.service.ledger_writer import LedgerWriter
from support.postgres import frozen, running_postgres
from support.tenants import opened, postgres_stores
from support.usage import an_event, so_far
from tenancy.postgres_ledger import PostgresLedger
from tenancy.usage import Counts, GroupBy

EVENTS = 300


class Failures(NullMetrics):
    def __init__(self) -> None:
        self.failed = asyncio.Event()

    def count(self, metric: Metric, amount: float = 1.0, /, **dimensions: str) -> None:
        self.failed.set()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One of its own: others must not hang with it."""
    with running_postgres(tmp_path_factory.mktemp("outage") / "postgres") as server:
        yield server


@asynccontextmanager
async def running(ledger: PostgresLedger, metrics: NullMetrics, **options: Any) -> AsyncIterator[LedgerWriter]:
    writer = LedgerWriter(ledger, metrics, **options)
    async with writer.running():
        yield writer


async def settle_all(writer: LedgerWriter, tenants: list[TenantId]) -> list[asyncio.Task[None]]:
    """As streams do: each renewed, then settled, some of whose clients leave."""
    tasks = []
    for number in range(EVENTS):
        event_id, tenant = f"{number:04}", tenants[number % len(tenants)]
        writer.renew(so_far(tenant, event_id, 1))
        tasks.append(asyncio.create_task(writer.settle(an_event(tenant, event_id, user_id=f"u{number % 5}"))))
        if number % 10 == 0:
            await asyncio.sleep(0)
            tasks[-1].cancel()
    await asyncio.sleep(0)
    return tasks


async def written(ledger: PostgresLedger, tenants: list[TenantId]) -> list[Counts]:
    ever = (date(2000, 1, 1), date(2100, 1, 1))
    found = [await ledger.totals(tenant, *ever, [GroupBy.DAY], limit=9) for tenant in tenants]
    return [sum((row.counts for row in rows), Counts()) for rows in found]


async def test_postgres_hangs_and_goes_on(server: Postgres) -> None:
    async with opened(server.url) as database:
        tenants = [await postgres_stores(database).add() for _ in range(3)]
        ledger = PostgresLedger(database)
        metrics = Failures()
        async with running(ledger, metrics) as writer:
            await writer.settle(an_event(tenants[0], "warm"))
            with frozen(server):
                tasks = await settle_all(writer, tenants)
                await metrics.failed.wait()  # a first batch was given up, though the server may commit it yet
                assert writer.backlog == EVENTS
                assert not any(task.done() for task in tasks if not task.cancelled())
            await asyncio.gather(*tasks, return_exceptions=True)
        each = EVENTS // len(tenants)
        expected = [Counts(n, 10 * n, 4 * n, 5 * n, 3_000 * n) for n in (each + 1, each, each)]
        assert await written(ledger, tenants) == expected


async def test_every_connection_is_cut_again_and_again(server: Postgres) -> None:
    async with opened(server.url) as database:
        tenants = [await postgres_stores(database).add() for _ in range(3)]
        ledger = PostgresLedger(database)
        async with (
            running(ledger, NullMetrics(), max_batch=7, pace=Pace(first_pause_s=0.001, last_pause_s=0.01)) as writer,
            await psycopg.AsyncConnection.connect(server.owner_url, autocommit=True) as owner,
        ):
            tasks = await settle_all(writer, tenants)
            for number in range(20):  # at whatever each is doing
                await owner.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'atrium_app'"
                )
                for _ in range(number):
                    await asyncio.sleep(0)
            await asyncio.gather(*tasks, return_exceptions=True)
        each = EVENTS // len(tenants)
        assert await written(ledger, tenants) == [Counts(each, 10 * each, 4 * each, 5 * each, 3_000 * each)] * 3
