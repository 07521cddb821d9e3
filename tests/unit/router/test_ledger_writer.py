"""Group commit of the ledger: nothing lost, nothing twice, whoever waits or leaves, and however the ledger fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from observability import names
from observability.metrics import NullMetrics
from observability.names import Metric
from router.service.group_commit import Pace
from router.service.ledger_writer import LedgerWriter
from support.telling import told
from support.usage import an_event, so_far
from tenancy.memory_ledger import MemoryLedger
from tenancy.usage import UsageEvent

T1, T2 = TenantId("t1"), TenantId("t2")


class GatedLedger(MemoryLedger):
    """Each write waits for the gate; a failure that was put in `failures` is what the next write comes to."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Sequence[UsageEvent]] = []
        self.failures: list[Exception] = []
        self.fails_after_writing = False
        self.poison: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()

    async def write(self, events: Sequence[UsageEvent]) -> None:
        self.batches.append(events)
        self.asked.set()
        await self.gate.wait()
        if self.failures and not self.fails_after_writing:
            raise self.failures.pop(0)
        if any(event.event_id in self.poison for event in events):
            raise ValueError("cannot keep this")
        await super().write(events)
        if self.failures:
            raise self.failures.pop(0)

    async def held(self, tenant: TenantId = T1) -> dict[str, int | None]:
        """Completion tokens of what is settled, by event; None while it is open."""
        rows = await self.rows(tenant, after="", limit=100_000)
        return {row.event.event_id: row.event.completion_tokens if row.settled_at else None for row in rows}


class Counting(NullMetrics):
    def __init__(self) -> None:
        self.backlog = 0.0
        self.sizes: list[float] = []
        self.failures: list[str] = []
        self.lags: asyncio.Queue[float] = asyncio.Queue()

    def level(self, metric: Metric, value: float, /, **_dimensions: str) -> None:
        assert metric is names.LEDGER_LAG
        self.lags.put_nowait(value)

    def gauge(self, metric: Metric, delta: float, /) -> None:
        assert metric is names.LEDGER_BACKLOG
        self.backlog += delta

    def observe(self, metric: Metric, value: float, /, **_dimensions: str) -> None:
        assert metric is names.LEDGER_BATCH
        self.sizes.append(value)

    def count(self, metric: Metric, _amount: float = 1.0, /, **dimensions: str) -> None:
        assert metric is names.LEDGER_FAILURE
        self.failures.append(dimensions["reason"])


@pytest.fixture
def ledger() -> GatedLedger:
    return GatedLedger()


@pytest.fixture
def metrics() -> Counting:
    return Counting()


@asynccontextmanager
async def running(ledger: GatedLedger, metrics: Counting, **options: Any) -> AsyncIterator[LedgerWriter]:
    pace = Pace(every_s=0.0, first_pause_s=0.001, last_pause_s=0.002)
    writer = LedgerWriter(ledger, metrics, **({"pace": pace} | options))
    async with writer.running():
        yield writer


def down() -> DependencyDownError:
    return DependencyDownError("down")


async def shut(ledger: GatedLedger, writer: LedgerWriter) -> asyncio.Task[None]:
    """The gate is closed and a first batch waits in front of it: what comes now gathers behind it."""
    ledger.gate.clear()
    ledger.asked.clear()
    first = asyncio.create_task(writer.settle(an_event(T2, "first")))
    await ledger.asked.wait()
    return first


async def test_how_long_the_oldest_event_waits_is_told_while_a_write_hangs(
    ledger: GatedLedger, metrics: Counting
) -> None:
    async with running(ledger, metrics, measure_s=0.001) as writer:
        assert await metrics.lags.get() == 0.0
        first = await shut(ledger, writer)
        while (lag := await metrics.lags.get()) == 0.0:
            continue
        later = asyncio.create_task(writer.settle(an_event(T1, "later")))
        while await metrics.lags.get() <= lag:  # the oldest's, however many come after it
            continue
        ledger.gate.set()
        await asyncio.gather(first, later)
        assert writer.lag_s == 0.0


async def test_settled_means_committed(ledger: GatedLedger, metrics: Counting) -> None:
    async with running(ledger, metrics) as writer:
        first = await shut(ledger, writer)
        assert not first.done()
        assert (writer.backlog, metrics.backlog) == (1, 1)
        ledger.gate.set()
        await first
        assert await ledger.held(T2) == {"first": 5}
        assert (writer.backlog, metrics.backlog) == (0, 0)


