"""The ledger equals the engine's own count, whichever process is killed, and when."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from router.service.orphans import Orphans
from support.crash_stack import CrashStack, running_crash_stack
from support.ledger_sums import SUMS, differences
from support.mixed_load import REFUSED, MixedLoad, Sent
from support.tenants import opened
from tenancy.postgres_ledger import PostgresLedger

SEED = 20261122
ROUTERS, TENANTS, WORKERS = 3, 3, 16
INTERVAL_MS = 8.0
BUDGET_USD = 1_000
ROOM = {
    "rate_limit_per_minute": 100_000,
    "rate_limit_per_hour": 1_000_000,
    "max_concurrent_requests": 1_000,
    "tokens_per_minute": None,
    "monthly_budget_usd": BUDGET_USD,
    "sensitive_prompt_patterns": [REFUSED],
}


@dataclass(frozen=True)
class Crash:
    """`router` is -1 where it was another process."""

    process: str
    router: int
    at: float
    back_at: float


def crashes(stack: CrashStack, dice: random.Random) -> Iterator[Crash]:
    """Each process at some moment, each down for a while; several may be down at once only by being slow to come."""
    victims: list[tuple[str, int]] = [
        ("postgres", -1),
        ("valkey", -1),
        ("orchestrator", -1),
        ("router", 0),
        ("router", 1),
    ]
    dice.shuffle(victims)
    for process, number in victims:
        time.sleep(dice.uniform(0.8, 2.5))
        victim: Any = stack.routers[number] if process == "router" else getattr(stack, process)
        at = time.monotonic()
        victim.kill()
        time.sleep(dice.uniform(0.0, 1.0))
        victim.start()
        if hasattr(victim, "wait"):
            victim.wait()
        yield Crash(process, number, at, time.monotonic())


@pytest.mark.slow
async def test_draft(tmp_path: Path) -> None:
    began = time.monotonic()
    dice = random.Random(SEED)
    with running_crash_stack(tmp_path, routers=3, interval_ms=INTERVAL_MS) as stack:
        tenants = [stack.new_tenant(f"t{number}", **ROOM) for number in range(TENANTS)]
        load = MixedLoad([router.url for router in stack.routers], tenants, WORKERS, SEED)
        print("up", time.monotonic() - began)
        load.start()
        done = list(crashes(stack, dice))
        time.sleep(2)
        load.stop()
        ended = time.monotonic()
        print("load ended", ended - began)
        for c in done:
            print(c)
        time.sleep(3)
        async with opened(stack.postgres.url) as db:
            print("orphans", await PostgresLedger(db).close_orphans(3))
        counts = {c["request_id"]: c for c in stack.engine_counts()}
        print(len(counts), len(load.sent), Counter((s.kind, s.status, s.finished) for s in load.sent))
        with psycopg.connect(stack.postgres.owner_url, row_factory=dict_row) as owner:
            rows = owner.execute("SELECT * FROM usage_events").fetchall()
        print(len(rows), Counter((r["state"], r["outcome"]) for r in rows))
        kinds = {s.request_id: s for s in load.sent}

        def crashed(s: Sent) -> list[str]:
            return [
                f"{c.process}{c.router} {c.at - s.began:.2f}" for c in done if c.at >= s.began and c.at <= s.ended + 0.5
            ]

        for r in rows:
            c = counts.get(r["request_id"])
            s = kinds[r["request_id"]]
            e = (c["prompt_tokens"], c["completion_tokens"]) if c else (0, 0)
            if e != (r["prompt_tokens"], r["completion_tokens"]):
                print(
                    s.kind,
                    s.router,
                    s.status,
                    s.finished,
                    "engine",
                    e,
                    "billed",
                    r["prompt_tokens"],
                    r["completion_tokens"],
                    r["outcome"],
                    "seen",
                    s.tokens,
                    crashed(s),
                )
        missing = set(counts) - {r["request_id"] for r in rows}
        for m in missing:
            s = kinds[m]
            print("missing", s, counts[m]["completion_tokens"], crashed(s), s.ended - s.began)
        print([differences(stack.postgres.owner_url, t) for t in SUMS])
        wait = max(0, 17 - (time.monotonic() - ended))
        time.sleep(wait)
        for t in tenants:
            lim = httpx.get(stack.routers[0].url + f"/tenant/{t}/limits", headers={"x-tenant-id": t}).json()
            print(
                round((1000 - lim["limits"][-1]["remaining"]) * 1e9),
                sum(r["cost_nano_usd"] for r in rows if r["tenant_id"] == t),
                [(l["name"], l["remaining"]) for l in lim["limits"]],
            )
    print(time.monotonic() - began)
