"""The ledger equals the engine's own count, whichever process is killed, and when.

One storm for all tests of this file: clients of every kind ask three routers for many answers at once, while each
process but the engine is killed at some moment and started again. Afterwards rows are held against what the engine says
that it has generated of each request. Three kinds of requests are told apart, with different promises:

- **whole**: ended by itself, well or badly. Billed exactly what the engine counted.
- **left**: by its client. Billed at least what the client got, and at most what the engine counted: it goes on until it
  hears of the leaving, and what it generates in that time is told to nobody. Within a second, so at most so many.
- **struck**: under way in a router or the orchestrator when that was killed. Billed between the last renewal and what
  the engine counted.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from router.domain.admission import LEASE_S, RENEW_S
from router.service.orphans import Orphans
from support.crash_stack import CrashStack, running_crash_stack
from support.ledger_sums import SUMS, differences
from support.mixed_load import REFUSED, MixedLoad, Sent
from support.tenants import opened
from tenancy.postgres_ledger import PostgresLedger
from tenancy.usage_ports import STALE_S

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SEED = int(os.environ.get("STORM_SEED", "14"))
"""Of who asks what, and of who is killed when. The promises hold for every seed."""
ROUTERS, TENANTS, WORKERS = 3, 3, 14
INTERVAL_MS = 8.0
BUDGET_USD = 1_000
PROMPT_NANO, COMPLETION_NANO = 100, 400
"""A token's price where the settings say nothing."""
ROOM = {
    "rate_limit_per_minute": 100_000,
    "rate_limit_per_hour": 1_000_000,
    "max_concurrent_requests": 1_000,
    "tokens_per_minute": None,
    "monthly_budget_usd": BUDGET_USD,
    "sensitive_prompt_patterns": [REFUSED],
}
SETTLED_S = 3.0
"""Behind a request's end: by then its row is committed, where PostgreSQL is there."""
AFTER_OUTAGE_S = 5.0
"""Behind PostgreSQL's return: by then what waited for it is committed."""
LEFT_S = 1.0
"""By then the engine has heard that a client has gone."""
OPENED_S = 1.0
"""Behind the engine's taking a request: by then its row stands, on a machine that is busy with five starts."""


@dataclass(frozen=True, slots=True)
class Crash:
    """`router` is -1 where it was another process. It answers again at `back_at`, as far as that was waited for."""

    process: str
    router: int
    at: float
    back_at: float


@dataclass(frozen=True, slots=True)
class Count:
    """What the engine says of one request. Times are `time.monotonic`'s."""

    request_id: str
    prompt_tokens: int
    completion_tokens: int
    asked_at: float
    generated_at: Sequence[float]
    ended_at: float | None

    def by(self, moment: float) -> int:
        """How many tokens had been generated."""
        return sum(at <= moment for at in self.generated_at)


@dataclass
class Storm:
    """All that is known when it is over."""

    sent: dict[str, Sent]
    engine: dict[str, Count]
    crashes: list[Crash]
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    differences: dict[str, tuple[int, int]] = field(default_factory=dict)
    spends: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By tenant: what Valkey says was spent, and what the ledger says."""

    def without_postgres(self, first: float, last: float) -> bool:
        """Whether rows may have waited for it between the two moments."""
        down = [crash for crash in self.crashes if crash.process == "postgres"]
        return any(crash.at <= last and first <= crash.back_at + AFTER_OUTAGE_S for crash in down)

    def strike(self, sent: Sent) -> Crash | None:
        """The first crash of the orchestrator or of its router while it was under way, or not settled yet."""
        until = sent.ended + SETTLED_S
        for crash in self.crashes:
            if crash.process == "postgres" and sent.began <= crash.back_at and crash.at <= until:
                until = max(until, crash.back_at + AFTER_OUTAGE_S)
        for crash in sorted(self.crashes, key=lambda crash: crash.at):
            concerned = crash.process == "orchestrator" or crash.router == sent.router
            if concerned and sent.began <= crash.at <= until:
                return crash
        return None

    @cached_property
    def struck(self) -> dict[str, Crash]:
        found = {request_id: self.strike(sent) for request_id, sent in self.sent.items()}
        return {request_id: crash for request_id, crash in found.items() if crash is not None}

    def row(self, request_id: str) -> dict[str, Any]:
        (row,) = self.rows[request_id]
        return row

    @cached_property
    def left(self) -> list[str]:
        """Those of the engine's that were settled as left by their clients."""
        return [
            request_id
            for request_id in self.engine
            if request_id not in self.struck and self.row(request_id)["outcome"] == "disconnected"
        ]

    @cached_property
    def whole(self) -> list[str]:
        return [request_id for request_id in self.engine if request_id not in {*self.struck, *self.left}]