async def test_what_waits_while_one_batch_commits_is_the_next(ledger: GatedLedger, metrics: Counting) -> None:
    async with running(ledger, metrics, max_batch=50) as writer:
        await shut(ledger, writer)
        others = [asyncio.create_task(writer.settle(an_event(T1, f"e{number:03}"))) for number in range(120)]
        await asyncio.sleep(0)
        ledger.gate.set()
        await asyncio.gather(*others)
    assert metrics.sizes == [1, 50, 50, 20]
    assert len(await ledger.held()) == 120


async def test_who_leaves_gives_up_waiting_and_not_the_write(ledger: GatedLedger, metrics: Counting) -> None:
    async with running(ledger, metrics) as writer:
        await shut(ledger, writer)
        waiters = [asyncio.create_task(writer.settle(an_event(T1, f"e{number}"))) for number in range(3)]
        await asyncio.sleep(0)
        for waiter in waiters[:2]:
            waiter.cancel()
        ledger.gate.set()
        await waiters[2]
        assert [waiter.cancelled() for waiter in waiters] == [True, True, False]
    assert set(await ledger.held()) == {"e0", "e1", "e2"}


async def test_one_event_settled_by_two_is_written_once_and_both_are_told(
    ledger: GatedLedger, metrics: Counting
) -> None:
    async with running(ledger, metrics) as writer:
        await shut(ledger, writer)
        event = an_event(T1, "e1")
        both = [asyncio.create_task(writer.settle(event)) for _ in range(2)]
        await asyncio.sleep(0)
        both[0].cancel()
        ledger.gate.set()
        await both[1]
    assert [len(batch) for batch in ledger.batches] == [1, 1]


@pytest.mark.parametrize("fails_after_writing", [False, True])
async def test_what_fails_is_tried_again_until_it_is_written(
    ledger: GatedLedger, metrics: Counting, caplog: pytest.LogCaptureFixture, fails_after_writing: bool
) -> None:
    """Also where it had been written, and only its commit was not heard of."""
    ledger.failures = [down(), RuntimeError("a bug"), down(), down()]
    ledger.fails_after_writing = fails_after_writing
    with caplog.at_level(logging.INFO):
        async with running(ledger, metrics) as writer:
            await asyncio.gather(*(writer.settle(an_event(T1, f"e{number}")) for number in range(9)))
    assert len(await ledger.held()) == 9
    assert metrics.failures == ["unreachable", "unexpected", "unreachable", "unreachable"]
    levels = [record.levelname for record in told(caplog, "atrium.ledger")]
    assert levels == ["WARNING", "INFO"]  # once, and when it is over


async def test_an_event_that_cannot_be_kept_holds_up_no_other(
    ledger: GatedLedger, metrics: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.poison = {"e3"}
    async with running(ledger, metrics) as writer:
        await shut(ledger, writer)
        tasks = [asyncio.create_task(writer.settle(an_event(T1, f"e{number}"))) for number in range(6)]
        await asyncio.sleep(0)
        ledger.gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, ValueError) for result in results] == [number == 3 for number in range(6)]
    assert set(await ledger.held()) == {f"e{number}" for number in range(6)} - {"e3"}
    assert metrics.failures == ["rejected"]
    assert metrics.backlog == 0
    assert "cannot keep" in caplog.text


async def test_of_several_renewals_the_last_is_written(ledger: GatedLedger, metrics: Counting) -> None:
    async with running(ledger, metrics) as writer:
        first = await shut(ledger, writer)
        for tokens in (1, 2, 3):
            writer.renew(so_far(T1, "e1", tokens))
        ledger.gate.set()
        await first
        await writer.settle(an_event(T1, "e2"))
    assert [[event.completion_tokens for event in batch if event.event_id == "e1"] for batch in ledger.batches] in (
        [[], [3], []],
        [[], [3]],
    )
    assert await ledger.held() == {"e1": None, "e2": 5}


