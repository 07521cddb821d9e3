"""Admission: the Lua script in Valkey and its twin in memory keep every limit, and give back what was reserved."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from router.adapters.memory_admissions import MemoryAdmissions
from router.adapters.valkey_admissions import ValkeyAdmissions
from router.domain.admission import (
    CONCURRENT_REQUESTS,
    MONTHLY_BUDGET,
    REQUESTS_PER_HOUR,
    REQUESTS_PER_MINUTE,
    TOKENS_PER_MINUTE,
    Admission,
    Ask,
    Limits,
    Timing,
    Used,
    month_end_us,
    month_of,
)
from router.ports import Admissions
from stores.valkey import Valkey
from stores.valkey_link import ValkeyLink
from support.admissions import MOMENT_US, MONTH, NEXT_MONTH, TurnedValkey

WIDE = Limits(1_000_000, 1_000_000)
NOTHING = Used()
Make = Callable[[Timing], Admissions]


def ask(tokens: int = 10, cost: int = 100, deadline_s: float = 60.0) -> Ask:
    return Ask(secrets.token_hex(8), tokens, cost, deadline_s)


def now_month() -> str:
    return month_of(datetime.now(UTC))


class Clock:
    def __init__(self) -> None:
        self.us = MOMENT_US

    def __call__(self) -> int:
        return self.us

    def pass_s(self, seconds: float) -> None:
        self.us += round(seconds * 1_000_000)


@pytest.fixture(params=["memory", "valkey"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """On the machine's clock."""
    if request.param == "memory":
        yield MemoryAdmissions
        return
    valkey = Valkey(request.getfixturevalue("valkey_url"))
    yield lambda timing: ValkeyAdmissions(valkey, timing)
    await valkey.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "valkey"])