def crashes(stack: CrashStack, dice: random.Random) -> Iterator[Crash]:
    """Each process is killed at some moment. Services take seconds to come back: by then the next may be gone."""
    victims = [("postgres", -1), ("valkey", -1), ("orchestrator", -1), ("router", 0), ("router", 1)]
    dice.shuffle(victims)
    for process, number in victims:
        time.sleep(dice.uniform(1.0, 3.5))
        victim: Any = stack.routers[number] if process == "router" else getattr(stack, process)
        at = time.monotonic()
        victim.kill()
        time.sleep(dice.uniform(0.0, 1.0))
        victim.start()
        yield Crash(process, number, at, time.monotonic())


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storm]:
    with running_crash_stack(tmp_path_factory.mktemp("storm"), routers=ROUTERS, interval_ms=INTERVAL_MS) as stack:
        tenants = [stack.new_tenant(f"t{number}", **ROOM) for number in range(TENANTS)]
        load = MixedLoad([router.url for router in stack.routers], tenants, WORKERS, SEED)
        load.start()
        killed = list(crashes(stack, random.Random(SEED)))
        for service in (stack.orchestrator, *stack.routers):
            service.wait()
        time.sleep(2.0)
        load.stop()
        ended_at = time.monotonic()
        _until(lambda: _open_rows(stack, younger_s=STALE_S) == 0, within_s=2 * STALE_S)
        counts = {count["request_id"]: Count(**count) for count in stack.engine_counts()}
        found = Storm({sent.request_id: sent for sent in load.sent}, counts, killed)
        # A dead router's leases have ended, and for the length of another nothing was charged.
        last = max([ended_at, *(crash.at + LEASE_S for crash in killed if crash.process == "router")])
        time.sleep(max(0.0, last + LEASE_S + 1.0 - time.monotonic()))
        found.spends = {tenant: (_spent_in_valkey(stack, tenant), 0) for tenant in tenants}
        _close_orphans(stack)
        _read_ledger(stack, found)
        yield found


def _until(condition: Callable[[], bool], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)


def _open_rows(stack: CrashStack, *, younger_s: float) -> int:
    with psycopg.connect(stack.postgres.owner_url) as owner:
        row = owner.execute(
            "SELECT count(*) FROM usage_events WHERE state = 'open' AND renewed_at > now() - %s * interval '1 s'",
            (younger_s,),
        ).fetchone()
    assert row is not None
    return int(row[0])


def _spent_in_valkey(stack: CrashStack, tenant: str) -> int:
    """Nano-USD, after one more request that costs nothing: it is for requests that Valkey makes sure of the spend."""
    with httpx.Client(base_url=stack.routers[0].url, headers={"x-tenant-id": tenant}, timeout=30) as client:
        client.post("/chat", json={"query": REFUSED}).raise_for_status()
        limits = client.get(f"/tenant/{tenant}/limits").raise_for_status().json()["limits"]
    left = {limit["name"]: limit["remaining"] for limit in limits}
    assert left["concurrent_requests"] == ROOM["max_concurrent_requests"], "every place was given back"
    return round((BUDGET_USD - left["monthly_budget_usd"]) * 1e9)


def _close_orphans(stack: CrashStack) -> None:
    """What any router does within forty seconds of a crash: here without that wait."""

    async def close() -> None:
        async with opened(stack.postgres.url) as database:
            await Orphans(PostgresLedger(database), after_s=STALE_S).close()

    asyncio.run(close())


def _read_ledger(stack: CrashStack, storm: Storm) -> None:
    with psycopg.connect(stack.postgres.owner_url, row_factory=dict_row) as owner:
        for row in owner.execute("SELECT * FROM usage_events"):
            storm.rows.setdefault(row["request_id"], []).append(row)
    for tenant, (in_valkey, _) in storm.spends.items():
        rows = (row for rows in storm.rows.values() for row in rows if row["tenant_id"] == tenant)
        storm.spends[tenant] = (in_valkey, sum(row["cost_nano_usd"] for row in rows))
    storm.differences = {table: differences(stack.postgres.owner_url, table) for table in SUMS}


