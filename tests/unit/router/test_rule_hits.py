"""Rule hits reach the audit log, few enough, none of them in a request's time, and none in another tenant's log."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.chat import Refusal
from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from observability import names
from observability.metrics import NullMetrics
from observability.names import Metric
from router.domain.rule_hits import MAX_WAITING, PER_MINUTE, WINDOW_S, RuleHit, TenantHits
from router.service import rule_hits
from router.service.rule_hits import RuleHits
from support.clock import Clock
from support.policies import BORN, a_caller, a_policy
from support.telling import told
from tenancy.audit import Actor, AuditEvent, Deed, find_breach
from tenancy.memory_audit import MemoryAuditLog

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
T1, T2 = TenantId("t1"), TenantId("t2")
CALLER, OTHER = a_caller(a_policy("t1", version=3)), a_caller(a_policy("t2"))
HIT = RuleHit.of(Refusal(reason="no secrets", rule_id="secrets", stage="input", message="a message"))


class Counted(NullMetrics):
    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    def count(self, metric: Metric, amount: float = 1.0, /, **dimensions: str) -> None:
        if metric is names.RULE_HIT_DROPPED:
            self.dropped[dimensions["reason"]] += int(amount)
        else:
            assert (metric, dimensions["job"]) == (names.HOUSEKEEPING_FAILURE, "rule_hits")
            self.failed[dimensions["reason"]] += 1


class GatedLog(MemoryAuditLog):
    """A batch is written when the gate is open; what was put in `failures` is what the next batches come to."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.asked, self.wrote = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.gate.set()
        self.failures: list[Exception] = []
        self.batches: list[tuple[TenantId | None, int]] = []

    async def append_all(
        self, tenant_id: TenantId | None, deeds: Sequence[Deed], *, born: datetime | None = None
    ) -> list[AuditEvent]:
        self.asked.set()
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.batches.append((tenant_id, len(deeds)))
        written = await super().append_all(tenant_id, deeds, born=born)
        self.wrote.set()
        return written

    def told(self, tenant: TenantId = T1) -> list[dict[str, Any]]:
        assert find_breach(self.chains[tenant], self._head(tenant)) is None
        return [json.loads(event.details) for event in self.chains[tenant]]


@pytest.fixture
def log() -> GatedLog:
    return GatedLog()


@pytest.fixture
def metrics() -> Counted:
    return Counted()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def running(log: GatedLog, metrics: Counted, clock: Clock | None = None, **more: Any) -> AsyncIterator[RuleHits]:
    times = {"every_s": 0.0, "pause_s": 0.001, "drain_s": 5.0} | more
    clock = clock or Clock()
    hits = RuleHits(log, metrics, now=lambda: NOW + timedelta(seconds=clock.now - 100), clock=clock, **times)
    async with hits.running():
        yield hits


async def test_a_hit_is_an_event_with_the_rule_and_who_ran_into_it(log: GatedLog, metrics: Counted) -> None:
    async with running(log, metrics) as hits:
        hits.note(CALLER, HIT)
        assert log.chains[T1] == []  # nothing has been awaited: a note takes no time of its request's
        await log.wrote.wait()
    [event] = log.chains[T1]
    assert (event.action, event.resource) == ("rule.hit", "rule/secrets")
    assert (event.actor, event.role, event.request_id) == ("key:admin", "tenant_admin", "r1")
    assert json.loads(event.details) == {
        "stage": "input",
        "action": "refuse",
        "reason": "no secrets",
        "config_version": 3,
        "at": "2026-05-04T12:00:00.000+00:00",
    }
    assert "a message" not in str(event)
    assert metrics.dropped == {}


async def test_what_comes_together_is_written_together_each_tenants_in_its_own_log(
    log: GatedLog, metrics: Counted
) -> None:
    async with running(log, metrics) as hits:
        for number in range(20):
            hits.note((CALLER, OTHER)[number % 2], HIT)
    assert log.batches == [(T1, 10), (T2, 10)]


async def test_beyond_so_many_a_minute_the_log_has_a_number(log: GatedLog, metrics: Counted, clock: Clock) -> None:
    async with running(log, metrics, clock) as hits:
        for _ in range(PER_MINUTE + 1_000):
            hits.note(CALLER, HIT)
        hits.note(OTHER, HIT)
        await log.wrote.wait()
        clock.now += WINDOW_S / 2
        hits.note(CALLER, HIT)
        clock.now += WINDOW_S / 2
        while len(log.chains[T1]) <= PER_MINUTE:
            log.wrote.clear()
            await log.wrote.wait()
        hits.note(CALLER, HIT)
    told = log.told()
    assert len(told) == PER_MINUTE + 2
    assert told[PER_MINUTE] == {
        "hits": 1_001,
        "since": "2026-05-04T12:00:00.000+00:00",
        "until": "2026-05-04T12:01:00.000+00:00",
    }
    assert told[-1]["at"] == "2026-05-04T12:01:00.000+00:00"
    assert len(log.told(T2)) == 1
    assert metrics.dropped == {"rate": 1_001}


