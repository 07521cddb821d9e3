"""Noting what was asked: off the request's path, bounded, and never a chat's failure."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from observability import names
from observability.metrics import NullMetrics
from observability.names import Metric
from router.adapters.memory_recent import MemoryRecentRequests
from router.domain.recent_request import MAX_QUERY_BYTES, RecentRequest
from router.service.recent import RecentNotes
from support.telling import told_here

T1 = TenantId("t1")
NOW = datetime(2026, 5, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)


def asked(query: str = "hello") -> RecentRequest:
    return RecentRequest("r1", NOW, query)


class Drops(NullMetrics):
    def __init__(self) -> None:
        self.by_reason: Counter[str] = Counter()

    def count(self, metric: Metric, amount: float = 1.0, /, **dimensions: str) -> None:
        assert metric is names.RECENT_DROPPED
        self.by_reason[dimensions["reason"]] += int(amount)


class Gate(MemoryRecentRequests):
    """Lets no note through before `open` is set; says by `reached` that one has come."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.reached = asyncio.Event(), asyncio.Event()
        self.longest = 0

    async def note(self, tenant_id: TenantId, request: RecentRequest, *, keep_for: timedelta) -> None:
        self.longest = max(self.longest, len(request.query))
        self.reached.set()
        await self.open.wait()
        await super().note(tenant_id, request, keep_for=keep_for)


class Down(MemoryRecentRequests):
    """Fails the first three times."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 3

    async def note(self, tenant_id: TenantId, request: RecentRequest, *, keep_for: timedelta) -> None:
        self.left -= 1
        if self.left >= 0:
            raise DependencyDownError("down")
        await super().note(tenant_id, request, keep_for=keep_for)


async def kept(store: MemoryRecentRequests) -> list[str]:
    return [request.query for request in await store.last(T1, 200, not_older_than=NOW)]


async def test_what_waits_is_written_in_order_before_it_is_closed() -> None:
    store, drops = MemoryRecentRequests(), Drops()
    notes = RecentNotes(store, drops)
    for query in ("first", "second"):
        notes.note(T1, asked(query), keep_for=HOUR)
    assert await kept(store) == []  # nothing has been awaited: a note takes no time of its request's
    await notes.close()
    assert await kept(store) == ["second", "first"]
    assert drops.by_reason == {}


async def test_where_nothing_may_be_kept_nothing_is() -> None:
    store, drops = Gate(), Drops()
    store.open.set()
    notes = RecentNotes(store, drops)
    notes.note(T1, asked(), keep_for=timedelta(0))
    await notes.close()
    assert not store.reached.is_set()
    assert drops.by_reason == {}


async def test_what_does_not_fit_the_queue_is_dropped_and_counted() -> None:
    store, drops = Gate(), Drops()
    notes = RecentNotes(store, drops, max_waiting=2)
    notes.note(T1, asked("in hand"), keep_for=HOUR)
    await store.reached.wait()
    for query in ("a", "b", "too many", "too many"):
        notes.note(T1, asked(query), keep_for=HOUR)
    store.open.set()
    await notes.close()
    assert await kept(store) == ["b", "a", "in hand"]
    assert drops.by_reason == {"full": 2}


async def test_a_long_query_is_cut_before_it_waits() -> None:
    store = Gate()
    notes = RecentNotes(store, Drops())
    store.open.set()
    notes.note(T1, asked("a" * 32_768), keep_for=HOUR)
    await notes.close()
    assert store.longest == MAX_QUERY_BYTES


async def test_a_store_that_fails_is_counted_each_time_and_told_once_an_outage(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, drops = Down(), Drops()
    notes = RecentNotes(store, drops)
    with caplog.at_level(logging.WARNING):
        for query in ("lost", "lost", "lost", "back"):
            notes.note(T1, asked(query), keep_for=HOUR)
        await notes.close()
    assert await kept(store) == ["back"]
    assert (drops.by_reason, len(told_here(caplog, "atrium.recent"))) == ({"unreachable": 3}, 1)


async def test_closing_waits_no_longer_than_its_time_and_counts_what_is_lost() -> None:
    store, drops = Gate(), Drops()
    notes = RecentNotes(store, drops, drain_s=0.01)
    for query in ("in hand", "waiting"):
        notes.note(T1, asked(query), keep_for=HOUR)
    async with asyncio.timeout(1):
        await notes.close()
    notes.note(T1, asked("too late"), keep_for=HOUR)
    assert (await kept(store), drops.by_reason) == ([], {"closed": 3})