def test_enough_happened_to_prove_anything(storm: Storm) -> None:
    in_engine = [request_id for request_id in storm.struck if request_id in storm.engine]
    assert len(storm.whole) >= 50
    assert len(storm.left) >= 15
    assert len(in_engine) >= 5
    outcomes = {row["outcome"] for rows in storm.rows.values() for row in rows}
    assert outcomes >= {"answered", "refused", "error", "disconnected", "crashed"}


def test_no_event_stays_open_and_none_is_there_twice(storm: Storm) -> None:
    assert [row for rows in storm.rows.values() for row in rows if row["state"] == "open"] == []
    assert [request_id for request_id, rows in storm.rows.items() if len(rows) != 1] == []


def test_each_request_that_reached_the_engine_has_its_row(storm: Storm) -> None:
    """But for those that had been there for less than a moment when their router was killed, or whose row waited for
    PostgreSQL then."""
    for request_id in storm.engine.keys() - storm.rows.keys():
        crash, count = storm.struck[request_id], storm.engine[request_id]
        assert crash.process == "router"
        assert count.asked_at > crash.at - OPENED_S or storm.without_postgres(crash.at - SETTLED_S, crash.at)


def test_who_was_answered_has_a_row(storm: Storm) -> None:
    answered = {request_id for request_id, sent in storm.sent.items() if sent.finished and sent.status == 200}
    assert [request_id for request_id in answered - storm.struck.keys() if request_id not in storm.rows] == []


def test_what_ended_by_itself_is_billed_what_the_engine_counted(storm: Storm) -> None:
    for request_id in storm.whole:
        row, count = storm.row(request_id), storm.engine[request_id]
        billed = (row["prompt_tokens"], row["completion_tokens"])
        assert billed == (count.prompt_tokens, count.completion_tokens), storm.sent[request_id]


def test_what_reached_no_engine_costs_nothing(storm: Storm) -> None:
    for request_id in storm.rows.keys() - storm.engine.keys():
        row = storm.row(request_id)
        assert (row["prompt_tokens"], row["completion_tokens"], row["cost_nano_usd"]) == (0, 0, 0)


def test_who_left_pays_for_what_was_generated_until_the_engine_heard_of_it(storm: Storm) -> None:
    for request_id in storm.left:
        row, count, sent = storm.row(request_id), storm.engine[request_id], storm.sent[request_id]
        assert count.ended_at is not None
        least = max(sent.tokens, count.by(count.ended_at - LEFT_S))
        assert least <= row["completion_tokens"] <= count.completion_tokens, sent
        assert row["prompt_tokens"] == (count.prompt_tokens if row["completion_tokens"] else 0), sent


def test_what_was_struck_is_billed_between_its_last_renewal_and_the_engines_count(storm: Storm) -> None:
    for request_id in storm.struck.keys() & storm.engine.keys() & storm.rows.keys():
        row, count, crash = storm.row(request_id), storm.engine[request_id], storm.struck[request_id]
        renewed_by = crash.at - RENEW_S - OPENED_S
        least = 0 if storm.without_postgres(renewed_by - RENEW_S, crash.at) else count.by(renewed_by)
        assert least <= row["completion_tokens"] <= count.completion_tokens, storm.sent[request_id]
        assert row["prompt_tokens"] in {0, count.prompt_tokens}


def test_a_row_costs_what_its_tokens_cost(storm: Storm) -> None:
    for rows in storm.rows.values():
        for row in rows:
            cost = PROMPT_NANO * row["prompt_tokens"] + COMPLETION_NANO * row["completion_tokens"]
            assert row["cost_nano_usd"] == cost


@pytest.mark.parametrize("table", SUMS)
def test_the_sums_are_those_of_the_rows(storm: Storm, table: str) -> None:
    assert storm.differences[table] == (0, 0)


def test_what_valkey_says_was_spent_is_what_the_ledger_says(storm: Storm) -> None:
    assert {tenant: in_valkey for tenant, (in_valkey, _) in storm.spends.items()} == {
        tenant: in_ledger for tenant, (_, in_ledger) in storm.spends.items()
    }
