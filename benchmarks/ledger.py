"""The usage ledger: what writing a row costs, and how soon usage is answered however many rows there are.

    PYTHONPATH=src:tests python -m benchmarks.ledger [ROWS]

A PostgreSQL server of its own, durable as in production. The rows (1,000,000 unless said otherwise) are made by SQL
inside the database, and their sums with them; the answers are asked of a router's own usage service.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psutil
import psycopg
from rich.console import Console
from rich.table import Table

from cli.local.postgres import Postgres
from cli.local.sockets import remove_socket_folder
from contracts.tenant import TenantId
from observability.metrics import NullMetrics
from router.adapters.memory_prices import MemoryPriceStore
from router.domain.pricing import Price
from router.service.ledger_writer import LedgerWriter
from router.service.prices import Prices
from router.service.usage import UsageService
from stores.postgres import Database
from support.tenants import postgres_stores
from support.usage import an_event
from tenancy.postgres_ledger import PostgresLedger
from tenancy.usage import GroupBy, UsageEvent

TENANTS, USERS, ROUTES, MODELS, DAYS = 10, 1_000, 4, 2, 365
WRITTEN = 20_000
LAST = date(2026, 5, 4)
FIRST = LAST - timedelta(days=DAYS - 1)

# Independent of each other, as a hash is of another; two thirds of the requests take the first route.
_EVENTS = """
INSERT INTO usage_events
SELECT 'bench-' || h[1] %% %(tenants)s, 'e' || n, 'r' || n, 'u' || h[2] %% %(users)s, 's',
       'R' || greatest(0, h[3] %% (3 * %(routes)s) - 2 * %(routes)s), 'm' || h[4] %% %(models)s,
       'pooled', 300, 100, 100, 1, 62000, 'answered', 'settled', at, at, at
  FROM generate_series(%(from)s, %(to)s) n,
       LATERAL (SELECT ARRAY(SELECT hashint8extended(n, s) & 1048575 FROM generate_series(1, 5) s)) a (h),
       LATERAL (SELECT %(first)s::date + (h[5] %% %(days)s) * interval '1 day' + interval '12 h') t (at)
"""
# In the order of days, as they come: the tenants mixed.
_SUMS = """
INSERT INTO usage_by_day
SELECT tenant_id, (started_at AT TIME ZONE 'UTC')::date, route, model, price_version, count(*),
       sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(cost_nano_usd)
  FROM usage_events GROUP BY 1, 2, 3, 4, 5 ORDER BY 2;
INSERT INTO usage_by_user
SELECT tenant_id, (started_at AT TIME ZONE 'UTC')::date, user_id, route, model, count(*),
       sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(cost_nano_usd)
  FROM usage_events GROUP BY 1, 2, 3, 4, 5 ORDER BY 2;
INSERT INTO usage_by_user_month
SELECT tenant_id, date_trunc('month', day)::date, user_id, route, model, sum(requests),
       sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), sum(cost_nano_usd)
  FROM usage_by_user GROUP BY 1, 2, 3, 4, 5 ORDER BY 2;
