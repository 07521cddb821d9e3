"""Group commit in front of the usage ledger.

Nothing that is settled is dropped: while the ledger is out of reach it waits, bounded by admission, which looks at
`full`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice

from contracts.errors import AtriumError, DependencyDownError
from contracts.tenant import TenantId
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from router.service.group_commit import GroupCommit, Pace
from tenancy.usage import UsageEvent
from tenancy.usage_ports import Ledger

MAX_BATCH = 500
RENEWALS_IN_BATCH = 100
"""Places that renewals have in a batch however many settled events wait, so that no live stream looks dead."""
FULL_AT = 5_000
DRAIN_S = 10.0
MEASURE_S = 5.0
"""How often it is told how far behind the ledger is."""

Key = tuple[TenantId, str]

_logger = logging.getLogger("atrium.ledger")


@dataclass(slots=True)
class _Settled:
    event: UsageEvent
    since: float = field(default_factory=time.monotonic)
    committed: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class LedgerWriter(GroupCommit[UsageEvent]):
    """`settle` and `renew` work while `running` is entered."""

    def __init__(
        self,
        ledger: Ledger,
        metrics: Metrics,
        *,
        max_batch: int = MAX_BATCH,
        full_at: int = FULL_AT,
        drain_s: float = DRAIN_S,
        pace: Pace = Pace(),  # noqa: B008  frozen
        measure_s: float = MEASURE_S,
    ) -> None:
        super().__init__("usage events", _logger, pace=pace, drain_s=drain_s)
        self._ledger = ledger
        self._metrics = metrics
        self._max_batch = max_batch
        self._full_at = full_at
        self._measure_s = measure_s
        self._settled: dict[Key, _Settled] = {}
        self._renewals: dict[Key, UsageEvent] = {}

    @property
    def backlog(self) -> int:
        """Settled events that are not committed yet."""
        return len(self._settled)

    @property
    def full(self) -> bool:
        """So many wait that no further request is to be admitted."""
        return self.backlog > self._full_at

    @property
    def lag_s(self) -> float:
        """How long the oldest of them has waited; 0 when none does."""
        oldest = next(iter(self._settled.values()), None)
        return time.monotonic() - oldest.since if oldest else 0.0

    async def settle(self, event: UsageEvent) -> None:
        """Returns when the event is committed. Who is cancelled meanwhile gives up waiting, not the write.

        Raises ValueError for an event that the ledger cannot keep, DependencyDownError after the end.
        """
        if self._closed:
            log(_logger, logging.ERROR, "a usage event came after the end and is lost", events=1)
            raise _ended()
        waiting = self._settled.get(event.key)
        if waiting is None:
            waiting = self._settled[event.key] = _Settled(event)
            self._metrics.gauge(names.LEDGER_BACKLOG, 1)
            self._renewals.pop(event.key, None)
            self._empty.clear()
            self._work.set()
        await asyncio.shield(waiting.committed)

    def renew(self, event: UsageEvent) -> None:
        """Write what an open event has used so far, soon: of several, the last. Never waits, never fails."""
        if event.key not in self._settled and not self._closed:
            self._renewals[event.key] = event
            self._work.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with super().running():
            measuring = asyncio.create_task(self._measure(), name="ledger lag")
            try:
                yield
            finally:
                measuring.cancel()
                await asyncio.gather(measuring, return_exceptions=True)

    async def _measure(self) -> None:
        """Beside the writing, which may hang."""
        while True:
            self._metrics.level(names.LEDGER_LAG, self.lag_s)
            await asyncio.sleep(self._measure_s)

    def _next_batch(self) -> list[UsageEvent]:
        kept_free = min(RENEWALS_IN_BATCH, self._max_batch // 5, len(self._renewals))
        batch = [waiting.event for waiting in islice(self._settled.values(), self._max_batch - kept_free)]
        batch += islice(self._renewals.values(), self._max_batch - len(batch))
        return batch

    async def _commit(self, batch: Sequence[UsageEvent]) -> None:
        await self._ledger.write(batch)
        self._metrics.observe(names.LEDGER_BATCH, len(batch))
        for event in batch:
            self._done(event, None)

    def _reject(self, item: UsageEvent) -> None:
        self._metrics.count(names.LEDGER_FAILURE, reason="rejected")
        log(
            _logger,
            logging.ERROR,
            "the ledger cannot keep a usage event",
            tenant_id=str(item.tenant_id),
            event_id=item.event_id,
            request_id=item.request_id,
        )
        self._done(item, ValueError("the ledger cannot keep this event"))

    def _done(self, event: UsageEvent, error: Exception | None) -> None:
        """A renewal that came while the one before was written stays for the next batch."""
        if self._renewals.get(event.key) is event:
            del self._renewals[event.key]
        waiting = self._settled.get(event.key)
        if waiting is not None and waiting.event is event:
            del self._settled[event.key]
            self._metrics.gauge(names.LEDGER_BACKLOG, -1)
            _answer(waiting.committed, error)
        if not self._settled:
            self._empty.set()
            if not self._renewals:
                self._work.clear()

    def _count_failure(self, error: Exception) -> None:
        reason = "unreachable" if isinstance(error, AtriumError) else "unexpected"
        self._metrics.count(names.LEDGER_FAILURE, reason=reason)

    def _give_up(self) -> None:
        if self._settled:
            log(_logger, logging.ERROR, "usage events could not be written", events=self.backlog)
        for waiting in self._settled.values():
            _answer(waiting.committed, _ended())
        self._metrics.gauge(names.LEDGER_BACKLOG, -len(self._settled))
        self._settled.clear()
        self._renewals.clear()


def _answer(committed: asyncio.Future[None], error: Exception | None) -> None:
    if error is None:
        committed.set_result(None)
    else:
        committed.set_exception(error)
        committed.exception()  # looked at: whoever waits may have gone


def _ended() -> DependencyDownError:
    return DependencyDownError("the ledger's writer has ended", details={"dependency": "postgres"}, retry_after_s=2)
