"""The central promise: a write that was acknowledged governs every request admitted one second later.

The cache and the feed are the real ones. Hypothesis decides, on a clock of its own, when writes are committed, when the
counter is asked, what each question and each read saw and when its answer comes, and which announcements are lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Generic, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from observability.metrics import NullMetrics
from support.announcements import NoAnnouncements
from support.clock import Clock
from tenancy import feed as feed_module
from tenancy.feed import ChangeFeed
from tenancy.live import MAX_AGE_S, FreshCache, Subject

PROMISE_S = 1.0
TENANTS = tuple(TenantId(f"t{number}") for number in range(2))

T = TypeVar("T")


@dataclass(frozen=True)
class Value:
    """What a tenant's row says; `version` counts all that was ever committed of it, its deletions too."""

    tenant_id: TenantId
    version: int


@dataclass
class Call(Generic[T]):
    """A call to the database: it sees the state of one moment between its beginning and its end."""

    look: Callable[[], T]
    answer: asyncio.Future[T]
    saw: T | None = None
    has_looked: bool = False

    def look_now(self) -> None:
        if not self.has_looked:
            self.saw, self.has_looked = self.look(), True

    def end(self, *, fails: bool) -> None:
        if self.answer.done():
            return
        if fails:
            self.answer.set_exception(DependencyDownError("down"))
        else:
            self.look_now()
            self.answer.set_result(self.saw)  # type: ignore[arg-type]  None is an answer: there is no such tenant