async def test_settling_overtakes_the_renewals_of_its_event(ledger: GatedLedger, metrics: Counting) -> None:
    async with running(ledger, metrics) as writer:
        await shut(ledger, writer)
        writer.renew(so_far(T1, "e1", 1))
        settling = asyncio.create_task(writer.settle(an_event(T1, "e1")))
        await asyncio.sleep(0)
        writer.renew(so_far(T1, "e1", 9))
        ledger.gate.set()
        await settling
    assert [len(batch) for batch in ledger.batches] == [1, 1]
    assert await ledger.held() == {"e1": 5}


async def test_a_renewal_is_under_way_while_its_event_is_settled(ledger: GatedLedger, metrics: Counting) -> None:
    async with running(ledger, metrics) as writer:
        ledger.gate.clear()
        writer.renew(so_far(T1, "e1", 1))
        await ledger.asked.wait()
        settling = asyncio.create_task(writer.settle(an_event(T1, "e1", completion_tokens=7)))
        await asyncio.sleep(0)
        assert not settling.done()
        ledger.gate.set()
        await settling
        assert await ledger.held() == {"e1": 7}


async def test_renewals_have_places_however_many_settle(ledger: GatedLedger, metrics: Counting) -> None:
    async with running(ledger, metrics, max_batch=10) as writer:
        await shut(ledger, writer)
        tasks = [asyncio.create_task(writer.settle(an_event(T1, f"e{number:02}"))) for number in range(30)]
        await asyncio.sleep(0)
        for number in range(5):
            writer.renew(so_far(T1, f"r{number}", 1))
        ledger.gate.set()
        await asyncio.gather(*tasks)
    renewed = [sum(event.outcome is None for event in batch) for batch in ledger.batches[1:4]]
    assert renewed == [2, 2, 1]


async def test_it_says_when_it_is_full(ledger: GatedLedger, metrics: Counting) -> None:
    async with running(ledger, metrics, full_at=3) as writer:
        await shut(ledger, writer)
        tasks = [asyncio.create_task(writer.settle(an_event(T1, f"e{number}"))) for number in range(2)]
        await asyncio.sleep(0)
        assert (writer.backlog, writer.full) == (3, False)
        tasks.append(asyncio.create_task(writer.settle(an_event(T1, "e2"))))
        await asyncio.sleep(0)
        assert (writer.backlog, writer.full) == (4, True)
        ledger.gate.set()
        await asyncio.gather(*tasks)
        assert not writer.full


async def test_the_end_waits_for_what_is_settled(ledger: GatedLedger, metrics: Counting) -> None:
    ledger.failures = [down(), down()]
    async with running(ledger, metrics) as writer:
        waiter = asyncio.create_task(writer.settle(an_event(T1, "e1")))
        await asyncio.sleep(0)
        waiter.cancel()
    assert await ledger.held() == {"e1": 5}


async def test_the_end_is_bounded_and_counts_what_is_lost(
    ledger: GatedLedger, metrics: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(ledger, metrics, drain_s=0.05) as writer:
        first = await shut(ledger, writer)
        second = asyncio.create_task(writer.settle(an_event(T1, "e1")))
        await asyncio.sleep(0)
    for waiter in (first, second):
        with pytest.raises(DependencyDownError):
            await waiter
    (record,) = told(caplog, "atrium.ledger")
    assert record.__dict__["fields"] == {"events": 2}
    assert metrics.backlog == 0
    with pytest.raises(DependencyDownError):
        await writer.settle(an_event(T1, "e2"))
    writer.renew(so_far(T1, "e3", 1))


async def test_nothing_is_lost_or_twice_among_leavers_failures_and_renewals(
    ledger: GatedLedger, metrics: Counting
) -> None:
    ledger.failures = [down() for _ in range(20)]
    ledger.fails_after_writing = True

    async def stream(writer: LedgerWriter, number: int) -> None:
        for tokens in range(3):
            writer.renew(so_far(T1, f"e{number:03}", tokens))
            await asyncio.sleep(0)
        await writer.settle(an_event(T1, f"e{number:03}", completion_tokens=number))

    async with running(ledger, metrics, max_batch=16) as writer:
        streams = [asyncio.create_task(stream(writer, number)) for number in range(200)]
        for _ in range(5):
            await asyncio.sleep(0)
        for leaver in streams[::3]:
            leaver.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*streams, return_exceptions=True)
    assert await ledger.held() == {f"e{number:03}": number for number in range(200)}