"""

_SHAPE = {"tenants": TENANTS, "users": USERS, "routes": ROUTES, "models": MODELS, "days": DAYS, "first": FIRST}

_console = Console()


@contextmanager
def durable_postgres(data_dir: Path) -> Iterator[Postgres]:
    server = Postgres(data_dir)
    server.prepare()
    command = [*server.command(), "-c", "max_wal_size=4GB", "-c", "maintenance_work_mem=512MB"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
    try:
        while not server.answers():
            time.sleep(0.05)
        server.migrate()
        yield server
    finally:
        process.terminate()
        process.wait()
        remove_socket_folder(data_dir)


def cpu_of(server: Postgres) -> float:
    """Of every process of the server, those that have ended included."""
    postmaster = psutil.Process(int((server.data_dir / "postmaster.pid").read_text().split()[0]))
    spent = 0.0
    for process in [postmaster, *postmaster.children()]:
        times = process.cpu_times()
        spent += times.user + times.system
    ended = postmaster.cpu_times()
    return spent + ended.children_user + ended.children_system


async def writing(server: Postgres, ledger: PostgresLedger, tenants: list[TenantId], at_once: int) -> list[str]:
    """`at_once` streams, each of which settles one event after the other, as requests do."""
    model = an_event(tenants[0], started_at=datetime.now(UTC))
    count = WRITTEN if at_once > 1 else WRITTEN // 20
    events = iter(
        [
            replace(model, tenant_id=tenants[n % len(tenants)], event_id=secrets.token_hex(16), user_id=f"u{n % 500}")
            for n in range(count)
        ]
    )
    latencies: list[float] = []

    async def stream(writer: LedgerWriter) -> None:
        for event in events:
            asked = time.perf_counter()
            await writer.settle(event)
            latencies.append(time.perf_counter() - asked)

    writer = LedgerWriter(ledger, NullMetrics())
    async with writer.running():
        spent, ours, began = cpu_of(server), time.process_time(), time.perf_counter()
        await asyncio.gather(*(stream(writer) for _ in range(at_once)))
        took, ours, spent = time.perf_counter() - began, time.process_time() - ours, cpu_of(server) - spent
    return [
        str(at_once),
        f"{count / took:,.0f}",
        f"{ours / count * 1e6:.0f} µs",
        f"{spent / count * 1e6:.0f} µs",
        f"{statistics.median(latencies) * 1e3:.1f} ms",
    ]


async def renewing(server: Postgres, ledger: PostgresLedger, tenants: list[TenantId]) -> list[str]:
    """What a renewal costs: 500 open events, each renewed again and again."""
    model = an_event(tenants[0], started_at=datetime.now(UTC), outcome=None)
    events: list[UsageEvent] = [
        replace(model, tenant_id=tenants[n % len(tenants)], event_id=secrets.token_hex(16)) for n in range(500)
    ]
    await ledger.write(events)
    rounds = 20
    spent, ours, began = cpu_of(server), time.process_time(), time.perf_counter()
    for _ in range(rounds):
        await ledger.write(events)
    took, ours, spent = time.perf_counter() - began, time.process_time() - ours, cpu_of(server) - spent
    count = rounds * len(events)
    return [
        "renewals, 500 a batch",
        f"{count / took:,.0f}",
        f"{ours / count * 1e6:.0f} µs",
        f"{spent / count * 1e6:.0f} µs",
        "",
    ]


def fill(server: Postgres, rows: int) -> None:
    step = 1_000_000
    with psycopg.connect(server.owner_url, autocommit=True) as owner:
        owner.execute("SET work_mem = '512MB'")
        for start in range(0, rows, step):
            part = {"from": start, "to": min(start + step, rows) - 1}
            owner.execute(_EVENTS.encode(), _SHAPE | part)
        owner.execute(_SUMS.encode())
        owner.execute("VACUUM ANALYZE")


async def milliseconds(ask: Callable[[], Awaitable[object]]) -> list[float]:
    await ask()
    found = []
    for _ in range(11):
        began = time.perf_counter()
        await ask()
        found.append((time.perf_counter() - began) * 1e3)
    return found


async def answers(database: Database, rows: int) -> Table:
    ledger, tenant = PostgresLedger(database), TenantId("bench-3")
    usage = UsageService(ledger, Prices(MemoryPriceStore(), {"*": Price(100, 100, 400)}), now=lambda: datetime.now(UTC))
    month = (LAST - timedelta(days=30), LAST)
    year = (FIRST, LAST)
    every = (GroupBy.DAY, GroupBy.ROUTE, GroupBy.MODEL)
    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "a month by day": lambda: usage.report(tenant, *month, (GroupBy.DAY,)),
        "a year by day": lambda: usage.report(tenant, *year, (GroupBy.DAY,)),
        "a year by day, route and model": lambda: usage.report(tenant, *year, every),
        "a month by user": lambda: usage.report(tenant, *month, (GroupBy.USER,)),
        "a year by user": lambda: usage.report(tenant, *year, (GroupBy.USER,)),
        "a year by user and route": lambda: usage.report(tenant, *year, (GroupBy.USER, GroupBy.ROUTE)),
        "an invoice": lambda: usage.invoice(tenant, "2026-04"),
        "a month's spend": lambda: ledger.month_spend(tenant, "2026-04"),
    }
    table = Table("asked", "median", "slowest of 11", title=f"Answers over {rows:,} rows of {TENANTS} tenants")
    for name, ask in asked.items():
        found = await milliseconds(ask)
        table.add_row(name, f"{statistics.median(found):.1f} ms", f"{max(found):.1f} ms")
    return table


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # PostgreSQL may run as another user
        with durable_postgres(Path(folder) / "postgres") as server:
            asyncio.run(measure(server, rows))


async def measure(server: Postgres, rows: int) -> None:
    database = Database(server.url)
    try:
        ledger, stores = PostgresLedger(database), postgres_stores(database)
        tenants = [await stores.add(TenantId(f"bench-{n}")) for n in range(TENANTS)]
        table = Table("streams at once", "rows/s", "router CPU", "PostgreSQL CPU", "settled after", title="Writing")
        for at_once in (1, 16, 128, 1_000):
            table.add_row(*await writing(server, ledger, tenants, at_once))
        table.add_row(*await renewing(server, ledger, tenants))
        _console.print(table)
        with psycopg.connect(server.owner_url, autocommit=True) as owner:
            owner.execute("TRUNCATE usage_events, usage_by_day, usage_by_user, usage_by_user_month")
        began = time.perf_counter()
        fill(server, rows)
        with psycopg.connect(server.owner_url) as owner:
            sizes = owner.execute(
                "SELECT pg_size_pretty(pg_total_relation_size('usage_events')), (SELECT count(*) FROM usage_by_day),"
                " (SELECT count(*) FROM usage_by_user)"
            ).fetchone()
        assert sizes is not None
        _console.print(
            f"{rows:,} rows in {time.perf_counter() - began:.0f} s: {sizes[0]}, sums: {sizes[1]:,} by day,"
            f" {sizes[2]:,} by user"
        )
        _console.print(await answers(database, rows))
    finally:
        await database.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
