"""What it costs to admit a request and to settle it: scripts a second on one Valkey core, and CPU of the router.

`python -m benchmarks.admission`. Several client processes keep a real Valkey busy; its CPU time comes from
/proc/<pid>/stat. The router's part is one pair at a time and many at once through one link, in this process's CPU time.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import secrets
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from contracts.tenant import TenantId
from router.adapters.valkey_admissions import ValkeyAdmissions
from router.domain.admission import Ask, Limits, Used
from router.ports import Admissions
from stores.valkey import Valkey
from stores.valkey_link import ValkeyLink
from support.postgres import running_valkey

CLIENTS, AT_ONCE, PAIRS = 3, 32, 20_000
GENEROUS = Limits(1_000_000_000, 1_000_000_000, 1_000_000_000, 1_000_000, 10**15)
TIGHT = Limits(10, 1_000_000, 1_000_000, 500, 10**15)
MONTH = "2026-11"


def valkey_pid(path: Path) -> int:
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(str(path))
        asked.sendall(b"INFO server\r\n")
        info = asked.recv(65_536).decode()
    return int(info.split("process_id:")[1].split()[0])


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def pair(admissions: Admissions, tenant: TenantId, limits: Limits) -> None:
    ask = Ask(secrets.token_hex(16), 2_000, 3_000_000, 120.0)
    admission = await admissions.admit(tenant, limits, ask, MONTH, 0)
    if admission.allowed:
        await admissions.settle(tenant, ask.lease_id, Used(700, 900_000), MONTH)


async def keep_busy(admissions: Admissions, tenants: list[TenantId], limits: Limits, pairs: int, at_once: int) -> None:
    turns = iter(range(pairs))

    async def worker() -> None:
        for turn in turns:
            await pair(admissions, tenants[turn % len(tenants)], limits)

    await asyncio.gather(*(worker() for _ in range(at_once)))


def client(url: str, tenants: list[TenantId], limits: Limits) -> None:
    async def run() -> None:
        async with ValkeyLink(url, patience_s=5) as link:  # more work than the machine has cores for
            await keep_busy(ValkeyAdmissions(link), tenants, limits, PAIRS, AT_ONCE)

    uvloop.run(run())


def on_valkey(url: str, pid: int, tenants: int, limits: Limits) -> tuple[float, float]:
    """Pairs a second of Valkey's CPU time, and of the clock."""
    names = [TenantId(f"bench-{secrets.token_hex(4)}") for _ in range(tenants)]
    clients = [multiprocessing.Process(target=client, args=(url, names, limits)) for _ in range(CLIENTS)]
    cpu, began = cpu_s(pid), time.perf_counter()
    for process in clients:
        process.start()
    for process in clients:
        process.join()
    return CLIENTS * PAIRS / (cpu_s(pid) - cpu), CLIENTS * PAIRS / (time.perf_counter() - began)


async def in_router(admissions: Admissions, at_once: int) -> float:
    """CPU of this process in microseconds a pair."""
    tenants = [TenantId(f"bench-{secrets.token_hex(4)}")]
    await keep_busy(admissions, tenants, GENEROUS, 200, at_once)
    cpu = time.process_time()
    await keep_busy(admissions, tenants, GENEROUS, 5_000, at_once)
    return (time.process_time() - cpu) / 5_000 * 1e6


@contextmanager
def a_valkey() -> Iterator[tuple[str, int]]:
    with tempfile.TemporaryDirectory() as folder, running_valkey(Path(folder) / "valkey") as server:
        yield server.url, valkey_pid(server.socket)


async def router_rows(url: str) -> list[tuple[str, float]]:
    async with ValkeyLink(url) as link:
        rows = [(f"link, {n} at once", await in_router(ValkeyAdmissions(link), n)) for n in (1, 32)]
    pool = Valkey(url)
    rows += [(f"connection pool, {n} at once", await in_router(ValkeyAdmissions(pool), n)) for n in (1, 32)]
    await pool.close()
    return rows


def main() -> None:
    with a_valkey() as (url, pid):
        valkey = Table("admit and settle", "pairs/s of Valkey CPU", "pairs/s", title="Valkey")
        for name, tenants, limits in (
            ("one tenant", 1, GENEROUS),
            ("100 tenants", 100, GENEROUS),
            ("one tenant, refused", 1, TIGHT),
        ):
            per_cpu, per_s = on_valkey(url, pid, tenants, limits)
            valkey.add_row(name, f"{per_cpu:,.0f}", f"{per_s:,.0f}")
        router = Table("admit and settle", "CPU µs", title="router")
        for name, cost in uvloop.run(router_rows(url)):
            router.add_row(name, f"{cost:.0f}")
    console = Console()
    console.print(valkey)
    console.print(router)


if __name__ == "__main__":
    main()
