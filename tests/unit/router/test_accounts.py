"""The account of a request: its row before its turn, its reservation until its row stands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from contracts.errors import DependencyDownError
from observability import names
from observability.metrics import NullMetrics
from observability.names import Metric
from router.adapters.memory_admissions import MemoryAdmissions
from router.domain.admission import CONCURRENT_REQUESTS, month_of
from router.domain.pricing import Price, PriceList
from router.domain.worst_case import Bounds
from router.service import accounts as module
from router.service.accounts import Account, Accounts
from router.service.group_commit import Pace
from router.service.ledger_writer import LedgerWriter
from servicekit.tokens import utc_now
from support.policies import BORN, a_caller, a_policy
from tenancy.memory_ledger import MemoryLedger
from tenancy.usage import LedgerRow, Outcome, UsageEvent

CALLER = a_caller(a_policy(monthly_budget_usd=1, max_concurrent_requests=5))
PRICES = PriceList(1, {"*": Price(100, 100, 400)}, BORN, "test")
PLACES = 5


class GatedLedger(MemoryLedger):
    """Writes nothing while `gate` is closed; while `away` is set it raises at once."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.away = False

    async def write(self, events: Sequence[UsageEvent]) -> None:
        await self.gate.wait()
        if self.away:
            raise DependencyDownError("away", details={"dependency": "postgres"})
        await super().write(events)


class HeardAdmissions(MemoryAdmissions):
    def __init__(self) -> None:
        super().__init__()
        self.heard: asyncio.Queue[bool] = asyncio.Queue()
        """Of each settlement: whether it stood in the ledger."""

    async def settle(self, *whose: Any, **how: Any) -> bool:
        was_live = await super().settle(*whose, **how)
        self.heard.put_nowait(how.get("in_ledger", True))
        return was_live


class Counting(NullMetrics):
    def __init__(self) -> None:
        self.budgets: list[float] = []

    def observe(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        assert (metric, dimensions) == (names.BUDGET_USED, {"tenant": str(CALLER.tenant_id)})
        self.budgets.append(value)


@dataclass
class World:
    ledger: GatedLedger
    admissions: HeardAdmissions
    accounts: Accounts
    metrics: Counting

    @asynccontextmanager
    async def request(self) -> AsyncIterator[Account]:
        bounds = Bounds(prompt=50, answer=50, likely_prompt=10)
        opened = self.accounts.open(CALLER, lease_id="l1", user_id="u", session_id="s", bounds=bounds, deadline_s=60)
        async with opened as account:
            yield account

    async def row(self) -> LedgerRow | None:
        found = await self.ledger.rows(CALLER.tenant_id, after="", limit=9)
        return found[0] if found else None

    async def free_places(self) -> int:
        states = await self.admissions.state(CALLER.tenant_id, CALLER.policy.limits, month_of(utc_now()))
        return next(state.remaining for state in states if state.name == CONCURRENT_REQUESTS)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async def prices() -> PriceList:
        return PRICES

    ledger, admissions = GatedLedger(), HeardAdmissions()
    writer = LedgerWriter(ledger, NullMetrics(), pace=Pace(every_s=0.0, first_pause_s=0.001, last_pause_s=0.001))
    metrics = Counting()
    accounts = Accounts(admissions, writer, ledger, prices, metrics, now=utc_now)
    async with writer.running(), accounts.running():
        yield World(ledger, admissions, accounts, metrics)
        ledger.away = False
        ledger.gate.set()


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_turn_that_begins_has_an_open_row(world: World) -> None:
    """Whoever kills this router now leaves it behind, for any other to close."""
    async with world.request() as account:
        assert await world.row() is None
        world.accounts.begin(account)
        await turns()
        row = await world.row()
        assert row is not None
        assert (row.event.outcome, row.event.event_id, row.settled_at) == (None, "l1", None)
    await turns()


async def test_what_never_began_has_no_open_row(world: World) -> None:
    async with world.request():
        await turns()
        assert await world.row() is None


async def test_the_reservation_is_given_back_when_the_row_stands_and_not_before(world: World) -> None:
    """A router that dies in between leaves a lease that ends by itself, and so tells Valkey to ask the ledger."""
    async with world.request() as account:
        world.ledger.gate.clear()
        settled = asyncio.create_task(world.accounts.settled(account, Outcome.ANSWERED))
        await turns()
        assert await world.free_places() == PLACES - 1
        world.ledger.gate.set()
        await settled
        assert await world.free_places() == PLACES
        row = await world.row()
        assert row is not None
        assert row.event.outcome is Outcome.ANSWERED


async def test_while_the_ledger_is_away_reservations_are_given_back_and_valkey_is_told_again_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the ledger, the first time: so the spend is in doubt. It may have been asked before the row stood."""
    monkeypatch.setattr(module, "RELEASE_S", 0.001)
    async with world.request():
        world.ledger.away = True
    assert not await asyncio.wait_for(world.admissions.heard.get(), 5)
    assert await world.free_places() == PLACES
    assert await world.row() is None
    world.ledger.away = False
    assert await asyncio.wait_for(world.admissions.heard.get(), 5)
    assert await world.row() is not None


async def test_each_request_of_a_tenant_with_a_budget_tells_how_much_of_it_is_spent_or_reserved(world: World) -> None:
    async with world.request() as account:
        account.used.prompt_tokens, account.used.completion_tokens = 100_000, 850_000  # 0.01 and 0.34 USD
    await turns()
    async with world.request():
        pass
    first, second = world.metrics.budgets
    assert first < 0.01
    assert second == pytest.approx(0.35, abs=0.001)