async def turned(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[Admissions]:
    """On a clock that the test turns."""
    if request.param == "memory":
        yield MemoryAdmissions(clock_us=clock)
        return
    valkey = TurnedValkey(request.getfixturevalue("valkey_url"), clock)
    yield ValkeyAdmissions(valkey)
    await valkey.close()


@pytest.fixture
def tenant() -> TenantId:
    return TenantId(f"a-{secrets.token_hex(6)}")


def remaining(admission: Admission, name: str) -> int:
    state = admission.state(name)
    assert state is not None
    return state.remaining


LIMITED = {
    REQUESTS_PER_MINUTE: Limits(37, 1_000_000),
    REQUESTS_PER_HOUR: Limits(1_000_000, 37),
    TOKENS_PER_MINUTE: replace(WIDE, tokens_per_minute=379),
    CONCURRENT_REQUESTS: replace(WIDE, concurrent_requests=37),
    MONTHLY_BUDGET: replace(WIDE, monthly_budget_nano_usd=3_799),
}


@pytest.mark.parametrize("name", LIMITED)
async def test_a_burst_through_several_clients_admits_exactly_the_limit(
    valkey_url: str, tenant: TenantId, name: str
) -> None:
    async with AsyncExitStack() as stack:
        links = [await stack.enter_async_context(ValkeyLink(valkey_url)) for _ in range(3)]
        routers = [ValkeyAdmissions(link) for link in links]
        answers = await asyncio.gather(
            *(routers[i % 3].admit(tenant, LIMITED[name], ask(), now_month(), 0) for i in range(1_000))
        )
        assert sum(answer.allowed for answer in answers) == 37
        assert {answer.refused_by for answer in answers} == {None, name}


@pytest.mark.parametrize("name", LIMITED)
async def test_in_one_process_too(turned: Admissions, tenant: TenantId, name: str) -> None:
    answers = [await turned.admit(tenant, LIMITED[name], ask(), MONTH, 0) for _ in range(60)]
    assert [answer.allowed for answer in answers] == [True] * 37 + [False] * 23
    assert remaining(answers[-1], name) == {TOKENS_PER_MINUTE: 9, MONTHLY_BUDGET: 99}.get(name, 0)


async def test_twenty_huge_asks_never_take_a_nearly_empty_budget_below_zero(make: Make, tenant: TenantId) -> None:
    admissions, limits = make(Timing()), replace(WIDE, monthly_budget_nano_usd=1_000_000)
    asks = [ask(cost=30_000) for _ in range(20)]
    answers = await asyncio.gather(*(admissions.admit(tenant, limits, each, now_month(), 900_000) for each in asks))
    assert sum(answer.allowed for answer in answers) == 3
    for each, answer in zip(asks, answers, strict=True):
        if answer.allowed:
            assert await admissions.settle(tenant, each.lease_id, Used(5, 29_999), now_month())
    (*_, budget) = await admissions.state(tenant, limits, now_month())
    assert (budget.name, budget.remaining) == (MONTHLY_BUDGET, 1_000_000 - 900_000 - 3 * 29_999)


async def test_what_was_reserved_and_not_used_is_given_back(turned: Admissions, tenant: TenantId) -> None:
    limits = replace(WIDE, tokens_per_minute=100, concurrent_requests=1, monthly_budget_nano_usd=100)
    first, second = ask(90, 90), ask(95, 96)
    assert (await turned.admit(tenant, limits, first, MONTH, 0)).allowed
    assert (await turned.admit(tenant, limits, second, MONTH, 0)).refused_by == MONTHLY_BUDGET
    assert await turned.settle(tenant, first.lease_id, Used(5, 4), MONTH)
    admitted = await turned.admit(tenant, limits, second, MONTH, 0)
    assert admitted.allowed
    assert [state.remaining for state in admitted.states[2:]] == [0, 0, 0]


async def test_a_refused_request_counts_nowhere(turned: Admissions, tenant: TenantId) -> None:
    limits = Limits(5, 5, 100, 2, 1_000)
    for _ in range(10):
        last = await turned.admit(tenant, limits, ask(), MONTH, 0)
    assert last.refused_by == CONCURRENT_REQUESTS
    assert [state.remaining for state in last.states] == [3, 3, 80, 0, 800]


async def test_a_lease_that_is_not_renewed_ends_and_is_charged_with_its_last_renewal(
    make: Make, tenant: TenantId
) -> None:
    admissions = make(Timing(lease_s=0.3))
    limits = replace(WIDE, tokens_per_minute=100, concurrent_requests=1, monthly_budget_nano_usd=1_000)
    left, month = ask(100, 1_000), now_month()
    await admissions.admit(tenant, limits, left, month, 0)
    await asyncio.sleep(0.2)
    assert await admissions.renew(tenant, left.lease_id, Used(7, 11))
    await asyncio.sleep(0.2)
    assert (await admissions.admit(tenant, limits, ask(), month)).refused_by is not None  # the renewal keeps it
    await asyncio.sleep(0.15)
    states = await admissions.state(tenant, limits, month)
    assert [state.remaining for state in states[2:]] == [93, 1, 989]
    assert not await admissions.renew(tenant, left.lease_id, Used(8, 12))
    assert (await admissions.admit(tenant, limits, ask(93, 989), month)).allowed


async def test_a_renewed_lease_lives_until_its_deadline(turned: Admissions, clock: Clock, tenant: TenantId) -> None:
    limits, long = replace(WIDE, concurrent_requests=1), ask(deadline_s=60)
    await turned.admit(tenant, limits, long, MONTH)
    for _ in range(29):
        clock.pass_s(2)
        assert await turned.renew(tenant, long.lease_id, NOTHING)
    assert not (await turned.admit(tenant, limits, ask(), MONTH)).allowed
    clock.pass_s(2)
    assert not await turned.renew(tenant, long.lease_id, NOTHING)
    assert (await turned.admit(tenant, limits, ask(), MONTH)).allowed


async def test_settling_twice_charges_once(turned: Admissions, clock: Clock, tenant: TenantId) -> None:
    limits, request = replace(WIDE, tokens_per_minute=100, monthly_budget_nano_usd=1_000), ask()
    await turned.admit(tenant, limits, request, MONTH, 0)
    assert await turned.settle(tenant, request.lease_id, Used(9, 90), MONTH)
    assert not await turned.settle(tenant, request.lease_id, Used(9, 90), MONTH)
    clock.pass_s(30)
    assert not await turned.settle(tenant, request.lease_id, Used(9, 90), MONTH)
    assert [state.remaining for state in (await turned.state(tenant, limits, MONTH))[2:]] == [91, 910]


@pytest.mark.parametrize(("truth", "tokens", "money"), [(Used(9, 90), 91, 910), (Used(2, 20), 96, 980)])
async def test_settling_after_the_lease_ended_corrects(
    turned: Admissions, clock: Clock, tenant: TenantId, truth: Used, tokens: int, money: int
) -> None:
    """Upwards and downwards; settled tokens are not taken back, they leave the window soon enough."""
    limits, request = replace(WIDE, tokens_per_minute=100, monthly_budget_nano_usd=1_000), ask()
    await turned.admit(tenant, limits, request, MONTH, 0)
    await turned.renew(tenant, request.lease_id, Used(4, 40))
    clock.pass_s(20)
    await turned.state(tenant, limits, MONTH)
    for _ in range(2):
        assert not await turned.settle(tenant, request.lease_id, truth, MONTH)
        assert [state.remaining for state in (await turned.state(tenant, limits, MONTH))[2:]] == [tokens, money]


async def test_what_an_ended_lease_was_charged_is_forgotten_in_time(
    turned: Admissions, clock: Clock, tenant: TenantId
) -> None:
    """Ten minutes at least; a lease settled later still is charged as an unknown one."""
    limits, request = replace(WIDE, monthly_budget_nano_usd=1_000), ask()
    await turned.admit(tenant, limits, request, MONTH, 0)
    await turned.settle(tenant, request.lease_id, Used(0, 90), MONTH)
    clock.pass_s(600)
    await turned.settle(tenant, request.lease_id, Used(0, 90), MONTH)
    assert (await turned.state(tenant, limits, MONTH))[-1].remaining == 910


async def test_settling_where_nothing_is_known_charges(turned: Admissions, tenant: TenantId) -> None:
    """Valkey was lost: what is told before the ledger was asked for the spend is added to it."""
    limits = replace(WIDE, tokens_per_minute=100, monthly_budget_nano_usd=1_000)
    assert not await turned.settle(tenant, "of-before", Used(30, 300), MONTH)
    needed = await turned.admit(tenant, limits, ask(), MONTH)
    assert needed.needs_spend
    assert not needed.allowed
    assert needed.refused_by is None
    admitted = await turned.admit(tenant, limits, ask(10, 50), MONTH, 500)
    assert [state.remaining for state in admitted.states[2:]] == [60, 150]
    assert not await turned.settle(tenant, "too", Used(30, 100), MONTH)
    assert [state.remaining for state in (await turned.state(tenant, limits, MONTH))[2:]] == [30, 50]


async def test_what_the_ledger_had_when_it_was_asked_is_not_charged_again(
    turned: Admissions, clock: Clock, tenant: TenantId
) -> None:
    limits = replace(WIDE, monthly_budget_nano_usd=1_000)
    await turned.settle(tenant, "long-ago-and-nothing-known", Used(0, 100), MONTH, ago_s=20)
    await turned.admit(tenant, limits, ask(cost=0), MONTH, 500)
    clock.pass_s(10)
    await turned.settle(tenant, "before-the-ledger-was-asked", Used(0, 100), MONTH, ago_s=11)
    assert (await turned.state(tenant, limits, MONTH))[-1].remaining == 500
    await turned.settle(tenant, "since", Used(0, 100), MONTH, ago_s=9)
    assert (await turned.state(tenant, limits, MONTH))[-1].remaining == 400


async def test_what_a_dead_router_had_spent_is_asked_of_the_ledger(
    turned: Admissions, clock: Clock, tenant: TenantId
) -> None:
    """Its lease was charged with what Valkey heard last, its row with what the ledger heard last."""
    limits = replace(WIDE, monthly_budget_nano_usd=1_000)
    dead, other = ask(), ask()
    await turned.admit(tenant, limits, dead, MONTH, 0)
    await turned.renew(tenant, dead.lease_id, Used(3, 30))
    clock.pass_s(Timing().lease_s + 5)
    assert remaining(await turned.admit(tenant, limits, other, MONTH), MONTHLY_BUDGET) == 1_000 - 30 - 100
    clock.pass_s(10)
    assert not (await turned.admit(tenant, limits, ask(), MONTH)).needs_spend, "something is under way"
    clock.pass_s(2 * Timing().lease_s)
    assert (await turned.admit(tenant, limits, ask(), MONTH)).needs_spend
    assert [state.remaining for state in await turned.state(tenant, limits, MONTH, 20)][-1] == 980
    for said in (20, 21):  # until it agrees: it may not have had all yet
        last = ask(cost=0)
        assert remaining(await turned.admit(tenant, limits, last, MONTH, said), MONTHLY_BUDGET) == 1_000 - said
        await turned.settle(tenant, last.lease_id, NOTHING, MONTH)
        clock.pass_s(2 * Timing().lease_s)
        assert (await turned.admit(tenant, limits, ask(), MONTH)).needs_spend
    assert remaining(await turned.admit(tenant, limits, ask(), MONTH, 21), MONTHLY_BUDGET) == 1_000 - 21 - 100
    clock.pass_s(100)
    assert (await turned.admit(tenant, limits, ask(), MONTH)).needs_spend, "that one's router died as well"


async def test_what_was_charged_twice_for_fear_is_asked_of_the_ledger(
    turned: Admissions, clock: Clock, tenant: TenantId
) -> None:
    """Valkey was lost under a request: when it is asked for the spend nobody knows whether that has the request."""
    limits = replace(WIDE, monthly_budget_nano_usd=1_000)
    await turned.settle(tenant, "lost", Used(9, 90), MONTH)
    assert remaining(await turned.admit(tenant, limits, ask(cost=0), MONTH, 90), MONTHLY_BUDGET) == 1_000 - 180
    clock.pass_s(Timing().lease_s)
    assert not (await turned.admit(tenant, limits, ask(), MONTH)).needs_spend, "that request's lease has just ended"
    clock.pass_s(2 * Timing().lease_s)
    assert (await turned.admit(tenant, limits, ask(), MONTH)).needs_spend
    assert remaining(await turned.admit(tenant, limits, ask(cost=0), MONTH, 90), MONTHLY_BUDGET) == 1_000 - 90


@pytest.mark.parametrize("how", ["renewed", "settled", "settled later", "settled before the ledger"])
async def test_what_is_out_of_the_ordinary_puts_the_spend_in_doubt(
    turned: Admissions, clock: Clock, tenant: TenantId, how: str
) -> None:
    limits = replace(WIDE, monthly_budget_nano_usd=1_000)
    quiet_s = 2 * Timing().lease_s
    for _ in range(2):  # the first time the spend is as young as that
        await turned.admit(tenant, limits, ask(cost=0), MONTH, 0)
        clock.pass_s(quiet_s)
    request = ask(cost=0)
    await turned.admit(tenant, limits, request, MONTH, 0)
    await turned.settle(tenant, request.lease_id, NOTHING, MONTH)
    clock.pass_s(quiet_s)
    if how == "renewed":
        await turned.renew(tenant, "unknown", Used(1, 1))
    elif how == "settled before the ledger":
        request = ask(cost=0)
        await turned.admit(tenant, limits, request, MONTH, 0)
        await turned.settle(tenant, request.lease_id, Used(1, 1), MONTH, in_ledger=False)
    else:
        await turned.settle(tenant, "unknown", Used(1, 1), MONTH, ago_s=1 if how == "settled later" else 0)
    assert not (await turned.admit(tenant, limits, ask(cost=2_000), MONTH)).needs_spend
    clock.pass_s(quiet_s)
    assert (await turned.admit(tenant, limits, ask(), MONTH)).needs_spend


async def test_two_that_seed_at_once_count_once(make: Make, tenant: TenantId) -> None:
    admissions, limits = make(Timing()), replace(WIDE, monthly_budget_nano_usd=1_000)
    first = await asyncio.gather(*(admissions.admit(tenant, limits, ask(), now_month()) for _ in range(2)))
    assert all(answer.needs_spend for answer in first)
    both = await asyncio.gather(*(admissions.admit(tenant, limits, ask(), now_month(), 300) for _ in range(2)))
    assert all(answer.allowed for answer in both)
    assert sorted(remaining(answer, MONTHLY_BUDGET) for answer in both) == [500, 600]


async def test_without_a_budget_no_spend_is_asked_for(turned: Admissions, tenant: TenantId) -> None:
    request = ask()
    assert (await turned.admit(tenant, WIDE, request, MONTH)).allowed
    assert await turned.settle(tenant, request.lease_id, Used(1, 5), MONTH)
    limits = replace(WIDE, monthly_budget_nano_usd=1_000)
    assert (await turned.admit(tenant, limits, ask(), MONTH)).needs_spend
    assert remaining(await turned.admit(tenant, limits, ask(), MONTH, 5), MONTHLY_BUDGET) == 895


async def test_a_request_is_charged_to_the_month_in_which_it_was_admitted(
    turned: Admissions, clock: Clock, tenant: TenantId
) -> None:
    clock.us = month_end_us(MONTH) - 1_000_000
    limits, request = replace(WIDE, monthly_budget_nano_usd=1_000), ask(cost=900)
    await turned.admit(tenant, limits, request, MONTH, 0)
    refused = await turned.admit(tenant, limits, ask(), MONTH, 0)
    assert (await turned.admit(tenant, limits, ask(cost=101), MONTH, 0)).retry_after_s == 1
    assert remaining(refused, MONTHLY_BUDGET) == 0
    clock.pass_s(1)
    assert (await turned.admit(tenant, limits, ask(cost=1_000), NEXT_MONTH)).needs_spend
    new = ask(cost=1_000)
    assert (await turned.admit(tenant, limits, new, NEXT_MONTH, 0)).allowed
    await turned.settle(tenant, request.lease_id, Used(1, 850), MONTH)
    await turned.settle(tenant, new.lease_id, Used(1, 10), NEXT_MONTH)
    assert (await turned.state(tenant, limits, MONTH))[-1].remaining == 50
    assert (await turned.state(tenant, limits, NEXT_MONTH))[-1].remaining == 990


async def test_a_lease_that_ends_in_the_next_month_is_charged_to_its_own(
    turned: Admissions, clock: Clock, tenant: TenantId
) -> None:
    clock.us = month_end_us(MONTH) - 1_000_000
    limits, request = replace(WIDE, monthly_budget_nano_usd=1_000), ask()
    await turned.admit(tenant, limits, request, MONTH, 0)
    await turned.renew(tenant, request.lease_id, Used(4, 40))
    clock.pass_s(20)
    assert (await turned.admit(tenant, limits, ask(), NEXT_MONTH)).needs_spend
    assert (await turned.state(tenant, limits, MONTH))[-1].remaining == 960
    assert (await turned.state(tenant, limits, NEXT_MONTH, 0))[-1].remaining == 1_000


async def test_tenants_share_nothing(turned: Admissions, tenant: TenantId) -> None:
    limits, request = Limits(1, 1, 10, 1, 100), ask(10, 100)
    await turned.admit(tenant, limits, request, MONTH, 0)
    assert not (await turned.admit(tenant, limits, ask(), MONTH, 0)).allowed
    for other in (TenantId(f"{tenant}-x"), TenantId(str(tenant)[:-1])):
        assert await turned.last_refusal(other) is None
        assert not await turned.renew(other, request.lease_id, NOTHING)
        assert (await turned.admit(other, limits, ask(10, 100), MONTH, 0)).allowed


NEVER = {
    TOKENS_PER_MINUTE: replace(WIDE, tokens_per_minute=9),
    MONTHLY_BUDGET: replace(WIDE, monthly_budget_nano_usd=99),
    CONCURRENT_REQUESTS: replace(WIDE, concurrent_requests=0),
    REQUESTS_PER_MINUTE: Limits(0, 10),
}


@pytest.mark.parametrize("name", NEVER)
async def test_what_is_larger_than_the_whole_limit_never_fits(turned: Admissions, tenant: TenantId, name: str) -> None:
    refused = await turned.admit(tenant, NEVER[name], ask(), MONTH, 0)
    assert refused.refused_by == name
    assert refused.never
    assert refused.retry_after_s == math.inf
    refusal = await turned.last_refusal(tenant)
    assert refusal is not None
    assert refusal.retry_after_s == math.inf


@pytest.mark.parametrize("name", LIMITED)
async def test_a_lowered_limit_holds_at_once(turned: Admissions, tenant: TenantId, name: str) -> None:
    for _ in range(20):
        assert (await turned.admit(tenant, LIMITED[name], ask(), MONTH, 0)).allowed
    low = Limits(10, 1_000) if name == REQUESTS_PER_MINUTE else Limits(1_000, 10) if name == REQUESTS_PER_HOUR else WIDE
    low = {
        TOKENS_PER_MINUTE: replace(low, tokens_per_minute=150),
        CONCURRENT_REQUESTS: replace(low, concurrent_requests=15),
        MONTHLY_BUDGET: replace(low, monthly_budget_nano_usd=1_500),
    }.get(name, low)
    refused = await turned.admit(tenant, low, ask(), MONTH)
    assert refused.refused_by == name
    assert remaining(refused, name) == 0


async def _waits_as_told(
    turned: Admissions, clock: Clock, tenant: TenantId, limits: Limits, request: Ask, spent: int = 0
) -> float:
    """The wait told. A moment earlier it does not fit, then it does."""
    refused = await turned.admit(tenant, limits, request, MONTH, spent)
    assert not refused.allowed
    wait = refused.retry_after_s
    assert 0 < wait < math.inf
    clock.pass_s(wait)
    clock.us -= 1
    assert not (await turned.admit(tenant, limits, request, MONTH, spent)).allowed
    clock.us += 1
    month = MONTH if clock.us < month_end_us(MONTH) else NEXT_MONTH
    assert (await turned.admit(tenant, limits, request, month, 0)).allowed
    return wait


@pytest.mark.parametrize(("limits", "window"), [(Limits(3, 100), 60), (Limits(100, 3), 3_600)])
async def test_waiting_as_told_succeeds_for_requests(
    turned: Admissions, clock: Clock, tenant: TenantId, limits: Limits, window: float
) -> None:
    for _ in range(3):
        await turned.admit(tenant, limits, ask(), MONTH)
        clock.pass_s(window / 10)
    wait = await _waits_as_told(turned, clock, tenant, limits, ask())
    assert wait == pytest.approx(window * 7 / 10, abs=window / 60)


async def test_waiting_as_told_succeeds_for_settled_tokens(turned: Admissions, clock: Clock, tenant: TenantId) -> None:
    limits = replace(WIDE, tokens_per_minute=100)
    for tokens in (20, 30, 40):
        request = ask(tokens)
        await turned.admit(tenant, limits, request, MONTH)
        await turned.settle(tenant, request.lease_id, Used(tokens, 0), MONTH)
        clock.pass_s(10)
    wait = await _waits_as_told(turned, clock, tenant, limits, ask(60))
    assert wait == pytest.approx(40, abs=1)  # 10 are left, and fifty come back once the first two have left


async def test_waiting_as_told_succeeds_for_reserved_tokens(turned: Admissions, clock: Clock, tenant: TenantId) -> None:
    """At worst a reservation is used in full at its deadline, and counts for a window from then on."""
    limits = replace(WIDE, tokens_per_minute=100)
    held = [ask(30, deadline_s=14), ask(30, deadline_s=5), ask(30, deadline_s=10)]
    for request in held:
        await turned.admit(tenant, limits, request, MONTH)
    refused = await turned.admit(tenant, limits, ask(60), MONTH)
    assert refused.retry_after_s == pytest.approx(70, abs=1)
    for request in sorted(held, key=lambda request: request.deadline_s):
        clock.us = max(clock.us, MOMENT_US + request.deadline_us - 1)
        assert await turned.settle(tenant, request.lease_id, Used(30, 0), MONTH)
    clock.us = MOMENT_US + round(refused.retry_after_s * 1_000_000)
    assert (await turned.admit(tenant, limits, ask(60), MONTH)).allowed


async def test_many_reservations_are_looked_through(turned: Admissions, tenant: TenantId) -> None:
    limits = replace(WIDE, tokens_per_minute=1_300)
    for i in range(130):
        await turned.admit(tenant, limits, ask(10, deadline_s=100 + i), MONTH)
    refused = await turned.admit(tenant, limits, ask(1_210), MONTH)
    assert refused.retry_after_s == pytest.approx(100 + 120 + 60, abs=1)


async def test_waiting_as_told_succeeds_for_places(turned: Admissions, clock: Clock, tenant: TenantId) -> None:
    limits = replace(WIDE, concurrent_requests=2)
    for deadline in (12, 9):
        await turned.admit(tenant, limits, ask(deadline_s=deadline), MONTH)
    assert await _waits_as_told(turned, clock, tenant, limits, ask()) == 9
    assert (await turned.admit(tenant, replace(limits, concurrent_requests=1), ask(), MONTH)).retry_after_s > 3


async def test_waiting_as_told_succeeds_for_the_budget(turned: Admissions, clock: Clock, tenant: TenantId) -> None:
    clock.us = month_end_us(MONTH) - 40_000_000
    limits = replace(WIDE, monthly_budget_nano_usd=150)
    spent = ask()
    await turned.admit(tenant, limits, spent, MONTH, 0)
    await turned.settle(tenant, spent.lease_id, Used(10, 100), MONTH)
    assert await _waits_as_told(turned, clock, tenant, limits, ask(), spent=100) == 40


async def test_waiting_as_told_succeeds_on_the_real_clock(make: Make, tenant: TenantId) -> None:
    admissions, limits, month = make(Timing(minute_s=0.3)), Limits(2, 1_000, 20, 1), now_month()
    for _ in range(2):
        request = ask(deadline_s=0.2)
        assert (await admissions.admit(tenant, limits, request, month)).allowed
        await admissions.settle(tenant, request.lease_id, Used(10, 0), month)
    refused = await admissions.admit(tenant, limits, ask(20), month)
    assert not refused.allowed
    assert 0 < refused.retry_after_s <= 0.31
    await asyncio.sleep(refused.retry_after_s)
    assert (await admissions.admit(tenant, limits, ask(20), month)).allowed


async def test_the_longest_wait_is_the_one_told(turned: Admissions, tenant: TenantId) -> None:
    limits = Limits(1, 1, 10, 1, 100)
    await turned.admit(tenant, limits, ask(10, 100), MONTH, 0)
    refused = await turned.admit(tenant, limits, ask(10, 100), MONTH)
    assert refused.refused_by == MONTHLY_BUDGET
    refused = await turned.admit(tenant, replace(limits, monthly_budget_nano_usd=None), ask(10, 100), MONTH)
    assert refused.refused_by == REQUESTS_PER_HOUR
    assert (await turned.admit(tenant, limits, ask(11, 100), MONTH)).refused_by == TOKENS_PER_MINUTE  # never


async def test_state_counts_nothing_and_agrees(turned: Admissions, tenant: TenantId) -> None:
    limits = Limits(5, 50, 500, 5, 5_000)
    assert [state.name for state in await turned.state(tenant, limits, MONTH)][-1] != MONTHLY_BUDGET  # not known yet
    assert (await turned.state(tenant, limits, MONTH, 4_000))[-1].remaining == 1_000
    told = await turned.admit(tenant, limits, ask(), MONTH, 0)
    for _ in range(3):
        assert await turned.state(tenant, limits, MONTH) == told.states
    assert [state.remaining for state in told.states] == [4, 49, 490, 4, 4_900]
    assert [state.reset_s > 0 for state in told.states] == [True, True, False, True, True]


async def test_the_last_refusal_is_told(turned: Admissions, clock: Clock, tenant: TenantId) -> None:
    limits = Limits(1, 10)
    await turned.admit(tenant, limits, ask(), MONTH)
    assert await turned.last_refusal(tenant) is None
    await turned.admit(tenant, limits, ask(1, 2), MONTH)
    clock.pass_s(5)
    refused = await turned.admit(tenant, limits, ask(77, 88), MONTH)
    told = await turned.last_refusal(tenant)
    assert told is not None
    assert (told.limit, told.tokens, told.cost_nano_usd) == (REQUESTS_PER_MINUTE, 77, 88)
    assert (told.at, told.retry_after_s) == (clock.us / 1_000_000, refused.retry_after_s)


async def test_a_lease_asked_for_twice_is_taken_once(turned: Admissions, tenant: TenantId) -> None:
    limits, request = Limits(5, 50, 500, 5, 5_000), ask()
    for _ in range(2):
        assert [state.remaining for state in (await turned.admit(tenant, limits, request, MONTH, 0)).states] == [
            *(4, 49, 490, 4, 4_900)
        ]


async def test_the_largest_numbers_are_kept_exactly(turned: Admissions, tenant: TenantId) -> None:
    """A budget of a million USD in nano-USD: every sum is below 2**53."""
    million = 1_000_000_000_000_000
    limits = replace(WIDE, tokens_per_minute=10_000_001, monthly_budget_nano_usd=million)
    admitted = await turned.admit(tenant, limits, ask(10_000_000, million - 3), MONTH, 1)
    assert [state.remaining for state in admitted.states[2:]] == [1, 2]


async def test_a_router_that_is_gone_leaves_nothing_behind(valkey_url: str, clock: Clock, tenant: TenantId) -> None:
    valkey = TurnedValkey(valkey_url, clock)
    admissions, limits = ValkeyAdmissions(valkey), replace(WIDE, tokens_per_minute=10_000, concurrent_requests=400)
    for _ in range(300):
        await admissions.admit(tenant, limits, ask(), MONTH)
    clock.pass_s(15)
    states = await admissions.state(tenant, limits, MONTH)
    assert [state.remaining for state in states[2:]] == [10_000, 400]
    clock.pass_s(1_200)
    await admissions.state(tenant, limits, MONTH)
    assert await valkey.count_keys(tenant) == 2  # the tally, and what was charged until Valkey lets go of it
    await valkey.close()


async def test_without_valkey_the_answer_is_a_stated_error(tenant: TenantId) -> None:
    valkey = Valkey("unix:///nonexistent/valkey.sock")
    with pytest.raises(DependencyDownError):
        await ValkeyAdmissions(valkey).admit(tenant, WIDE, ask(), MONTH)
    await valkey.close()


def test_headers_tell_the_tightest_window() -> None:
    book = MemoryAdmissions(clock_us=Clock())
    admission = asyncio.run(book.admit(TenantId("t"), Limits(3, 2), ask(), MONTH))
    headers = admission.headers()
    assert (headers["ratelimit-limit"], headers["ratelimit-remaining"]) == ("2", "1")
    assert 3_540 <= int(headers["ratelimit-reset"]) <= 3_660