async def test_a_database_that_is_away_is_waited_for_and_told_once(
    log: GatedLog, metrics: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    log.failures = [DependencyDownError("down")] * 3
    with caplog.at_level(logging.INFO, "atrium.rule_hits"):
        async with running(log, metrics) as hits:
            hits.note(CALLER, HIT)
            hits.note(OTHER, HIT)
            while len(log.batches) < 2:
                log.wrote.clear()
                await log.wrote.wait()
    assert (len(log.told(T1)), len(log.told(T2))) == (1, 1)
    assert metrics.failed == {"dependency_unavailable": 3}
    assert [record.levelname for record in told(caplog, "atrium.rule_hits")] == ["WARNING", "INFO"]
    assert "secrets" not in caplog.text


async def test_while_it_is_away_no_more_than_so_many_wait_and_the_rest_is_a_number(
    log: GatedLog, metrics: Counted, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule_hits, "MAX_WAITING", 10)
    log.gate.clear()
    async with running(log, metrics, clock) as hits:
        for _ in range(8):
            hits.note(CALLER, HIT)
        await log.asked.wait()
        for _ in range(5):
            hits.note(OTHER, HIT)
        assert metrics.dropped == {"full": 3}
        log.gate.set()
    assert len(log.told(T1)) == 8
    assert [details.get("hits") for details in log.told(T2)] == [None, None, 3]


async def test_hits_of_a_tenant_that_is_gone_are_nobodys(log: GatedLog, metrics: Counted) -> None:
    log.born_of = lambda tenant: BORN if tenant == T2 else BORN + timedelta(days=1)
    async with running(log, metrics) as hits:
        hits.note(CALLER, HIT)
        hits.note(OTHER, HIT)
    assert (log.chains[T1], len(log.told(T2))) == ([], 1)
    assert metrics.dropped == {"tenant_gone": 1}


async def test_what_cannot_be_written_at_all_holds_up_nobody(log: GatedLog, metrics: Counted) -> None:
    log.failures = [ValueError("a bug")]
    async with running(log, metrics) as hits:
        hits.note(CALLER, HIT)
        hits.note(OTHER, HIT)
    assert (log.chains[T1], len(log.told(T2))) == ([], 1)
    assert metrics.dropped == {"failed": 1}


async def test_at_the_end_all_is_written_the_number_too(log: GatedLog, metrics: Counted) -> None:
    async with running(log, metrics, every_s=3_600.0) as hits:
        for _ in range(PER_MINUTE + 5):
            hits.note(CALLER, HIT)
    assert len(log.told()) == PER_MINUTE + 1
    assert log.told()[-1]["hits"] == 5


async def test_the_end_waits_no_longer_than_its_time(log: GatedLog, metrics: Counted) -> None:
    log.gate.clear()
    async with asyncio.timeout(5):
        async with running(log, metrics, drain_s=0.01) as hits:
            hits.note(CALLER, HIT)
    hits.note(CALLER, HIT)
    assert (log.chains[T1], metrics.dropped) == ([], {"closed": 2})


async def test_a_tenant_that_hits_nothing_any_more_is_forgotten(log: GatedLog, metrics: Counted, clock: Clock) -> None:
    async with running(log, metrics, clock) as hits:
        hits.note(CALLER, HIT)
        await log.wrote.wait()
        clock.now += WINDOW_S
        hits.note(OTHER, HIT)
        log.wrote.clear()
        await log.wrote.wait()
        assert len(hits._tenants) == 1


def test_hits_that_come_while_the_number_is_written_wait_for_the_next() -> None:
    hits, deed = TenantHits(began=0.0), Deed(Actor("a", "b"), "rule.hit", "rule/x")
    for _ in range(PER_MINUTE + 3):
        hits.take(lambda: deed, 1.0, NOW)
    assert len(hits.due(1.0, NOW)) == PER_MINUTE
    hits.written(hits.due(1.0, NOW), 1.0, NOW)
    due = hits.due(WINDOW_S, NOW)
    assert [one.details["hits"] for one in due] == [3]
    assert hits.take(lambda: deed, WINDOW_S, NOW) == "rate"
    assert hits.written(due, WINDOW_S, NOW) == 0
    assert hits.due(WINDOW_S + 1, NOW) == []
    assert hits.take(lambda: deed, WINDOW_S + 1, NOW) is None
    assert [one.details.get("hits") for one in hits.due(2 * WINDOW_S, NOW)] == [None, 1]


def test_of_a_tenant_so_many_wait_however_long_the_database_is_away() -> None:
    hits, deed = TenantHits(began=0.0), Deed(Actor("a", "b"), "rule.hit", "rule/x")
    for minute in range(10):
        for _ in range(PER_MINUTE):
            hits.take(lambda: deed, minute * WINDOW_S, NOW)
    assert len(hits.waiting) == MAX_WAITING
    assert hits.left_out == 10 * PER_MINUTE - MAX_WAITING