@dataclass
class Database:
    """The truth: per tenant what was committed when, and the change counter written in the same transactions."""

    clock: Clock
    history: dict[TenantId, list[tuple[float, Value | None]]] = field(default_factory=dict)
    changes: dict[TenantId, int] = field(default_factory=dict)
    seq: int = 0
    sees_early: bool = True
    calls: list[Call[object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.history = {tenant: [(self.clock(), Value(tenant, 0))] for tenant in TENANTS}

    def commit(self, tenant: TenantId, *, there: bool) -> None:
        past = self.history[tenant]
        was_there = past[-1][1] is not None
        past.append((self.clock(), Value(tenant, len(past)) if there else None))
        if was_there:  # as in PostgreSQL: an INSERT is no change of what anybody remembers
            self.seq += 1
            self.changes[tenant] = self.seq

    def now(self, tenant: TenantId) -> Value | None:
        return self.history[tenant][-1][1]

    def may_be_seen(self, tenant: TenantId, at: float) -> list[Value | None]:
        """What was current at some moment from one second before `at` on."""
        past = self.history[tenant]
        settled = max(index for index, (since, _) in enumerate(past) if since <= at - PROMISE_S or index == 0)
        return [value for _, value in past[settled:]]

    async def last(self) -> int:
        return await self._call(lambda: self.seq)

    async def after(self, seq: int) -> tuple[int, list[Subject]]:
        return await self._call(lambda: (self.seq, [who for who, number in self.changes.items() if number > seq]))

    async def read(self, tenant: TenantId, _remembered: Value | None) -> Value | None:
        return await self._call(lambda: self.now(tenant))

    async def _call(self, look: Callable[[], T]) -> T:
        call = Call(look, asyncio.get_running_loop().create_future())
        if self.sees_early:
            call.look_now()
        self.calls.append(call)  # type: ignore[arg-type]  calls of every kind
        return await call.answer


class World:
    def __init__(self, max_age_s: float) -> None:
        self.clock = Clock()
        self.database = Database(self.clock)
        self.feed = ChangeFeed(self.database, NoAnnouncements(), NullMetrics(), clock=self.clock)
        self.cache: FreshCache[TenantId, Value] = FreshCache(
            self.database.read,
            lambda value: value.tenant_id,
            feed=self.feed,
            max_age_s=max_age_s,
            max_entries=2,
            clock=self.clock,
        )
        self.question: asyncio.Task[None] | None = None
        self.on_their_way: list[TenantId] = []
        self.gets: list[asyncio.Task[None]] = []
        self.answers = 0

    async def step(self, name: str, number: int) -> None:
        tenant = TENANTS[number % len(TENANTS)]
        match name:
            case "wait":
                self.clock.now += number / 40
            case "write" | "delete":
                self.database.commit(tenant, there=name == "write")
                self.on_their_way.append(tenant)
            case "own write":
                self.database.commit(tenant, there=True)
                self.cache.forget(tenant)
                await self.feed.announce(tenant)
            case "deliver" if self.on_their_way:
                await self.feed.announce(self.on_their_way.pop(number % len(self.on_their_way)))
            case "lose" if self.on_their_way:
                self.on_their_way.pop(number % len(self.on_their_way))
            case "ask" if self.question is None or self.question.done():
                self.question = asyncio.create_task(self._ask())
            case "see early" | "see late":
                self.database.sees_early = name == "see early"
            case "look" if self.database.calls:
                self.database.calls[number % len(self.database.calls)].look_now()
            case "end" | "fail" if self.database.calls:
                self.database.calls.pop(number % len(self.database.calls)).end(fails=name == "fail")
            case "end all":
                while self.database.calls:
                    self.database.calls.pop(0).end(fails=False)
                    await settle()
            case "get":
                self.gets.append(asyncio.create_task(self._get(tenant)))
        await settle()

    async def close(self) -> None:
        await self.step("end all", 0)
        await asyncio.gather(*self.gets)
        if self.question:
            await self.question

    async def _ask(self) -> None:
        with suppress(DependencyDownError):
            await self.feed.ask()

    async def _get(self, tenant: TenantId) -> None:
        asked_at = self.clock()
        try:
            value = await self.cache.get(tenant)
        except DependencyDownError:
            return
        self.answers += 1
        assert value in self.database.may_be_seen(tenant, asked_at)


async def settle() -> None:
    """Until every task waits for the clock, for a call's answer, or has ended."""
    for _ in range(6):
        await asyncio.sleep(0)


async def run(steps: list[tuple[str, int]], *, max_age_s: float = MAX_AGE_S) -> World:
    world = World(max_age_s)
    for name, number in steps:
        await world.step(name, number)
    await world.close()
    return world


_NAMES = (
    *("wait", "get", "write", "delete", "own write", "deliver", "lose"),
    *("ask", "look", "end", "fail", "end all", "see early", "see late"),
)
_STEPS = st.lists(st.tuples(st.sampled_from(_NAMES), st.integers(0, 24)), max_size=60)
LONG, RUNS = 250, 200


def a_long_run(seed: int) -> list[tuple[str, int]]:
    """Each has its own habits: what is rare in one is frequent in another (swarm testing, Groce et al. 2012)."""
    random = Random(seed)
    weights = [random.choice([0.0, 0.3, 1.0, 4.0, 12.0]) for _ in _NAMES]
    for needed in ("wait", "get", "ask", "end"):
        weights[_NAMES.index(needed)] += 2.0
    weights[_NAMES.index("write")] += 0.5
    pause = random.choice([4, 12, 24])
    names = random.choices(_NAMES, weights, k=LONG)
    return [(name, random.randint(0, pause)) for name in names]


@settings(deadline=None)
@given(_STEPS)
def test_nothing_older_than_what_was_acknowledged_a_second_ago_is_ever_returned(steps: list[tuple[str, int]]) -> None:
    asyncio.run(run(steps))


@pytest.mark.parametrize("most_subjects", [1, 100], ids=["with a feed that forgets", "with a feed that remembers"])
def test_nor_is_it_in_long_runs(monkeypatch: pytest.MonkeyPatch, most_subjects: int) -> None:
    monkeypatch.setattr(feed_module, "MAX_SUBJECTS", most_subjects)
    answers = 0
    for seed in range(RUNS):
        try:
            answers += asyncio.run(run(a_long_run(seed))).answers
        except AssertionError as error:
            raise AssertionError(f"run {seed}") from error
    assert answers > 10 * RUNS


HEARD = [("ask", 0), ("end all", 0), ("wait", 1), ("get", 0), ("end all", 0)]
"""The feed is heard, and the tenant is remembered."""


def waits(seconds: float) -> list[tuple[str, int]]:
    return [("wait", round(seconds * 40))]


TIMES = (0.0, 0.125, 0.25, 0.475)
"""Between any two of the events below; their sums lie on both sides of every bound."""


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("seen", ["before", "after"])
def test_every_order_of_a_write_a_question_and_a_read(lost: bool, seen: str) -> None:
    """A question and a read overlap the write in every way, with every pause between."""
    events = [("ask", 0), ("write", 0), ("get", 0), *([("deliver", 0)] if not lost else [])]
    answers = 0
    for first in range(len(events)):
        order = events[first:] + events[:first]
        for times in _products(len(order)):
            steps = list(HEARD)
            for event, time in zip(order, times, strict=True):
                steps += [event, *([("look", 0), ("look", 1)] if seen == "before" else []), *waits(time)]
            steps += [("end all", 0), *waits(times[0]), ("get", 0), ("end all", 0), *waits(0.475), ("get", 0)]
            answers += asyncio.run(run(steps)).answers
    assert answers > 0


def _products(length: int) -> list[tuple[float, ...]]:
    found: list[tuple[float, ...]] = [()]
    for _ in range(length):
        found = [(*times, time) for times in found for time in TIMES]
    return found


def test_a_bound_that_is_too_wide_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search above would find a mistake if there were one."""
    by_age = [("get", 0), ("end all", 0), ("write", 0), *waits(0.6), *waits(0.6), ("get", 0)]
    asyncio.run(run(by_age))
    with pytest.raises(AssertionError):
        asyncio.run(run(by_age, max_age_s=1.3))
    by_feed = [*HEARD, ("ask", 0), ("look", 0), ("write", 0), *waits(0.6), ("end all", 0), *waits(0.6), ("get", 0)]
    asyncio.run(run(by_feed))
    monkeypatch.setattr(feed_module, "TRUST_S", 1.3)
    with pytest.raises(AssertionError):
        asyncio.run(run(by_feed))
